"""Rules in decoding: what is chosen against every assignment, of every head, in torch and onnxruntime, over windows."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from export.graph import export_bundle
from tablert_dist.config import ExportConfig, PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.gpu import gpu_path
from tablert_dist.heads.constraints import Arguments, Constraints, Rule
from tablert_dist.heads.rules import Broken, Rules
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.table_decoding import decode
from tablert_dist.heads.temperatures import Temperatures
from tablert_dist.inference.bundle import MANIFEST, open_bundle
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import read_card
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.records import SEAL, sealed
from tablert_dist.tags import TableLogits, TagSet
from tests.support import GOLDEN
from tests.support.tiny import SCHEMA, WORDS, write_tiny_checkpoint

TAGS = TagSet(SCHEMA)


def pairs(*types: tuple[str, str]) -> list[Arguments]:
    return [Arguments(head=head, tail=tail) for head, tail in types]


STRICT = Constraints(
    relations={
        "works": Rule(
            allowed=pairs(("Per", "Org"), ("Per", "Per"), ("Org", "Loc")), functional=True, inverse_functional=True
        ),
        "near": Rule(allowed=pairs(("Org", "Loc"), ("Loc", "Loc"), ("Per", "Loc"))),
    },
    note="given in a test",
)
RULES = Rules.of(STRICT, TAGS)
TEXTS = [[WORDS[(i * 5 + j * 7) % len(WORDS)] for j in range(4 + i % 6)] for i in range(12)]
LONG = [WORDS[j * 7 % len(WORDS)] for j in range(90)]
"""Over the encoder's limit: read by windows."""
SETTINGS: dict[str, dict[str, Any]] = {
    "cnn": {},
    "viterbi": {"model__cnn__decoding": "viterbi"},
    "tablert": {"model__head": "tablert"},
    "spert": {"model__head": "spert", "model__spert__max_span": 3},
}


def keeps(relations: Sequence[Relation]) -> bool:
    """Whether relations keep STRICT's rules: by its words alone, without the code under test."""
    works = [r for r in relations if r.type == "works"]
    types = {
        "works": {("Per", "Org"), ("Per", "Per"), ("Org", "Loc")},
        "near": {("Org", "Loc"), ("Loc", "Loc"), ("Per", "Loc")},
    }
    types["near"] |= {(b, a) for a, b in types["near"]}
    return (
        all((r.head.type, r.tail.type) in types[r.type] for r in relations)
        and len({r.head for r in works}) == len({r.tail for r in works}) == len(works)
        and len({(r.type, frozenset((r.head, r.tail))) for r in relations if r.type == "near"})
        == sum(r.type == "near" for r in relations)
    )


def table(seed: int, words: int, scale: float) -> tuple[list[tuple[str, ...]], TableLogits]:
    """Logits of a sentence each word of which is an entity."""
    rng = np.random.default_rng(seed)
    entity = np.full((1, words, len(TAGS.entity_tags)), -9.0, np.float32)
    for i in range(words):
        entity[0, i, TAGS.entity_id("U", SCHEMA.entity_types[rng.integers(3)])] = 3.0
    relation = rng.normal(size=(1, words, words, len(TAGS.relation_tags))).astype(np.float32) * scale
    return [tuple(f"w{i}" for i in range(words))], TableLogits(entity, relation)


def every_assignment(sentence: Sentence, logits: TableLogits) -> float:
    """The largest log probability of labels of all cells that keep the rules: one label a cell, tried in every way."""
    entities = sentence.entities
    log_p = np.log(softmax(logits.relation[0]))
    cells = list(itertools.combinations(range(len(entities)), 2))
    best = -math.inf
    for labels in itertools.product(range(len(TAGS.relation_tags)), repeat=len(cells)):
        relations = []
        for (i, j), label in zip(cells, labels, strict=True):
            found = TAGS.relation_of(label)
            if found is not None:
                ends = (entities[i], entities[j]) if found[1] == "right" else (entities[j], entities[i])
                relations.append(Relation(*ends, found[0]))
        if keeps(relations):
            best = max(best, sum(float(log_p[i, j, label]) for (i, j), label in zip(cells, labels, strict=True)))
    return best


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.5, 2.0, 5.0]))
def test_the_most_probable_assignment_of_labels_that_keeps_the_rules_is_found(seed: int, scale: float) -> None:
    words, logits = table(seed, 3, scale)
    (found,) = decode(words, logits, TAGS, rules=RULES)
    assert len(found.entities) == 3 and keeps(found.relations)
    log_p, total = np.log(softmax(logits.relation[0])), 0.0
    by_cell = {tuple(sorted((r.head.start, r.tail.start))): r for r in found.relations}
    for i, j in itertools.combinations(range(3), 2):
        r = by_cell.get((i, j))
        # A symmetric type's two tags mean the same: the more probable one is its label.
        tags = [0] if r is None else [TAGS.relation_id(r.type, "right" if r.head.start == i else "left")]
        if r is not None and r.type in SCHEMA.symmetric:
            tags.append(tags[0] + 1)
        total += max(float(log_p[i, j, tag]) for tag in tags)
        if r is not None:
            assert r.probability == pytest.approx(max(math.exp(log_p[i, j, tag]) for tag in tags), rel=1e-5)
            assert r.odds == pytest.approx(math.log(r.probability or 0.0) - log_p[i, j, 0], rel=1e-4)
    assert total == pytest.approx(every_assignment(found, logits), rel=1e-6)


@given(seed=st.integers(0, 10**6))
def test_what_breaks_no_rule_stays_as_it_is(seed: int) -> None:
    words, logits = table(seed, 4, 2.0)
    (before,) = decode(words, logits, TAGS)
    (after,) = decode(words, logits, TAGS, rules=RULES)
    assert after.entities == before.entities
    told = {r: r.probability for r in before.relations}
    assert all(r.probability == pytest.approx(told[r]) for r in after.relations if r in told)
    free = Rules.of(Constraints(relations={}), TAGS)
    (same,) = decode(words, logits, TAGS, rules=free)
    assert same.relations == before.relations
    if keeps(before.relations):
        assert after.relations == before.relations


@given(seed=st.integers(0, 10**6), words=st.integers(2, 16))
def test_sentences_of_any_size_keep_the_rules(seed: int, words: int) -> None:
    texts, logits = table(seed, words, 1.5)
    (found,) = decode(texts, logits, TAGS, rules=RULES)
    assert keeps(found.relations) and RULES.broken([found]).triples == 0
    (before,) = decode(texts, logits, TAGS)
    assert (RULES.broken([before]).triples == 0) == keeps(before.relations)


@pytest.fixture(scope="module")
def checkpoints(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write_tiny_checkpoint(tiny_encoder, folder / name, **settings) for name, settings in SETTINGS.items()}


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tablert_dist.data.annotated import types_bytes

    path = tmp_path_factory.mktemp("rules") / "rules.json"
    path.write_bytes(types_bytes(SCHEMA, STRICT))
    return str(path)


def labels(found: Sequence[Sentence]) -> list[Any]:
    return [(s.entities, s.relations) for s in found]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_head_keeps_the_rules_also_over_windows(name: str, checkpoints: dict[str, Path], rules_file: str) -> None:
    texts = [*TEXTS, LONG]
    plain = Predictor.load(checkpoints[name]).annotate(texts)
    predictor = Predictor.load(checkpoints[name], PredictConfig(constraints=rules_file))
    found = predictor.annotate(texts)
    assert [s.entities for s in found] == [s.entities for s in plain], "entities are as they were"
    assert all(keeps(s.relations) for s in found) and not all(keeps(s.relations) for s in plain)
    assert sum(len(s.relations) for s in found) > 10
    assert predictor.predict_words([LONG])[0].read.windows > 1  # type: ignore[union-attr]
    broken = RULES.broken(plain)
    assert broken.triples > 5 and broken.types and broken.functional and broken.inverse_functional
    # A temperature changes no choice.
    predictor.scheme.temperatures = Temperatures(tags=2.5, cells=4.0)
    assert labels(predictor.annotate(texts)) == labels(found)


def on_record(folder: Path, target: Path, constraints: Constraints) -> Path:
    """A copy of a checkpoint that has constraints in its record, as a training writes it."""
    shutil.copytree(folder, target)
    tree = {k: v for k, v in json.loads((folder / META).read_text()).items() if k != SEAL}
    assert "constraints" not in tree and read_card(folder).constraints is None
    (target / META).write_text(json.dumps(sealed({**tree, "constraints": constraints.to_json()})))
    return target


@pytest.mark.parametrize("name", ["cnn", *(pytest.param(n, marks=pytest.mark.slow) for n in ("tablert", "spert"))])
def test_both_engines_choose_the_same_by_the_rules_on_record(
    name: str, checkpoints: dict[str, Path], rules_file: str, tmp_path: Path
) -> None:
    checkpoint = on_record(checkpoints[name], tmp_path / "checkpoint", STRICT)
    bundle = tmp_path / "bundle"
    export_bundle(checkpoint, bundle, ExportConfig(allow="random weights"), TEXTS)
    texts, learned = [*TEXTS, LONG], PredictConfig(constraints="learned")
    ours, theirs = (Predictor.load(path, learned).annotate(texts) for path in (checkpoint, bundle))
    assert labels(ours) == labels(theirs) and sum(len(s.relations) for s in ours) > 10
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one.relations, other.relations, strict=True):
            assert a.probability == pytest.approx(b.probability, abs=1e-4)
    assert labels(ours) == labels(Predictor.load(bundle, PredictConfig(constraints=rules_file)).annotate(texts))
    assert open_bundle(bundle).constraints == read_card(checkpoint).constraints == STRICT
    card = (bundle / "README.md").read_text()
    assert "keeps these rules (given in a test)" in card and "near: Org → Loc, Loc → Loc, Per → Loc" in card
    # Off by default: as the model without any on record.
    plain = Predictor.load(checkpoints[name]).annotate(texts)
    assert labels(Predictor.load(checkpoint).annotate(texts)) == labels(plain) != labels(ours)


def test_a_record_names_only_types_that_the_model_has(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    wrong = Constraints(relations={"worked": Rule(functional=True)})
    with pytest.raises(InputError, match=r"checkpoint.json: constraints: there is no relation type 'worked'"):
        read_card(on_record(checkpoints["cnn"], tmp_path / "a", wrong))
    shutil.copytree(GOLDEN / "bundle" / "cnn-fp32", tmp_path / "bundle")
    tree = {k: v for k, v in json.loads((tmp_path / "bundle" / MANIFEST).read_text()).items() if k != SEAL}
    for rules, reason in (
        ({"works": {"allowed": []}}, r"constraints.relations.works.allowed = \[\]"),
        ({"worked": {}}, r"manifest.json: constraints: there is no relation type 'worked'"),
    ):
        (tmp_path / "bundle" / MANIFEST).write_text(json.dumps(sealed({**tree, "constraints": {"relations": rules}})))
        with pytest.raises(InputError, match=reason):
            open_bundle(tmp_path / "bundle")


def test_a_card_gives_all_labels_of_a_cell_where_rules_ask_for_them(
    checkpoints: dict[str, Path], rules_file: str
) -> None:
    config = PredictConfig(constraints=rules_file)
    expected = Predictor.load(checkpoints["cnn"], config).annotate(TEXTS)
    with gpu_path():
        predictor = Predictor.load(checkpoints["cnn"], config)
        assert predictor.engine.offers("table")
        assert labels(predictor.annotate(TEXTS)) == labels(expected)


@pytest.mark.parametrize("name", ["cnn-fp32", "cnn-fp16", "tablert-fp32", "spert-fp32"])
def test_bundles_of_an_earlier_version_keep_the_rules_of_a_file(name: str, tmp_path: Path) -> None:
    """And have none on record; without a file they predict what they did (tests of the golden files)."""
    bundle, rules = GOLDEN / "bundle" / name, tmp_path / "rules.json"
    rules.write_text('{"relations": {"works": {"allowed": [{"head": "Loc", "tail": "Org"}]}}}')
    texts = [["Ada", "works", "at", "Acme", "near", "Oslo", "."]]
    before, after = (
        [r.type for r in Predictor.load(bundle, config).annotate(texts)[0].relations]
        for config in (PredictConfig(), PredictConfig(constraints=str(rules)))
    )
    assert "works" in before and "works" not in after and set(before) - {"works"} <= set(after)
    with pytest.raises(InputError, match=r"no constraints on record.*tablert data constraints DATA --out rules.json"):
        Predictor.load(bundle, PredictConfig(constraints="learned"))


PER, ORG, LOC, TOWN = Entity(0, 1, "Per"), Entity(1, 2, "Org"), Entity(2, 3, "Loc"), Entity(3, 4, "Loc")


def sentence(*relations: Relation) -> Sentence:
    return Sentence(("a", "b", "c", "d"), (PER, ORG, LOC, TOWN), relations)


def test_broken_triples_are_counted_once_each_with_their_reasons() -> None:
    said = sentence(
        Relation(PER, ORG, "works", 0.9),
        Relation(PER, PER, "works", 0.95),  # takes both roles of PER
        Relation(LOC, PER, "works", 0.99),  # is not allowed, and takes no role
        Relation(ORG, LOC, "near", 0.5),
        Relation(LOC, ORG, "near", 0.4),
        Relation(PER, ORG, "works", 0.9),  # listed twice: one triple
    )
    broken = RULES.broken([said, sentence()])
    assert broken == Broken(triples=3, among=5, types=1, functional=1, symmetric=1)
    assert str(broken) == "3 of 5 triples (types 1, functional 1, symmetric 1)"
    assert RULES.most_broken([said], 2) == ["1 × works: Loc → Per", "1 × works: functional", "and 1 more"]
    settled = RULES.settle(said)
    assert settled.relations == (Relation(PER, PER, "works"), Relation(ORG, LOC, "near"))
    assert RULES.settle(settled) is settled and RULES.broken([settled]).triples == 0


def test_a_relation_without_direction_has_one_partner_where_it_is_functional() -> None:
    """The schema says that `near` has none; of `works` the constraints do."""
    one = Rules.of(
        Constraints(
            relations={"near": Rule(functional=True), "works": Rule(symmetric=True, allowed=pairs(("Org", "Per")))}
        ),
        TAGS,
    )
    said = sentence(
        Relation(ORG, LOC, "near", 0.5),
        Relation(LOC, TOWN, "near", 0.8),
        Relation(ORG, PER, "works", 0.6),
        Relation(PER, ORG, "works", 0.7),
    )
    assert one.settle(said).relations == (Relation(LOC, TOWN, "near"), Relation(PER, ORG, "works"))
    assert one.broken([said]) == Broken(triples=2, among=4, functional=1, symmetric=1)
    words, logits = table(0, 2, 0.0)
    logits.entity[0, :] = -9.0
    logits.entity[0, 0, TAGS.entity_id("U", "Per")] = logits.entity[0, 1, TAGS.entity_id("U", "Org")] = 3.0
    logits.relation[0, 0, 1, TAGS.relation_id("works", "left")] = 4.0
    assert [r.head.start for r in decode(words, logits, TAGS)[0].relations] == [1]
    (found,) = decode(words, logits, TAGS, rules=one)
    assert [(r.head.start, r.type) for r in found.relations] == [(0, "works")], "the first one is the head"


def test_rules_name_only_types_that_the_model_has() -> None:
    wrong = Constraints(relations={"workd": Rule(functional=True)})
    with pytest.raises(InputError, match=r"x: there is no relation type 'workd'.*did you mean 'works'\?"):
        Rules.of(wrong, TAGS, "x")
    wrong = Constraints(relations={"works": Rule(allowed=pairs(("Per", "Orgs")))})
    with pytest.raises(InputError, match=r"relation 'works': a tail: there is no entity type 'Orgs'.*'Org'"):
        Rules.of(wrong, TAGS)
    other = TagSet(Schema(("Per", "Org", "Loc"), ("near",)))
    with pytest.raises(InputError, match="there is no relation type 'works'; there are: near"):
        Rules.of(STRICT, other)
