"""The small outputs that prediction reads instead of logits: the same sentences, in every engine, and old graphs too."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from export.graph import export_bundle
from export.verify import verify
from tablert_dist.config import ExportConfig, ModelConfig
from tablert_dist.gpu import gpu_path
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import RELATION_ANSWERS, Arrays
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.tablert.scheme import RELATIONS
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import load_checkpoint
from tablert_dist.schema import Sentence
from tablert_dist.tags import TagSet
from tests.support import GOLDEN
from tests.support.serving import make_bundle
from tests.support.tiny import SCHEMA, write_tiny_checkpoint

TAGS = TagSet(SCHEMA)
WORDS = [["Ada", "Bo", "works", "at", "Acme", "near", "Oslo", "."], ["Bo"], ["Ada", "near", "Tromsø"]]
SMALL = ("entity_logits", *RELATION_ANSWERS)


class Given:
    """An engine whose logits are given; `offers_answers`: with their answers, computed in numpy."""

    def __init__(self, entity: NDArray[Any], relation: NDArray[Any], offers_answers: bool) -> None:
        self.entity, self.relation, self.offers_answers = entity, relation, offers_answers
        self.asked: list[Collection[str] | None] = []

    def offers(self, stage: str) -> frozenset[str]:
        return frozenset(RELATION_ANSWERS) if self.offers_answers else frozenset()

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        self.asked.append(outputs)
        found = {"entity_logits": self.entity, "relation_logits": self.relation}
        if self.offers_answers:
            found["relation_tags"] = self.relation.argmax(-1).astype(np.int32)
            found["relation_probabilities"] = softmax(self.relation).max(-1).astype(np.float32)
        return {name: found[name] for name in outputs or found}


def same(ours: list[Sentence], theirs: list[Sentence], tolerance: float = 1e-5) -> None:
    """Equal but for the last digits of probabilities."""
    for one, other in zip(ours, theirs, strict=True):
        assert (one.entities, one.relations) == (other.entities, other.relations)
        for a, b in zip((*one.entities, *one.relations), (*other.entities, *other.relations), strict=True):
            assert a.probability == pytest.approx(b.probability, abs=tolerance)


@given(seed=st.integers(0, 10_000), constrained=st.booleans())
def test_answers_decode_as_their_logits_do(seed: int, constrained: bool) -> None:
    """Logits one unit in the last place apart too: the tag is the largest one's, whatever softmax rounds to."""
    rng = np.random.default_rng(seed)
    entity = rng.normal(size=(3, 8, len(TAGS.entity_tags))).astype(np.float32) * 2
    relation = rng.normal(size=(3, 8, 8, len(TAGS.relation_tags))).astype(np.float32)
    largest = relation.max(-1, keepdims=True)
    relation = np.where(rng.random(relation.shape) < 0.3, np.nextafter(largest, -np.inf), relation).astype(np.float32)
    scheme = make_scheme(ModelConfig(cnn={"decoding": "viterbi" if constrained else "argmax"}))  # type: ignore[arg-type]
    small, large = Given(entity, relation, True), Given(entity, relation, False)
    same(*(scheme.decode(engine, {}, WORDS, TAGS) for engine in (small, large)))
    assert (small.asked, large.asked) == ([SMALL], [None]), "logits are not asked for where there are answers"


@pytest.fixture(scope="module")
def bundle(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tiny_encoder, tmp_path_factory.mktemp("answers"))


def test_an_exported_graph_answers_what_its_logits_say(bundle: Path) -> None:
    predictor = Predictor.load(bundle)
    assert predictor.engine.offers(TABLE) == set(RELATION_ANSWERS)
    inputs = predictor.inputs(predictor.tokenizer.encode(WORDS))
    logits, answers = predictor.engine.run(TABLE, inputs), predictor.engine.run(TABLE, inputs, SMALL)
    assert list(logits) == ["entity_logits", "relation_logits"] and list(answers) == list(SMALL)
    assert answers["relation_tags"].dtype == np.int32
    assert (answers["relation_tags"] == logits["relation_logits"].argmax(-1)).all()
    expected = softmax(logits["relation_logits"]).max(-1)
    np.testing.assert_allclose(answers["relation_probabilities"], expected, atol=1e-6)
    assert sum(a.nbytes for a in answers.values()) < 0.8 * sum(a.nbytes for a in logits.values())
    decoded = make_scheme(ModelConfig()).decode(
        Given(logits["entity_logits"], logits["relation_logits"], False), {}, WORDS, TAGS
    )
    assert sum(len(s.relations) for s in decoded) >= 3, "the comparison is about something"
    same(predictor.annotate(WORDS), decoded)


def test_torch_answers_on_a_card_and_not_on_a_cpu(bundle: Path) -> None:
    predictor = Predictor.load(bundle.with_name("checkpoint"))
    assert not predictor.engine.offers(TABLE), "a CPU copies no logits, and decoding reads few cells"
    plain = predictor.annotate(WORDS)
    assert sum(len(s.relations) for s in plain) >= 3
    with gpu_path():
        assert predictor.engine.offers(TABLE) == set(RELATION_ANSWERS)
        same(predictor.annotate(WORDS), plain)


@pytest.mark.parametrize(("name", "stage"), [("cnn-fp32", TABLE), ("cnn-fp16", TABLE), ("tablert-fp32", RELATIONS)])
def test_a_graph_of_an_earlier_version_has_none_and_is_read_by_its_logits(name: str, stage: str) -> None:
    predictor = Predictor.load(GOLDEN / "bundle" / name)
    assert not predictor.engine.offers(stage)
    assert any(s.relations for s in predictor.annotate([["Ada", "works", "at", "Acme", "near", "Oslo", "."]]))


def test_a_graph_whose_answers_are_not_its_logits_is_refused(bundle: Path, tmp_path: Path) -> None:
    model, card = load_checkpoint(bundle.with_name("checkpoint"))
    assert verify(model, card, {TABLE: bundle / "table.onnx"}, 1e-4, WORDS).failures == []
    proto = onnx.load(str(bundle / "table.onnx"))
    (node,) = (n for n in proto.graph.node if n.op_type == "ArgMax")
    node.op_type = "ArgMin"
    onnx.save(proto, str(tmp_path / "table.onnx"))
    report = verify(model, card, {TABLE: tmp_path / "table.onnx"}, 1e-4, WORDS)
    assert any("have a tag or a probability that their logits do not give" in told for told in report.failures)


def test_half_a_graphs_digits_are_not_half_of_a_probabilitys(tiny_encoder: str, tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tiny_encoder, tmp_path / "checkpoint")
    export_bundle(checkpoint, tmp_path / "half", ExportConfig(precision="fp16", allow="random weights"), WORDS)
    engine = Predictor.load(tmp_path / "half").engine
    inputs = Predictor.load(checkpoint).inputs(Predictor.load(checkpoint).tokenizer.encode(WORDS))
    found = engine.run(TABLE, inputs, ("relation_logits", *RELATION_ANSWERS))
    expected = softmax(found["relation_logits"]).max(-1)
    np.testing.assert_allclose(found["relation_probabilities"], expected, atol=1e-6)
