"""Constraints: learned with counts from sentences, given in a types file, kept by a training, and counted in reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tablert_dist import load
from tablert_dist.cli import main as tablert
from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.data.annotated import rules_of, types_bytes
from tablert_dist.data.constraints import LEAST, learn
from tablert_dist.data.formats import types_file
from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Arguments, Constraints, Rule
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tests.support import GOLDEN
from tests.support.tiny import SCHEMA, tiny_records, write_corpus

BUNDLE, CORPUS = GOLDEN / "bundle" / "cnn-fp32", GOLDEN / "corpus"
TYPES: dict[str, Any] = {
    "entities": {name: {"short": name, "verbose": name} for name in ("Per", "Org", "Loc")},
    "relations": {"works": {"short": "W", "verbose": "works for"}, "near": {"symmetric": True}},
}


def run(*words: object) -> Result:
    return CliRunner().invoke(tablert, [str(word) for word in words])


def made(*relations: tuple[int, int, str], types: str = "POOL") -> Sentence:
    """A sentence of entities of one word, P, O or L, with relations between them by place."""
    named = {"P": "Per", "O": "Org", "L": "Loc"}
    entities = tuple(Entity(i, i + 1, named[t]) for i, t in enumerate(types))
    return Sentence(tuple(types), entities, tuple(Relation(entities[h], entities[t], k) for h, t, k in relations))


def test_pairs_of_types_are_counted_and_the_rare_ones_can_be_left_out() -> None:
    found = [
        made((0, 1, "works"), (0, 1, "works")),
        made((0, 1, "works"), (3, 1, "near")),
        made((1, 3, "works")),
        made((3, 1, "near")),
    ]
    learned = learn(found, SCHEMA, "a test")
    works, near = learned.relations["works"], learned.relations["near"]
    assert works.allowed == [Arguments(head="Per", tail="Org", count=2), Arguments(head="Org", tail="Loc", count=1)]
    assert near.allowed == [Arguments(head="Loc", tail="Org", count=2)] and near.symmetric and not works.symmetric
    assert (learned.note, learned.sentences) == ("learned from a test", 4)
    assert learned.rules()[0] == "works: Per → Org (2), Org → Loc (1)"
    twice = learn([*found, *found], SCHEMA, "", min_count=4)
    assert twice.relations["works"].allowed == [Arguments(head="Per", tail="Org", count=4)]
    with pytest.raises(InputError, match=r"min-count 5: no pair of types of 'works' is that frequent.*has 4"):
        learn([*found, *found], SCHEMA, "", min_count=5)
    assert list(learn(found[:1], SCHEMA, "").relations) == ["works"], "a type without an example is left free"


@pytest.mark.parametrize(("several", "holds"), [(0, True), (1, True), (2, False)])
def test_a_relation_is_functional_where_nearly_no_head_with_a_choice_has_two_tails(several: int, holds: bool) -> None:
    one, two = made((0, 1, "works")), made((0, 1, "works"), (0, 2, "works"))
    found = [*[one] * (LEAST - several), *[two] * several]
    rule = learn(found, SCHEMA, "").relations["works"]
    assert (rule.heads, rule.several_tails, rule.functional) == (LEAST, several, holds)
    # No second Per stands in these sentences: a tail never had the choice of another head.
    assert (rule.tails, rule.several_heads, rule.inverse_functional) == (0, 0, False)
    assert not learn(found[1:], SCHEMA, "").relations["works"].functional or several == 0
    few = learn([one] * (LEAST - 1), SCHEMA, "").relations["works"]
    assert (few.heads, few.functional) == (LEAST - 1, False), "no violation may be chance"
    lonely = learn([made((0, 1, "works"), types="POL")] * 2 * LEAST, SCHEMA, "").relations["works"]
    assert (lonely.heads, lonely.functional) == (0, False), "nobody could have had a second tail"


def test_tails_are_counted_as_heads_are_and_partners_of_symmetric_types_on_both_sides() -> None:
    rule = learn([made((0, 2, "works"), types="PPOO")] * LEAST, SCHEMA, "").relations["works"]
    assert rule.inverse_functional and (rule.tails, rule.several_heads) == (LEAST, 0)
    assert (
        "inverse_functional (0 of 50 entities with a choice have several heads)"
        in learn([made((0, 2, "works"), types="PPOO")] * LEAST, SCHEMA, "").rules()[0]
    )
    # A near B, B near C: each is a head once, but B has two partners.
    row = learn([made((0, 1, "near"), (1, 2, "near"), types="LLL")] * LEAST, SCHEMA, "").relations["near"]
    assert (row.heads, row.several_tails, row.functional) == (3 * LEAST, LEAST, False)
    pair = learn([made((0, 1, "near"), types="LLL")] * LEAST, SCHEMA, "").relations["near"]
    assert (pair.heads, pair.several_tails, pair.functional) == (2 * LEAST, 0, True)


def test_types_that_stand_in_both_directions_have_none() -> None:
    directed = Schema(SCHEMA.entity_types, SCHEMA.relation_types)
    both = [made((0, 1, "works"), (1, 0, "works"), (1, 3, "near"))] * 6
    learned = learn(both, directed, "")
    assert learned.relations["works"].symmetric and not learned.relations["near"].symmetric
    assert learned.relations["works"].allowed == [Arguments(head="Org", tail="Per", count=6)]


WRONG = {
    "an empty list": ({"allowed": []}, r"relation 'works'.*could never be predicted; leave 'allowed' out"),
    "a head that there is not": (
        {"allowed": [{"head": "Prs", "tail": "Org"}]},
        r"relation 'works': a head: there is no entity type 'Prs'; there are: \w+, Org, \w+; did you mean 'Per'\?",
    ),
    "no tail": ({"allowed": [{"head": "Per"}]}, r"relation 'works'.*allowed.0.tail.*Field required"),
    "a list of names": ({"allowed": ["Per"]}, r"relation 'works'.*allowed.0 = 'Per'"),
    "a name": ({"allowed": "Per"}, r"relation 'works'.*allowed = 'Per'"),
    "words for yes": ({"functional": "yes"}, r"relation 'works'.*functional = 'yes'.*boolean"),
    "a count below 0": ({"allowed": [{"head": "Per", "tail": "Org", "count": -1}]}, r"allowed.0.count = -1"),
    "a slip": ({"functionl": True}, r"relation 'works': 'functionl' is no rule; did you mean 'functional'\?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_rules_of_a_types_file_that_cannot_be_meant_are_refused(case: str, tmp_path: Path) -> None:
    rule, reason = WRONG[case]
    corpus = write_corpus(tmp_path / "d", {"train": tiny_records(6)})
    tree = {**TYPES, "relations": {**TYPES["relations"], "works": rule}}
    (corpus / "tiny_types.json").write_text(json.dumps(tree))
    for call in (
        lambda: load_corpus(DataConfig(path=str(corpus))),
        lambda: load(BUNDLE, constraints=str(corpus / "tiny_types.json")),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            call()
        assert "tiny_types.json" in str(caught.value) and "\n" not in str(caught.value)
    done = run("data", "check", corpus)
    assert done.exit_code == 1 and "Traceback" not in done.output


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, r"predict.constraints: not off, not learned, and the types file '.*rules.json' does not exist"),
        ("{", r"rules.json: not JSON"),
        ("[]", r"rules.json: a types file is an object"),
        ('{"entities": {}}', r"rules.json: rules stand in the object 'relations'"),
        ('{"relations": {"works": {"symmetric": true}}}', r"rules.json gives no rules"),
        (
            '{"relations": {"employs": {"functional": true}}}',
            r"rules.json: there is no relation type 'employs'; there are:",
        ),
        ('{"relations": {"works": {"allowed": [{"head": "Pers", "tail": "Org"}]}}}', r"no entity type 'Pers'.*'Per'"),
    ],
)
def test_a_file_that_gives_a_model_no_rules_is_refused(content: str | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    if content is not None:
        path.write_text(content)
    (tmp_path / "in.txt").write_text("Ada works at Acme .\n")
    with pytest.raises(InputError, match=reason):
        load(BUNDLE, constraints=str(path))
    done = run("predict", "--model", BUNDLE, "--in", tmp_path / "in.txt", "--set", f"predict.constraints={path}")
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.output
    for wanted in ("learned", ""):
        done = run("predict", "--model", BUNDLE, "--in", tmp_path / "in.txt", "--set", f"predict.constraints={wanted}")
        assert done.exit_code == 2 and "predict.constraints" in done.stderr, done.output


RULED = Constraints(
    relations={
        "works": Rule(allowed=[Arguments(head="Per", tail="Org", count=3)], functional=True),
        "near": Rule(inverse_functional=True, symmetric=True),
    },
    note="given in tiny_types.json",
)


def test_a_types_file_gives_rules_which_its_copies_keep(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "d", {"train": tiny_records(24), "dev": tiny_records(4)})
    assert load_corpus(DataConfig(path=str(corpus))).constraints is None and rules_of(corpus) is None
    (corpus / "tiny_types.json").write_bytes(types_bytes(SCHEMA, RULED))
    given = load_corpus(DataConfig(path=str(corpus))).constraints
    assert given == rules_of(corpus) == rules_of(corpus / "tiny_train.json") == RULED
    assert types_file.read(corpus / "tiny_types.json") == SCHEMA
    done = run("data", "split", corpus, "--out", tmp_path / "parts", "--parts", "train=0.5,dev=0.5")
    assert done.exit_code == 0, done.output
    assert run("data", "split", corpus, "--out", tmp_path / "folds", "--folds", "2").exit_code == 0
    for types in (tmp_path / "parts" / "types.json", tmp_path / "folds" / "fold-1" / "types.json"):
        found = types_file.read_rules(types)
        assert found is not None and found.relations == RULED.relations
    # A type that only BRAT has to rename is renamed in the rules too.
    spaced = Schema(("A Per", "Org"), ("works at",))
    renamed = Constraints(relations={"works at": Rule(allowed=[Arguments(head="A Per", tail="Org")])})
    source = tmp_path / "x.json"
    record = {"tokens": ["a", "b"], "entities": [{"start": 0, "end": 1, "type": "A Per"}], "relations": []}
    source.write_text(json.dumps([record]))
    source.with_name("x_types.json").write_bytes(types_bytes(spaced, renamed))
    told = run("data", "convert", source, tmp_path / "brat", "--to", "brat", "--symmetric", "works at")
    assert told.exit_code == 0 and "rules of works_at" in told.output, told.output
    found = types_file.read_rules(tmp_path / "brat_types.json")
    assert found is not None and found.relations["works_at"].allowed == [Arguments(head="A_Per", tail="Org")]


def test_the_verb_prints_counts_and_what_gold_breaks(tmp_path: Path) -> None:
    records = tiny_records(24)
    corpus = write_corpus(tmp_path / "d", {"train": records, "dev": records[:4]})
    dev = json.loads((corpus / "tiny_dev.json").read_text())
    dev[1]["relations"] = [{"head": 1, "tail": 0, "type": "works"}, {"head": 0, "tail": 1, "type": "works"}]
    (corpus / "tiny_dev.json").write_text(json.dumps(dev))
    done = run("data", "constraints", corpus, "--out", tmp_path / "rules.json")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert "constraints: learned from d train" in lines and "  works: Per → Org (24)" in lines
    assert "gold triples that break them, train: 0 of 42 triples" in lines
    assert "gold triples that break them, dev: 1 of 7 triples (types 1)" in lines
    assert "  1 × works: Org → Per" in lines and any("predict.constraints=" in line for line in lines)
    assert run("data", "constraints", corpus, "--out", tmp_path / "rules.json").exit_code == 2, "it is there"
    found = types_file.read_rules(tmp_path / "rules.json")
    assert found is not None and found.relations["works"].allowed == [Arguments(head="Per", tail="Org", count=24)]
    # What the types file gives is told too, and so is that a training keeps that.
    shutil.copy(tmp_path / "rules.json", corpus / "tiny_types.json")
    told = run("data", "constraints", corpus).output
    assert "a training keeps those that are given in tiny_types.json, not the learned ones" in told
    alone = run("data", "constraints", corpus / "tiny_dev.json", "--min-count", 2)
    assert alone.exit_code == 0 and "gold triples that break them: 1 of 7 triples (types 1)" in alone.output, (
        alone.output
    )
    wrong = run("data", "constraints", corpus, "--min-count", 30)
    assert wrong.exit_code == 2 and "'near' is that frequent" in wrong.stderr, wrong.stderr


def test_evaluate_counts_what_breaks_the_rules_before_and_after(tmp_path: Path) -> None:
    rules, page, scores = tmp_path / "rules.json", tmp_path / "errors.html", tmp_path / "scores.json"
    rules.write_text('{"relations": {"works": {"allowed": [{"head": "Loc", "tail": "Org"}]}}}')
    words = ["evaluate", "--model", BUNDLE, "--data", CORPUS, "--out", scores, "--report", page, "--force"]
    off = run(*words)
    assert off.exit_code == 0 and "constraints" not in off.output, "nothing is on record with a golden bundle"
    assert json.loads(scores.read_text())["constraints"] is None and "break a rule" not in page.read_text()
    on = run(*words, "--set", f"predict.constraints={rules}")
    told = json.loads(scores.read_text())["constraints"]
    assert told["on"] and told["after"]["triples"] == 0 < told["before"]["triples"] == told["before"]["types"]
    assert told["before"]["among"] - told["before"]["triples"] <= told["after"]["among"]
    assert f"without them {told['before']['triples']} of {told['before']['among']} triples (types" in on.output
    assert "what is left breaks 0" in page.read_text() and "given in rules.json" in page.read_text()
    # Kept predictions are counted as they are.
    kept = tmp_path / "kept.jsonl"
    texts = tmp_path / "in.jsonl"
    assert run("data", "convert", CORPUS / "tiny_test.json", texts).exit_code == 0
    assert run("predict", "--model", BUNDLE, "--in", texts, "--out", kept).exit_code == 0
    words = ["evaluate", "--predictions", kept, "--data", CORPUS / "tiny_test.json", "--out", scores, "--force"]
    assert f"{told['before']['triples']} of" in run(*words, "--set", f"predict.constraints={rules}").output
    again = json.loads(scores.read_text())["constraints"]
    assert not again["on"] and again["before"] == again["after"]
    refused = run(*words, "--set", "predict.constraints=learned")
    assert refused.exit_code == 2 and "no constraints on record" in refused.stderr
