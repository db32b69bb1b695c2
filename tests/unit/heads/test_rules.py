"""Rules on arrays: what is chosen against every assignment, what breaks a rule, and names that a model lacks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Arguments, Constraints, Rule
from tablert_dist.heads.rules import Broken, Rules
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.table_decoding import decode
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.tags import TableLogits, TagSet
from tests.support.tiny import SCHEMA

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
    (found,) = decode(words, logits, TAGS, rules=Rules.of(STRICT, TAGS))
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


def test_each_way_of_excluding_is_counted_under_its_own_name() -> None:
    def broken(rule: Rule, *relations: Relation) -> Broken:
        return Rules.of(Constraints(relations={"works": rule, "near": rule}), TAGS).broken([sentence(*relations)])

    tails, heads = [Relation(PER, e, "works") for e in (ORG, LOC)], [Relation(e, PER, "works") for e in (ORG, LOC)]
    forward, back = Rule(functional=True), Rule(inverse_functional=True)
    assert broken(forward, *tails) == Broken(triples=1, among=2, functional=1)
    assert broken(back, *heads) == Broken(triples=1, among=2, inverse_functional=1)
    assert broken(forward, *heads) == broken(back, *tails) == Broken(among=2)
    # A partner is a partner, whichever of the two rules says that there is one.
    near = Relation(ORG, LOC, "near"), Relation(LOC, TOWN, "near")
    assert broken(forward, *near) == broken(back, *near) == Broken(triples=1, among=2, functional=1)
    turned = Relation(LOC, ORG, "near")
    assert broken(forward, near[0], turned) == Broken(triples=1, among=2, symmetric=1), (
        "and not its partner's second one"
    )
    # What says no probability comes last.
    sure = Rules.of(Constraints(relations={"works": forward}), TAGS)
    said = sentence(Relation(PER, ORG, "works"), Relation(PER, LOC, "works", 0.3))
    assert sure.settle(said).relations == (Relation(PER, LOC, "works"),)
    told = Rules.of(
        Constraints(relations={"works": Rule(functional=True, allowed=pairs(("Per", "Loc"), ("Per", "Org")))}), TAGS
    )
    assert [r.tail for r, _ in told._breaking(said.relations)] == [ORG]


@given(seed=st.integers(0, 10**6))
def test_sentences_of_a_batch_do_not_touch_each_other(seed: int) -> None:
    parts = [table(seed + i, 2 + (seed + i) % 5, 2.0) for i in range(4)]
    alone = [decode(words, logits, TAGS, rules=RULES)[0] for words, logits in parts]
    most = max(len(words[0]) for words, _ in parts)

    def padded(arrays: list[np.ndarray], axes: int) -> np.ndarray:
        return np.concatenate([np.pad(a, [(0, 0), *[(0, most - a.shape[1])] * axes, (0, 0)]) for a in arrays])

    logits = TableLogits(
        padded([found.entity for _, found in parts], 1), padded([found.relation for _, found in parts], 2)
    )
    together = decode([words[0] for words, _ in parts], logits, TAGS, rules=RULES)
    assert [(s.entities, s.relations) for s in together] == [(s.entities, s.relations) for s in alone]
