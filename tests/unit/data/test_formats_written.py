"""Written and read again: the same sentences, or those that differ by what was counted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes, Written
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Schema, Sentence
from tests.support.annotated import any_sentences, canonical, people
from tests.unit.data.test_formats import ready

CHANGING = ("sentences", "entities", "relations", "words", "types")
HELD_TEXT = {
    "brat", "doccano", "jsonl", "labelstudio", "labelstudio-predictions", "prodigy", "spacy", "webanno",
}  # fmt: skip


def there_and_back(given: list[Sentence], name: str) -> tuple[Written, list[Sentence], Notes]:
    folder = Path(tempfile.mkdtemp())
    try:
        notes = Notes()
        written = formats.write(given, folder / "out", name)
        assert [p.name for p in folder.iterdir()] == ["out"], "no other file is left"
        if name != "labelstudio-predictions":
            assert formats.detect(folder / "out") == name
        return written, formats.read(folder / "out", name, notes), notes
    finally:
        shutil.rmtree(folder)


def check(given: list[Sentence], name: str) -> None:
    """The sum of each kind is what was given less what was counted; nothing was counted: all is the same."""
    try:
        written, found, _ = there_and_back(given, name)
    except InputError as error:
        assert "there is no sentence to write: not held" in str(error)
        return
    assert written.sentences == len(found) == len(given) - written.number_lost("sentences")
    if not written.number_lost("sentences"):
        for kind in ("entities", "relations"):
            before, after = (sum(len(getattr(s, kind)) for s in group) for group in (given, found))
            assert getattr(written, kind) == before - written.number_lost(kind), kind
            # Other words may be the same ones for two entities.
            assert after == getattr(written, kind) or (written.number_lost("words") and after < before), kind
        if not written.number_lost("ids") and name != "brat":  # which names every sentence
            assert [s.id for s in found] == [s.id for s in given]
    if not any(written.number_lost(kind) for kind in CHANGING):
        assert [canonical(s) for s in found] == [canonical(s) for s in given]
        if name in HELD_TEXT and not written.number_lost("texts"):
            known = [(a, b) for a, b in zip(given, found, strict=True) if a.text is not None]
            assert all(a.text == b.text and a.offsets == b.offsets for a, b in known if name != "brat")
    elif not written.number_lost("words") and not written.number_lost("types"):
        # What differs is missing, never changed.
        left = iter(given)
        for after in found:
            before = next(s for s in left if s.words == after.words)
            assert set(after.entities) <= set(before.entities)
            assert set(after.relations) <= set(before.relations)


@pytest.mark.parametrize("name", formats.NAMES)
def test_random_sentences_come_back(name: str) -> None:
    ready(name)

    @settings(max_examples=8 if name == "hf" else 40)
    @given(st.lists(any_sentences(), min_size=1, max_size=4))
    def run(given: list[Sentence]) -> None:
        check(given, name)

    run()


@pytest.mark.parametrize("name", formats.NAMES)
@pytest.mark.parametrize("corpus", ["conll04/conll04_dev.json", "ade/ade_full.json", "scierc/spert/scierc_dev.json"])
def test_corpora_come_back(corpus: str, name: str, data_root: Path) -> None:
    ready(name)
    given = formats.read(data_root / corpus)[:150]
    check(given, name)
    if name in {"spert", "jsonl", "labelstudio", "labelstudio-predictions", "hf", "doccano", "prodigy", "gliner"}:
        written, found, notes = there_and_back(given, name)
        assert found == given and not written.lost and not notes.lines(), "down to the order"


def test_what_cannot_be_held_is_said() -> None:
    outer, inner = Entity(0, 2, "Org"), Entity(1, 2, "Loc")
    written, found, _ = there_and_back([Sentence(("Quay", "Street"), (inner, outer), (), "7")], "bilou")
    assert written.lines()[1:] == ["not held: 1 entities: overlapping a longer one"]
    assert found == [Sentence(("Quay", "Street"), (outer,), (), "7")]


def test_documents_are_folders_of_pairs_with_their_types(tmp_path: Path) -> None:
    schema = Schema(("Per", "Org", "Loc"), ("works", "born"))
    written = formats.write(people(), tmp_path / "b", "brat", schema)
    assert {p.name for p in (tmp_path / "b").iterdir()} == {
        "annotation.conf", "harbour.ann", "harbour.txt", "mill.ann", "mill.txt", "tools.conf",
    }  # fmt: skip
    assert "[relations]\nworks\tArg1:<ENTITY>, Arg2:<ENTITY>\nborn" in (tmp_path / "b" / "annotation.conf").read_text()
    assert written.lost == {("ids", "a sentence is named by its document"): 4}
    assert [canonical(s) for s in formats.read(tmp_path / "b")] == [canonical(s) for s in people()]
    assert formats.read(tmp_path / "b" / "mill.ann") == formats.read(tmp_path / "b")[2:]


@pytest.mark.parametrize("name", formats.NAMES)
def test_a_file_is_written_whole_or_not_at_all(name: str, tmp_path: Path) -> None:
    ready(name)

    def failing() -> Iterator[Sentence]:
        yield from people()
        raise InputError("the third is bad")

    with pytest.raises(InputError, match="the third is bad"):
        formats.write(failing(), tmp_path / "x", name)
    with pytest.raises(InputError, match="there is no sentence to write"):
        formats.write([], tmp_path / "x", name)
    for bad in ("a\0", "\ud83d"):
        with pytest.raises(InputError, match="sentence 1 cannot be written"):
            formats.write([people()[0], Sentence((bad,))], tmp_path / "x", name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="cannot be written"):
        formats.write(people(), tmp_path / "no" / "x", name)
    with pytest.raises(InputError, match="is a folder that exists"):
        formats.write(people(), tmp_path, name)


def test_names_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no format 'connl'.*did you mean 'conll'"):
        formats.write(people(), tmp_path / "x", "connl")
    with pytest.raises(InputError, match="there is no format 'sprt'"):
        formats.read(tmp_path, "sprt")
