"""Whether an exported graph computes what the torch model computes: names, shapes, logits, decoded triples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from export.report import Report
from export.runtime import OnnxEngine
from tablert_dist.batching import evaluation_batches
from tablert_dist.checkpoint import ModelCard
from tablert_dist.decoding import decode_sentence
from tablert_dist.encoding import EncodedSentence, collate
from tablert_dist.model import TableModel
from tablert_dist.model.engine import TorchEngine
from tablert_dist.predictor import TABLE, Engine
from tablert_dist.schema import Sentence
from tablert_dist.scoring import LEVELS, count
from tablert_dist.tables import Floats, TagSet

CONTRACT = {
    "input_ids": 2,
    "attention_mask": 2,
    "word_subwords": 3,
    "entity_logits": 3,
    "relation_logits": 4,
}
"""Names of the graph's inputs and outputs, and their axes."""
ODD_SHAPES = ((1,), (2,), (30, 1, 11, 2), (7, 7, 7))
"""Sentence lengths in words of the batches of random subwords; one of the encoder's whole limit is added."""


def verify(
    model: TableModel,
    card: ModelCard,
    graph: Path,
    tolerance: float,
    sentences: Sequence[Sequence[str]],
    precision: str = "fp32",
    gold: Sequence[Sentence] | None = None,
) -> Report:
    """Compare torch and onnxruntime on the CPU: names and shapes, logits, decoded sentences, and F1 where `gold` is given.

    `report.failures` says which gates of the precision were missed; none when the export is good.
    """
    report = Report(tolerance, precision)
    _check_contract(graph, report)
    if report.failures:
        return report
    torch_engine, onnx_engine = TorchEngine(model), OnnxEngine({TABLE: graph})
    differences: list[float] = []
    rng = np.random.default_rng(0)
    limit = card.tokenizer.limit - 2
    for lengths in (*ODD_SHAPES, (limit,)):
        batch = [_random_sentence(n, limit, len_vocabulary(card), rng) for n in lengths]
        for ours, theirs in _compare(torch_engine, onnx_engine, batch, card.pad_id):
            differences.extend(_differences(ours, theirs))
        report.shapes.append(f"{' + '.join(map(str, lengths))} words")
    decoded = _compare_decoding(torch_engine, onnx_engine, card, sentences, report, differences)
    report.max_difference, report.mean_difference = float(np.max(differences)), float(np.mean(differences))
    if gold is not None:
        for engine, found in zip(("torch", "onnx"), decoded, strict=True):
            scores = count(zip(gold, found, strict=True), card.schema).scores()
            report.f1[engine] = {level: scores.f1(level) for level in LEVELS}
    report.close()
    return report


def len_vocabulary(card: ModelCard) -> int:
    """Number of subword ids."""
    return int(card.tokenizer.tokenizer.get_vocab_size())


def _check_contract(graph: Path, report: Report) -> None:
    onnx.checker.check_model(str(graph))
    proto = onnx.load(str(graph)).graph
    found = {}
    for value in (*proto.input, *proto.output):
        shape = value.type.tensor_type.shape.dim
        found[value.name] = len(shape)
        fixed = [
            d.dim_value for i, d in enumerate(shape) if d.HasField("dim_value") and (value.name, i) not in TAG_AXES
        ]
        if fixed:
            report.failures.append(f"the graph fixes an axis of {value.name} to {fixed}")
    if found != CONTRACT:
        report.failures.append(f"the graph has {found}, the contract is {CONTRACT}")


TAG_AXES = {("entity_logits", 2), ("relation_logits", 3)}


Logits = tuple[Floats, Floats]


def _compare(
    first: Engine, second: Engine, batch: Sequence[EncodedSentence], pad_id: int
) -> list[tuple[Logits, Logits]]:
    """Both engines' logits for each sentence, cut to its words and to the cells that mean anything."""
    arrays = collate(batch, pad_id).arrays()
    outputs = [engine.run(TABLE, arrays) for engine in (first, second)]
    result = []
    for b, sentence in enumerate(batch):
        n = sentence.words
        one, other = ((found["entity_logits"][b, :n], found["relation_logits"][b, :n, :n]) for found in outputs)
        result.append((one, other))
    return result


def _differences(ours: Logits, theirs: Logits) -> list[float]:
    """Largest |difference| / max(1, |logit|) of the entity and of the relation logits."""
    upper = np.triu_indices(len(ours[0]))
    pairs = ((ours[0], theirs[0]), (ours[1][upper], theirs[1][upper]))
    # fp32 carries seven digits: a logit of 80 is known to 1e-5. A NaN on one side must not pass as a small difference.
    scaled = [np.abs(a - b) / np.maximum(1.0, np.abs(a)) for a, b in pairs]
    return [float(np.nan_to_num(d.max(), nan=np.inf)) for d in scaled]


def _compare_decoding(
    torch_engine: Engine,
    onnx_engine: Engine,
    card: ModelCard,
    sentences: Sequence[Sequence[str]],
    report: Report,
    differences: list[float],
) -> tuple[list[Sentence], list[Sentence]]:
    """What torch and what onnxruntime find, in the order of `sentences`."""
    tags = TagSet(card.schema)
    encoded = card.tokenizer.encode(sentences)
    decoded = ([Sentence(())] * len(encoded), [Sentence(())] * len(encoded))
    for batch in evaluation_batches([e.words for e in encoded], 20_000):
        compared = _compare(torch_engine, onnx_engine, [encoded[i] for i in batch], card.pad_id)
        for index, (ours, theirs) in zip(batch, compared, strict=True):
            differences.extend(_differences(ours, theirs))
            expected, found = (decode_sentence(sentences[index], *logits, tags) for logits in (ours, theirs))
            decoded[0][index], decoded[1][index] = expected, found
            report.sentences += 1
            report.entities += len(expected.entities)
            report.relations += len(expected.relations)
            if (expected.entities, expected.relations) == (found.entities, found.relations):
                report.identical += 1
            elif _explained_by_ties(ours, theirs, expected, report.tolerance):
                report.ties += 1
    return decoded


def _explained_by_ties(ours: Logits, theirs: Logits, expected: Sentence, tolerance: float) -> bool:
    """Whether wherever the engines choose differently, torch's top two are closer than twice the tolerance."""
    for mine, other in zip(ours, theirs, strict=True):
        chosen = mine.argmax(-1) != other.argmax(-1)
        if mine.ndim == 3:
            chosen &= np.triu(np.ones(chosen.shape, bool), 1)
        top = np.sort(mine[chosen], -1)
        scale = np.maximum(1.0, np.abs(top[:, -1:]))[:, 0]
        if len(top) and ((top[:, -1] - top[:, -2]) / scale).max() >= 2 * tolerance:
            return False
    return True


def _random_sentence(words: int, limit: int, vocabulary: int, rng: np.random.Generator) -> EncodedSentence:
    """Random subwords, up to three a word, within the limit."""
    most = max(1, min(3, limit // words))
    count = rng.integers(1, most + 1, words)
    first = 1 + np.concatenate([[0], np.cumsum(count)[:-1]])
    ids = rng.integers(0, vocabulary, int(count.sum()) + 2)
    return EncodedSentence(ids, first.astype(np.int64), count.astype(np.int64))
