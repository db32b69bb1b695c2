"""`tablert data convert` as its user meets it, and the group that it is in."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tablert_dist.cli import main
from tablert_dist.cli.data import VERBS, command
from tablert_dist.data import formats
from tablert_dist.data.formats import ENDINGS
from tests.support.annotated import FILES, FOLDER, canonical, people
from tests.unit.data.test_formats import ready


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["data", *(str(word) for word in words)])


@pytest.mark.parametrize("name", formats.NAMES)
def test_every_format_into_every_ending(name: str, tmp_path: Path) -> None:
    ready(name)
    source = FOLDER / next(file for file, its in FILES.items() if its == name)
    done = run("convert", source, tmp_path / "out.jsonl", "--format", name)
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'out.jsonl'}: 4 sentences, 9 entities, 5 relations" in done.output
    assert formats.read(tmp_path / "out.jsonl") == people()
    back = run("convert", tmp_path / "out.jsonl", tmp_path / "back", "--to", name)
    assert back.exit_code == 0, back.output
    found = formats.read(tmp_path / "back", name)
    assert [canonical(s) for s in found] == [canonical(s) for s in people()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "out.jsonl"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_ending_says_the_format_where_it_is_clear(ending: str, tmp_path: Path) -> None:
    ready(ENDINGS[ending])
    done = run("convert", FOLDER / "people.spert.json", tmp_path / f"x{ending}")
    assert done.exit_code == 0, done.output
    assert formats.detect(tmp_path / f"x{ending}") == ENDINGS[ending]


def test_what_was_left_out_is_printed(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    entities = [{"start": 0, "end": 9, "type": "Per"}, {"start": 5, "end": 8, "type": "Name"}]
    source.write_text(json.dumps({"text": "Mira Holt left.", "entities": entities, "relations": []}))
    done = run("convert", source, tmp_path / "out.conll")
    assert done.exit_code == 0
    assert f"read: 1 entities that cut a word, widened to whole words (the first: {source}: record 0" in done.output
    assert "not held: 1 entities: overlapping a longer one" in done.output


def test_mistakes_are_one_sentence_and_leave_nothing(tmp_path: Path) -> None:
    good, bad = FOLDER / "people.spert.json", tmp_path / "bad.json"
    bad.write_text(json.dumps([{"tokens": ["a"], "entities": []}, {"tokens": []}]))
    (tmp_path / "there.jsonl").write_text("kept")
    cases = [
        ((good, tmp_path / "out.txt"), "its ending does not say which format: add --to spert|bilou"),
        ((good, tmp_path / "out.json", "--to", "sprt"), "there is no format 'sprt'"),
        ((good, tmp_path / "out.jsonl", "--format", "spart"), "there is no format 'spart'"),
        ((good, tmp_path / "there.jsonl"), "there.jsonl exists: give another name"),
        ((good, tmp_path / "no" / "out.jsonl"), "there is no folder"),
        ((tmp_path / "none.json", tmp_path / "out.jsonl"), "none.json does not exist"),
        (
            (bad, tmp_path / "out.jsonl", "--strict"),
            "bad.json: record 1: 'tokens' must be a list of at least one string",
        ),
        ((FOLDER, tmp_path / "out.jsonl"), "is a folder that is neither BRAT's"),
    ]
    for words, sentence in cases:
        done = run("convert", *words)
        assert done.exit_code == 2 and sentence in done.output and done.output.count("\n") == 1, done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.json", "there.jsonl"]
    assert (tmp_path / "there.jsonl").read_text() == "kept"


def test_the_group_lists_its_verbs_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VERBS:
        monkeypatch.delitem(sys.modules, f"tablert_dist.cli.data_{name}", raising=False)
    done = run("--help")
    assert done.exit_code == 0 and all(name in done.output for name in VERBS)
    assert not [name for name in sys.modules if name.startswith("tablert_dist.cli.data_")]
    assert isinstance(command, click.Group)
    assert command.get_command(click.Context(command), "convert") is not None
    assert command.get_command(click.Context(command), "nothing") is None
    assert run("nothing").exit_code == 2
