"""Whether exported graphs compute what the torch model computes: names, shapes, outputs, decoded triples."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.gates import VerificationReport
from tablert_dist.batching import evaluation_batches
from tablert_dist.heads.base import RELATION_PROBABILITIES, RELATION_TAGS, Arrays, Engine, Scheme, Stage
from tablert_dist.heads.sequences import softmax
from tablert_dist.inference.onnx_engine import OnnxEngine
from tablert_dist.inference.torch_engine import TorchEngine
from tablert_dist.model import TableModel
from tablert_dist.model.checkpoint import ModelCard
from tablert_dist.schema import Sentence
from tablert_dist.scoring import LEVELS, count
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import EncodedSentence, collate
from tablert_dist.tokenization.windows import joined, places, rows_of, windows_of
from tablert_dist.waiting import waiting

ODD_SHAPES = ((1,), (2,), (30, 1, 11, 2), (7, 7, 7))
"""Sentence lengths in words of the batches of random subwords; one of the encoder's whole limit is added."""

PROBABILITY_TOLERANCE = 1e-5
"""Of a relation's probability in the graph, against its own logits: fp32 carries seven digits."""


def contract(stage: Stage) -> dict[str, int]:
    """Names of a graph's inputs and outputs, and the number of their axes."""
    parts = (*stage.inputs.items(), *stage.outputs.items(), *stage.answers.items())
    return {name: len(axes) for name, axes in parts}


def verify(
    model: TableModel,
    card: ModelCard,
    graphs: Mapping[str, Path],
    tolerance: float,
    sentences: Sequence[Sequence[str]],
    precision: str = "fp32",
    gold: Sequence[Sentence] | None = None,
) -> VerificationReport:
    """Compare torch and onnxruntime on the CPU: names and shapes, outputs, decoded sentences, and F1 where `gold` is given.

    Each stage's outputs are compared on what torch gave it, so that a difference is that stage's own.
    `report.failures` says which gates of the precision were missed; none when the export is good.
    """
    report = VerificationReport(tolerance, precision, relation_types=len(card.schema.relation_types))
    with waiting(f"verifying the {precision} export against PyTorch"):
        _compare(model, card, graphs, sentences, gold, report)
    return report


def _compare(
    model: TableModel,
    card: ModelCard,
    graphs: Mapping[str, Path],
    sentences: Sequence[Sequence[str]],
    gold: Sequence[Sentence] | None,
    report: VerificationReport,
) -> None:
    """Fill the report; where the graphs' names or shapes are wrong, nothing else is compared."""
    for stage, path in graphs.items():
        _check_contract(path, model.scheme.stages[stage], report)
    if report.failures:
        return
    compared = Compared(TorchEngine(model), OnnxEngine(graphs), model.scheme)
    rng = np.random.default_rng(0)
    limit = card.tokenizer.limit - 2
    for lengths in (*ODD_SHAPES, (limit,)):
        batch = [_random_sentence(n, limit, card, rng) for n in lengths]
        inputs = _inputs(model.scheme, batch, card.pad_id)
        if lengths == (limit,):
            # Of a head that has several stages the first only: a model of random pieces may find thousands of entities.
            compared.run(next(iter(graphs)), inputs)
        else:
            model.scheme.decode(compared, inputs, [["word"] * n for n in lengths], TagSet(card.schema))
        report.shapes.append(f"{' + '.join(map(str, lengths))} words")
    decoded = _compare_decoding(compared, card, sentences, report)
    report.max_difference = float(np.max(compared.differences))
    report.mean_difference = float(np.mean(compared.differences))
    if compared.wrong:
        report.failures.append(
            f"{compared.wrong} of {compared.answers} cells have a tag or a probability that their logits do not give"
        )
    if gold is not None:
        for engine, found in zip(("torch", "onnx"), decoded, strict=True):
            scores = count(zip(gold, found, strict=True), card.schema).scores()
            report.f1[engine] = {level: scores.f1(level) for level in LEVELS}
        report.gold = {level: scores.levels[level].micro.support for level in LEVELS}
    report.close()


def len_vocabulary(card: ModelCard) -> int:
    """Number of subword ids."""
    return int(card.tokenizer.tokenizer.get_vocab_size())


class Compared:
    """The torch engine, beside which every call is run by onnxruntime too.

    `differences` has the largest |difference| / max(1, |value|) of each output of each call; `wrong` counts the cells
    whose answer is not that of the graph's own logits, at the model's temperature.
    """

    def __init__(self, torch_engine: Engine, onnx_engine: Engine, scheme: Scheme) -> None:
        self.torch, self.onnx, self.scheme = torch_engine, onnx_engine, scheme
        self.differences: list[float] = []
        self.answers, self.wrong = 0, 0

    def offers(self, stage: str) -> frozenset[str]:
        """As `Engine.offers`: the graph's, so that both engines are decoded from the same outputs."""
        return self.onnx.offers(stage)

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `Engine.run`: torch's outputs, all of them. All of the graph's are compared."""
        spec = self.scheme.stages[stage]
        everything = (*spec.outputs, *spec.answers)
        ours = self.torch.run(stage, arrays, everything)
        theirs = self.onnx.run(stage, arrays, everything)
        if RELATION_TAGS in spec.answers:
            self._compare_answers(theirs, self.scheme.valid_mask(stage, arrays, ours)["relation_logits"])
        for name, mask in self.scheme.valid_mask(stage, arrays, ours).items():
            mine, other = ours[name][mask], theirs[name][mask]
            if mine.size:
                # fp32 carries seven digits: a logit of 80 is known to 1e-5. A NaN must not pass as a small difference.
                scaled = np.abs(mine - other) / np.maximum(1.0, np.abs(mine))
                self.differences.append(float(np.nan_to_num(scaled.max(), nan=np.inf)))
        return ours

    def _compare_answers(self, found: Arrays, cells: NDArray[np.bool_]) -> None:
        """Count the cells whose tag or probability is not that of the graph's logits."""
        logits = found["relation_logits"][cells]
        if not len(logits):
            return
        temperature = self.scheme.temperatures.cells
        right_tag = found[RELATION_TAGS][cells] == logits.argmax(-1)
        close = (
            np.abs(found[RELATION_PROBABILITIES][cells] - softmax(logits, temperature).max(-1)) <= PROBABILITY_TOLERANCE
        )
        self.answers += len(logits)
        self.wrong += int((~(right_tag & close)).sum())


def _check_contract(graph: Path, stage: Stage, report: VerificationReport) -> None:
    onnx.checker.check_model(str(graph))
    proto = onnx.load(str(graph)).graph
    found = {}
    for value in (*proto.input, *proto.output):
        shape = value.type.tensor_type.shape.dim
        found[value.name] = len(shape)
        fixed = [
            d.dim_value for i, d in enumerate(shape) if d.HasField("dim_value") and (value.name, i) not in stage.fixed
        ]
        if fixed:
            report.failures.append(f"the graph fixes an axis of {value.name} to {fixed}")
    if found != contract(stage):
        report.failures.append(f"the graph has {found}, the contract is {contract(stage)}")


def _inputs(scheme: Scheme, batch: Sequence[EncodedSentence], pad_id: int) -> Arrays:
    return collate([scheme.prepare(e) for e in batch], pad_id).arrays()


def _compare_decoding(
    compared: Compared, card: ModelCard, sentences: Sequence[Sequence[str]], report: VerificationReport
) -> tuple[list[Sentence], list[Sentence]]:
    """What torch and what onnxruntime find, in the order of `sentences`; long ones are read by windows, as in prediction."""
    tags, scheme = TagSet(card.schema), compared.scheme
    windows = windows_of(sentences, card.tokenizer)
    rows = rows_of(sentences, windows)
    encoded = card.tokenizer.encode(rows)
    decoded = ([Sentence(())] * len(encoded), [Sentence(())] * len(encoded))
    for batch in evaluation_batches([e.words for e in encoded], 20_000):
        inputs = _inputs(scheme, [encoded[i] for i in batch], card.pad_id)
        words = [rows[i] for i in batch]
        before = len(compared.differences)
        expected = scheme.decode(compared, inputs, words, tags)
        found = scheme.decode(compared.onnx, inputs, words, tags)
        # Every output that torch decided by is within the tolerance: where the two decide differently, it was a tie.
        close = max(compared.differences[before:], default=0.0) <= report.tolerance
        for index, ours, theirs in zip(batch, expected, found, strict=True):
            decoded[0][index], decoded[1][index] = ours, theirs
            report.sentences += 1
            report.entities += len(ours.entities)
            report.relations += len(ours.relations)
            if (ours.entities, ours.relations) == (theirs.entities, theirs.relations):
                report.identical += 1
            else:
                report.ties += close
    own = places(len(sentences), windows)
    torch_found, onnx_found = (
        [joined(words, windows.get(i), [found[row] for row in own[i]]) for i, words in enumerate(sentences)]
        for found in decoded
    )
    return torch_found, onnx_found


def _random_sentence(words: int, limit: int, card: ModelCard, rng: np.random.Generator) -> EncodedSentence:
    """Random subwords, up to three a word, within the limit; none is padding, which RoBERTa gives no position."""
    vocabulary = len_vocabulary(card)
    most = max(1, min(3, limit // words))
    count = rng.integers(1, most + 1, words)
    first = 1 + np.concatenate([[0], np.cumsum(count)[:-1]])
    ids = rng.integers(0, vocabulary, int(count.sum()) + 2)
    ids = np.where(ids == card.pad_id, (ids + 1) % vocabulary, ids)
    return EncodedSentence(ids, first, count)
