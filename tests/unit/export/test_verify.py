"""Verification of an export, with engines whose answers are known: what is compared, what is counted, what is said."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from export import verify as module
from export.gates import VerificationReport
from export.verify import ODD_SHAPES, Compared, contract, verify
from tablert_dist.heads.base import RELATION_ANSWERS, RELATION_PROBABILITIES, RELATION_TAGS, Arrays, Masks, Stage
from tablert_dist.heads.cnn.scheme import STAGES, TABLE, TableScheme
from tablert_dist.heads.sequences import softmax
from tablert_dist.schema import Sentence
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer
from tests.support.tiny import SCHEMA

TAGS = TagSet(SCHEMA)
E, R = len(TAGS.entity_tags), len(TAGS.relation_tags)
LIMIT = 40
ENTITY_TYPES = {name: i for i, name in enumerate(TAGS.entity_tags)}


class Known:
    """Logits that follow from the subwords alone: 'ada' is a Per, 'acme' an Org, and each pair of them 'works'.

    `shift`: of cell (0, 0)'s first entity logit and of all relation logits; `wrong`: what it answers beside its logits.
    """

    def __init__(
        self, ids: dict[int, str], shift: tuple[float, float] = (0.0, 0.0), wrong: str = "", nan: bool = False
    ):
        self.ids, self.shift, self.wrong, self.nan = ids, shift, wrong, nan
        self.calls: list[tuple[Arrays, Any]] = []

    def offers(self, stage: str) -> frozenset[str]:
        assert stage == TABLE
        return frozenset(RELATION_ANSWERS) if self.wrong != "offers nothing" else frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        assert stage == TABLE
        self.calls.append((arrays, outputs))
        subwords = arrays["word_subwords"]
        B, N = subwords.shape[:2]
        first = np.take_along_axis(arrays["input_ids"], np.maximum(subwords[:, :, 0], 0), 1)
        tag = np.vectorize(lambda i: ENTITY_TYPES.get(self.ids.get(i, "O"), 0))(first)
        entity = (9.0 * np.eye(E)[tag]).astype(np.float32)
        relation = np.zeros((B, N, N, R), np.float32)
        relation[..., TAGS.relation_tags.index("works:right")] = 3.0
        entity[:, 0, 0] += self.shift[0]
        relation += self.shift[1]
        if self.nan:
            relation[0, 0, -1, 0] = np.nan
        padding = np.arange(N) >= (subwords[:, :, 0] >= 0).sum(-1)[:, None]
        entity[padding] = float(len(self.calls))  # of cells that mean nothing nobody may ask
        tags = relation.argmax(-1).astype(np.int32)
        probabilities = softmax(relation).max(-1).astype(np.float32)
        if self.wrong == "tag":
            tags[:, 0, 1:2] = 0
        if self.wrong == "probability":
            probabilities[:, 0, 1:2] += 2e-5
        both = {"entity_logits": entity, "relation_logits": relation}
        found = {**both, RELATION_TAGS: tags, RELATION_PROBABILITIES: probabilities}
        return {name: found[name] for name in (both if outputs is None else outputs)}


def write_graph(path: Path, axes: dict[str, tuple[Any, ...]], outputs: Collection[str]) -> Path:
    """A graph with these inputs and outputs that computes nothing."""
    infos = {k: helper.make_tensor_value_info(k, TensorProto.FLOAT, list(v)) for k, v in axes.items()}
    inputs = [infos[name] for name in axes if name not in outputs]
    nodes = [helper.make_node("Identity", [inputs[0].name], [name]) for name in outputs]
    graph = helper.make_graph(nodes, "nothing", inputs, [infos[name] for name in outputs])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


def axes_of(stage: Stage) -> dict[str, tuple[Any, ...]]:
    parts = {**stage.inputs, **stage.outputs, **stage.answers}
    return {
        k: tuple(13 if a == "E" else 5 if a == "R" else f"{k}_{i}" for i, a in enumerate(v)) for k, v in parts.items()
    }


@pytest.fixture
def graph(tmp_path: Path) -> dict[str, Path]:
    outputs = [*STAGES[TABLE].outputs, *STAGES[TABLE].answers]
    return {TABLE: write_graph(tmp_path / "table.onnx", axes_of(STAGES[TABLE]), outputs)}


@pytest.fixture
def card(tiny_encoder: str) -> Any:
    tokenizer = SubwordTokenizer(Tokenizer.from_file(f"{tiny_encoder}/tokenizer.json"), LIMIT)
    return SimpleNamespace(tokenizer=tokenizer, schema=SCHEMA, pad_id=0)


@pytest.fixture
def engines(card: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make verify compare two engines, and give them to the test."""

    def put(**onnx_differs: Any) -> tuple[Known, Known]:
        vocabulary = card.tokenizer.tokenizer.get_vocab()
        ids = {vocabulary["ada"]: "U-Per", vocabulary["acme"]: "U-Org"}
        pair = Known(ids), Known(ids, **onnx_differs)
        monkeypatch.setattr(module, "TorchEngine", lambda model: pair[0])
        monkeypatch.setattr(module, "OnnxEngine", lambda graphs: pair[1])
        return pair

    return put


class OneStage(TableScheme):
    """Asked for the masks of the stage that it has alone."""

    def valid_mask(self, stage: str, inputs: Arrays, outputs: Arrays) -> Masks:
        assert stage == TABLE and set(STAGES[TABLE].outputs) <= set(outputs)
        return super().valid_mask(stage, inputs, outputs)


MODEL: Any = SimpleNamespace(scheme=OneStage())
SENTENCES = [["ada", "works", "at", "acme"], ["at"], ["acme", "at"], ["ada", *["at"] * 38, "acme"] + ["near"] * 20]


def annotated(card: Any, engine: Known) -> list[Sentence]:
    """The first three sentences as the engine reads them, alone."""
    from tablert_dist.tokenization import collate

    found = []
    for words in SENTENCES[:3]:
        inputs = collate(card.tokenizer.encode([words]), 0).arrays()
        found += TableScheme().decode(engine, inputs, [words], TAGS)
    return found


def test_engines_that_agree_are_counted_and_make_no_failure(graph: Any, card: Any, engines: Any) -> None:
    torch, onnx_engine = engines()
    report = verify(MODEL, card, graph, 1e-4, SENTENCES)
    assert report.failures == [] and (report.tolerance, report.precision) == (1e-4, "fp32")
    assert report.shapes == ["1 words", "2 words", "30 + 1 + 11 + 2 words", "7 + 7 + 7 words", "38 words"]
    assert (report.max_difference, report.mean_difference) == (0.0, 0.0)
    # The long sentence is read by three windows, a row each; two of them hold its last entity.
    assert report.sentences == report.identical == 3 + 3 and report.ties == 0
    assert report.relation_types == 2 and report.entities == 6 and report.relations == 1
    assert report.f1 == {} and report.gold == {}
    everything = {"entity_logits", "relation_logits", *RELATION_ANSWERS}
    assert all(set(asked) == everything for _, asked in torch.calls)
    shapes = [arrays["word_subwords"].shape[:2] for arrays, _ in torch.calls[:5]]
    assert shapes == [(1, 1), (1, 2), (4, 30), (3, 7), (1, LIMIT - 2)] and ODD_SHAPES == (
        (1,),
        (2,),
        (30, 1, 11, 2),
        (7, 7, 7),
    )
    assert len(onnx_engine.calls) > len(torch.calls), "beside torch's, and alone"


def test_random_sentences_are_within_the_limit_without_padding_and_the_same_each_time(
    graph: Any, card: Any, engines: Any
) -> None:
    runs = []
    for _ in range(2):
        torch, _ = engines()
        verify(MODEL, card, graph, 1e-4, SENTENCES[:1])
        runs.append([{k: v.copy() for k, v in arrays.items()} for arrays, _ in torch.calls[:5]])
    for one, two in zip(*runs, strict=True):
        assert all(np.array_equal(one[name], two[name]) for name in one)
        mask = one["attention_mask"].astype(bool)
        assert mask.sum(1).max() <= LIMIT and (one["input_ids"][mask] != card.pad_id).all()
        assert one["input_ids"].max() < card.tokenizer.tokenizer.get_vocab_size()
        own = one["word_subwords"]
        for row, subwords in enumerate(own):
            places = subwords[subwords >= 0].tolist()
            assert places == list(range(1, len(places) + 1)), "words one after the other, after the first token"
            assert mask[row].sum() == len(places) + 2
    counts = np.concatenate([(r["word_subwords"] >= 0).sum(-1).ravel() for r in runs[0][:4]])
    assert set(counts.tolist()) - {0} == {1, 2, 3}
    assert len({int(i) for r in runs[0] for i in r["input_ids"].ravel()}) > 30, "of the whole vocabulary"


@pytest.mark.parametrize(("shift", "largest"), [((0.0, 2e-4), 2e-4), ((4e-3, 0.0), 4e-3 / 9)])
def test_a_difference_is_relative_to_logits_over_one(
    shift: tuple[float, float], largest: float, graph: Any, card: Any, engines: Any
) -> None:
    """Of the first word, whose tag is O, the logit of O is 9; relations' are 3, where they are not 0."""
    engines(shift=shift)
    report = verify(MODEL, card, graph, 1e-6, [["at", "ada"]])
    assert report.max_difference == pytest.approx(largest, rel=1e-2)
    assert 0 < report.mean_difference < report.max_difference
    assert report.failures == [f"logits differ by {report.max_difference:.2e}, more than 1e-06"]


def test_what_is_no_number_is_no_small_difference(graph: Any, card: Any, engines: Any) -> None:
    engines(nan=True)
    report = verify(MODEL, card, graph, 1e-4, SENTENCES[:1])
    assert report.max_difference == np.inf and any(f.startswith("logits differ by inf") for f in report.failures)


@pytest.mark.parametrize("wrong", ["tag", "probability"])
def test_answers_are_those_of_their_logits(wrong: str, graph: Any, card: Any, engines: Any) -> None:
    torch, _ = engines(wrong=wrong)
    report = verify(MODEL, card, graph, 1e-4, SENTENCES[:1])
    lengths = [(arrays["word_subwords"][:, :, 0] >= 0).sum(-1) for arrays, _ in torch.calls]
    cells = int(sum((n * (n - 1) // 2).sum() for n in lengths))
    mistaken = int(sum((n > 1).sum() for n in lengths))
    assert (
        report.failures[0] == f"{mistaken} of {cells} cells have a tag or a probability that their logits do not give"
    )


def test_sentences_that_differ_are_ties_only_within_the_tolerance(graph: Any, card: Any, engines: Any) -> None:
    # 9 more for O: the first word is no entity for the one engine, and the difference is far over any tolerance.
    engines(shift=(20.0, 0.0))
    report = verify(MODEL, card, graph, 1e-4, SENTENCES[:3])
    assert (report.sentences, report.identical, report.ties) == (3, 1, 0) and report.entities == 3
    assert "2 of 3 sentences are decoded differently, not at a tie" in report.failures
    loose = verify(MODEL, card, graph, 100.0, SENTENCES[:3])
    assert (loose.identical, loose.ties, loose.failures) == (1, 2, [])


def test_f1_is_each_engines_against_gold(graph: Any, card: Any, engines: Any) -> None:
    torch, _ = engines(shift=(20.0, 0.0))
    gold = annotated(card, torch)
    report = verify(MODEL, card, graph, 100.0, SENTENCES[:3], "int8", gold)
    assert report.precision == "int8" and report.gold == {"ner": 3, "re": 1, "re_plus": 1}
    assert report.f1["torch"] == {"ner": 1.0, "re": 1.0, "re_plus": 1.0}
    assert report.f1["onnx"] == {"ner": 0.5, "re": 0.0, "re_plus": 0.0}
    assert report.failures[0] == "NER F1 loses 50.00 points, more than 0.5"


def test_a_long_sentence_is_put_together_from_its_windows(graph: Any, card: Any, engines: Any) -> None:
    torch, _ = engines()
    gold = [*annotated(card, torch), Sentence(tuple(SENTENCES[3]), ())]
    report = verify(MODEL, card, graph, 1e-4, SENTENCES, gold=gold)
    assert report.f1["torch"]["ner"] == pytest.approx(2 * 3 / (3 + 5)), (
        "both of its entities, each once, are not in gold"
    )
    assert report.f1["torch"] == report.f1["onnx"] and report.failures == []


def test_a_graph_that_breaks_its_contract_is_not_run(tmp_path: Path, card: Any, engines: Any) -> None:
    torch, _ = engines()
    stage = STAGES[TABLE]
    axes = axes_of(stage)
    fixed = {**axes, "entity_logits": (1, "words", 13)}
    path = write_graph(tmp_path / "fixed.onnx", fixed, [*stage.outputs, *stage.answers])
    report = verify(MODEL, card, {TABLE: path}, 1e-4, SENTENCES)
    assert (
        report.failures == ["the graph fixes an axis of entity_logits to [1]"] and not torch.calls and not report.shapes
    )
    lacking = {name: shape for name, shape in axes.items() if name not in stage.answers}
    path = write_graph(tmp_path / "lacking.onnx", lacking, list(stage.outputs))
    report = verify(MODEL, card, {TABLE: path}, 1e-4, SENTENCES)
    names = {"input_ids": 2, "attention_mask": 2, "word_subwords": 3, "entity_logits": 3, "relation_logits": 4}
    answers = {"relation_tags": 3, "relation_probabilities": 3}
    assert report.failures == [f"the graph has {names}, the contract is {names | answers}"]
    assert contract(stage) == names | answers


def test_compared_gives_torchs_outputs_and_offers_what_the_graph_offers(card: Any) -> None:
    torch, graph = Known({}), Known({}, wrong="offers nothing")
    compared = Compared(torch, graph, TableScheme())
    assert compared.offers(TABLE) == frozenset() and Compared(graph, torch, TableScheme()).offers(TABLE) == set(
        RELATION_ANSWERS
    )
    one = {"input_ids": np.ones((1, 3), np.int64), "word_subwords": np.array([[[1]]])}
    found = compared.run(TABLE, one)
    assert found["entity_logits"] is not None and compared.differences == [0.0], (
        "a single word has no cell of relations"
    )
    assert (compared.answers, compared.wrong) == (0, 0)
    two = {"input_ids": np.ones((1, 4), np.int64), "word_subwords": np.array([[[1], [2]]])}
    compared.run(TABLE, two)
    assert compared.differences == [0.0] * 3 and (compared.answers, compared.wrong) == (1, 0)
    assert isinstance(VerificationReport(1.0).failures, list)
