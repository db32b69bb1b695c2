"""Relation types without a direction: proposed by the data check, declared by `convert`, kept by every step after it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.cli import main
from tablert_dist.cli.quick import plan
from tablert_dist.config import DataConfig, ModelConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.annotated import read_all, spert_bytes, types_bytes
from tablert_dist.data.directions import LEAST_PAIRS, Directions, directions
from tablert_dist.data.formats import types_file
from tablert_dist.data.validation import Case, Finding, SplitPart, examine, examine_path, quick_lines
from tablert_dist.heads.table_encoding import restrict_to_table
from tablert_dist.schema import Entity, Relation, Schema, Sentence, distinct
from tablert_dist.scoring import count
from tablert_dist.tags import TagSet

A, B, C = Entity(0, 1, "Per"), Entity(2, 3, "Per"), Entity(4, 5, "Org")
SCHEMA = Schema(("Org", "Per"), ("binds", "likes", "works"))


def sentence(number: int, *relations: tuple[Entity, Entity, str]) -> Sentence:
    words = (f"Ada{number}", "and", f"Bo{number}", "of", f"Acme{number}")
    return Sentence(words, (A, B, C), tuple(Relation(*r) for r in relations))


def corpus(both: int = 12, once: int = 0, others: int = 12) -> list[Sentence]:
    """`binds` in both directions `both` times and in one `once`; of `likes` a sixth is in both."""
    found = [sentence(i, (A, B, "binds"), (B, A, "binds"), (A, C, "works")) for i in range(both)]
    found += [sentence(100 + i, (A, B, "binds"), (A, C, "works")) for i in range(once)]
    for i in range(others):
        back = [(B, A, "likes")] if i % 6 == 0 else []
        found.append(sentence(200 + i, (A, B, "likes"), *back))
    return found


def case(train: Sequence[Sentence], schema: Schema = SCHEMA, **others: Sequence[Sentence]) -> Case:
    parts = {"train": train, **others}
    return Case("made", schema, tuple(SplitPart(name, f"{name}.json", tuple(s)) for name, s in parts.items()))


def findings(examined: Case, check: str) -> list[Finding]:
    return [f for f in examine(examined).findings if f.check == check]


def symmetric(*names: str) -> Schema:
    return replace(SCHEMA, symmetric=frozenset(names))


def oracle(sentences: Sequence[Sentence], schema: Schema) -> float:
    """RE+ of what a table holds, in percent, without the checks' own code."""
    pairs = [(s, restrict_to_table(s, TagSet(schema))[0]) for s in sentences]
    return 100 * count(pairs, schema).scores().f1("re_plus")


def test_a_type_in_both_directions_is_proposed_with_both_scores() -> None:
    train = corpus()
    (finding,) = findings(case(train), "symmetric")
    assert (finding.severity, finding.count, finding.file, finding.record) == ("warning", 12, "train.json", 0)
    assert "'binds' stands in both directions on 12 of 12 pairs" in finding.says
    before, after = oracle(train, SCHEMA), oracle(train, symmetric("binds"))
    assert f"is {before:.2f}, with the type symmetric {after:.2f}" in finding.says and after > before
    assert "\"symmetric\": true for 'binds'" in finding.advice
    assert findings(case(train, symmetric("binds")), "symmetric") == []
    without = replace(case(train), types_file=False)
    assert "`tablert data convert IN OUT --symmetric binds`" in findings(without, "symmetric")[0].advice
    assert any("'binds' stands in both directions" in line for line in quick_lines(case(train)))


def test_the_score_is_over_all_splits_and_each_type_by_itself() -> None:
    train = corpus(both=8, others=0)
    dev = [sentence(300 + i, (A, B, "likes"), (B, A, "likes")) for i in range(6)]
    found = findings(case(train, dev=dev), "symmetric")
    assert [f.file for f in found] == ["train.json", "dev.json"]
    for finding, name in zip(found, ("binds", "likes"), strict=True):
        assert finding.says.endswith(f"with the type symmetric {oracle([*train, *dev], symmetric(name)):.2f}")


@pytest.mark.parametrize(("pairs", "both", "said"), [(5, 5, True), (4, 4, False), (10, 9, True), (10, 8, False)])
def test_the_thresholds(pairs: int, both: int, said: bool) -> None:
    train = corpus(both=both, once=pairs - both)
    assert bool(findings(case(train), "symmetric")) is said
    assert Directions("binds", pairs, both).undirected is said and LEAST_PAIRS == 5


def test_what_the_table_loses_is_advised_by_its_cause() -> None:
    (both,) = findings(case(corpus(others=0)), "table")
    assert both.advice == "declare 'binds' symmetric, as the finding `symmetric` says"
    (minority,) = findings(case(corpus(both=0)), "table")
    assert "'likes' on 2 of 12 pairs" in minority.says and "2 relations opposite" in minority.says
    assert "symmetric" not in minority.advice and "--set model.head=spert holds 2 of them" in minority.advice
    assert "best possible RE+ F1 100.00" in minority.advice and "merge" not in minority.advice
    (mixed,) = findings(case(corpus()), "table")
    assert mixed.advice.startswith("declare 'binds' symmetric") and "of the 2 that are lost then" in mixed.advice


def test_a_head_that_holds_both_directions_gets_a_note() -> None:
    spert = replace(case(corpus()), model=ModelConfig(head="spert"))
    assert [f.severity for f in findings(spert, "symmetric")] == ["note"] and findings(spert, "table") == []


def test_each_pair_counts_once() -> None:
    both = sentence(0, (A, C, "works"), (A, B, "works"), (A, B, "binds"), (B, A, "binds"))
    schema = symmetric("binds")
    kept, loss = restrict_to_table(both, TagSet(schema))
    assert (loss.same_pair, loss.two_way, len(kept.relations)) == (1, 0, 2), "one binding, not two"
    assert count([(both, both)], schema).of("re_plus").tolist() == [[1, 0, 0], [0, 0, 0], [2, 0, 0]]
    assert len(distinct(both.relations, {"binds"})) == 3 and len(distinct(both.relations)) == 4
    one, other = sentence(0, (A, B, "binds")), sentence(0, (B, A, "binds"))
    assert findings(case([one], schema, dev=[other]), "contradiction") == []
    assert len(findings(case([one], dev=[other]), "contradiction")) == 1


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from([A, B, C]), st.sampled_from(["binds", "works"]))))
def test_directions_are_counted_as_by_pairs(relations: list[tuple[Entity, Entity, str]]) -> None:
    found = directions([sentence(0, *relations)])
    for name in ("binds", "works"):
        ways = {(h, t) for h, t, kind in relations if kind == name and h != t}
        pairs = {frozenset(way) for way in ways}
        both = {frozenset(way) for way in ways if (way[1], way[0]) in ways}
        expected = Directions(name, len(pairs), len(both))
        assert found.get(name, Directions(name, 0, 0)) == expected


# -- the command line --------------------------------------------------------------------------------------------------


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["data", *(str(word) for word in words)])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """In a folder of its own, without a types file."""
    path = tmp_path / "in" / "source.json"
    path.parent.mkdir()
    path.write_bytes(spert_bytes(corpus(both=20, others=24)))
    return path


def test_from_convert_to_a_trained_corpus(source: Path, tmp_path: Path) -> None:
    done = run("convert", source, tmp_path / "data.json", "--symmetric", "auto")
    assert done.exit_code == 0, done.output
    assert "symmetric (auto): in both directions 'binds' on 20 of 20 pairs" in done.output
    assert "not symmetric (auto asks for 90 % of 5 or more pairs): in both directions 'likes' on 4 of 24" in done.output
    assert formats.read(tmp_path / "data.json") == formats.read(source), "the sentences stay as they are"
    assert types_file.read(tmp_path / "data_types.json") == symmetric("binds")
    checks = {f.check for f in examine_path(DataConfig(path=str(tmp_path / "data.json"))).findings}
    assert "symmetric" not in checks and "table" in checks, "'likes' is still lost"
    assert run("split", tmp_path / "data.json", "--out", tmp_path / "parts").exit_code == 0
    split = load_corpus(DataConfig(path=str(tmp_path / "parts")))
    assert split.schema == symmetric("binds")
    assert run("check", tmp_path / "parts").exit_code == 0


def test_named_types_and_those_of_the_types_file_before(source: Path, tmp_path: Path) -> None:
    source.with_name("types.json").write_bytes(types_bytes(Schema(("Per", "Org"), ("works",), frozenset({"works"}))))
    done = run("convert", source, tmp_path / "x.jsonl", "--symmetric", "likes", "--symmetric", "auto")
    assert done.exit_code == 0, done.output
    assert "symmetric: in both directions 'likes' on 4 of 24 pairs" in done.output
    assert f"{tmp_path / 'x_types.json'}: symmetric: binds, likes, works" in done.output
    expected = Schema(("Per", "Org"), ("works", "binds", "likes"), frozenset({"works", "binds", "likes"}))
    assert read_all(tmp_path / "x.jsonl")[1] == expected, "in the order of the types file, what it lacks behind"


def test_auto_says_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(spert_bytes(corpus(both=0)))
    done = run("convert", tmp_path / "a.json", tmp_path / "b.json", "--symmetric", "auto")
    assert (
        done.exit_code == 0 and "symmetric (auto): none; no further type is in both directions on 90 %" in done.output
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_what_is_refused_leaves_nothing(source: Path, tmp_path: Path) -> None:
    done = run("convert", source, tmp_path / "x.json", "--symmetric", "bind")
    assert done.exit_code == 2 and done.output.count("\n") == 1
    assert "--symmetric bind: there is no such relation type" in done.output and "did you mean 'binds'?" in done.output
    assert not (tmp_path / "x.json").exists()
    (tmp_path / "x_types.json").write_text("mine")
    words = ("convert", source, tmp_path / "x.json", "--symmetric", "binds")
    done = run(*words)
    assert done.exit_code == 2 and "x_types.json exists" in done.output and not (tmp_path / "x.json").exists()
    assert (tmp_path / "x_types.json").read_text() == "mine"
    assert run(*words, "--force").exit_code == 0
    assert types_file.read(tmp_path / "x_types.json").symmetric == {"binds"}


def test_brat_lists_them_in_its_own_settings_too(tmp_path: Path) -> None:
    binds = [replace(s, relations=tuple(replace(r, type="binds to") for r in s.relations)) for s in corpus(others=0)]
    (tmp_path / "a.json").write_bytes(spert_bytes(binds))
    done = run("convert", tmp_path / "a.json", tmp_path / "b", "--to", "brat", "--symmetric", "binds to")
    assert done.exit_code == 0, done.output
    settings = (tmp_path / "b" / "annotation.conf").read_text(encoding="utf-8")
    assert "binds_to\tArg1:<ENTITY>, Arg2:<ENTITY>, <REL-TYPE>:symmetric\n" in settings
    assert types_file.read(tmp_path / "b_types.json") == Schema(("Org", "Per"), ("binds_to",), frozenset({"binds_to"}))
    assert {r.type for s in formats.read(tmp_path / "b") for r in s.relations} == {"binds_to"}


def test_quick_keeps_what_the_types_file_says(source: Path, tmp_path: Path) -> None:
    assert "--symmetric" not in plan(source, "n", tmp_path / "n")[0].words
    types_file.own(source).write_bytes(types_bytes(symmetric("binds")))
    words = plan(source, "n", tmp_path / "n")[0].words
    assert words[-2:] == ("--symmetric", "binds")
    (tmp_path / "n").mkdir()
    assert CliRunner().invoke(main, list(words)).exit_code == 0
    assert read_all(tmp_path / "n" / "data.json")[1] == symmetric("binds")


def test_which_types_file_belongs_to_a_file(tmp_path: Path) -> None:
    def make(*names: str) -> None:
        for name in names:
            (tmp_path / name).write_text(json.dumps({"entities": {}, "relations": {}}))

    data = tmp_path / "a.json"
    make("a.json", "b.json")
    assert types_file.beside(data) is None
    make("b_types.json")
    assert types_file.beside(data) is None, "that is another file's own"
    make("corpus_types.json")
    assert types_file.beside(data) == tmp_path / "corpus_types.json"
    make("types.json")
    assert types_file.beside(data) is None, "two could be it"
    make("a_types.json")
    assert types_file.beside(data) == tmp_path / "a_types.json"
    make("train.json", "train_types.json")
    for name in ("types.json", "corpus_types.json", "a_types.json"):
        (tmp_path / name).unlink()
    assert types_file.beside(tmp_path / "dev.json") == tmp_path / "train_types.json", "a corpus has one"
