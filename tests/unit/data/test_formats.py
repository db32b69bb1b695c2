"""Every format's file says the same four sentences; what is in between the formats is counted, not lost."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.formats import Notes, registry
from tablert_dist.data.formats.notes import Written
from tablert_dist.data.formats.registry import Format
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tests.support.annotated import FILES, FOLDER, TEXTS, canonical, people

BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]"}
EXTRAS = {"spacy": "spacy", "hf": "datasets"}


def ready(name: str) -> None:
    """Skip where the format's extra is absent."""
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])


@pytest.mark.parametrize("file", FILES)
def test_every_file_holds_the_same_sentences(file: str) -> None:
    ready(FILES[file])
    path = FOLDER / file
    found = formats.read(path, FILES[file])
    assert found == people(), "ids are part of this"
    assert [s.document for s in found] == ["harbour", "harbour", "mill", "mill"]
    if file != "people.labelstudio-predictions.json":
        assert formats.detect(path) == FILES[file]
        assert formats.read(path) == found
    if FILES[file] in {"brat", "doccano", "jsonl", "labelstudio", "prodigy", "spacy", "webanno"}:
        assert [s.text for s in found] == TEXTS
        assert all(s.text[a:b] == w for s in found for (a, b), w in zip(s.offsets, s.words, strict=True))


def test_a_format_that_nobody_has_declared_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("[]")
    with pytest.raises(InputError, match=r"there is no format 'spart'; there are .*; did you mean 'spert'"):
        load_corpus(DataConfig(path=str(tmp_path), format="spart"))


def test_a_new_format_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by its own sign, read with `--data` by its own ending, written by that ending."""
    from tablert_dist.cli.data_convert import command

    def iterate(path: Path, notes: formats.Notes) -> Iterator[Sentence]:
        for record in json.loads(path.read_text()):
            yield Sentence(tuple(record["shout"].lower().split()), (Entity(0, 1, "Per"),))

    def write(sentences: Iterable[Sentence], path: Path, written: formats.Written, schema: Schema | None) -> None:
        rows = []
        for sentence in sentences:
            rows.append({"shout": " ".join(sentence.words).upper()})
            written.add(sentence)
        path.write_text(json.dumps(rows))

    entry = Format(iterate, write, endings=(".shout",), sign=lambda r: "shout" in r, field=("shout", "shouts"))
    monkeypatch.setitem(registry.FORMATS, "shout", entry)
    monkeypatch.setitem(registry.ENDINGS, ".shout", "shout")
    (tmp_path / "a_train.shout").write_text('[{"shout": "ADA WORKS"}]')
    assert formats.detect(tmp_path / "a_train.shout") == "shout"
    assert load_corpus(DataConfig(path=str(tmp_path))).train == (Sentence(("ada", "works"), (Entity(0, 1, "Per"),)),)
    done = CliRunner().invoke(command, [str(FOLDER / "people.jsonl"), str(tmp_path / "out.shout")])
    assert done.exit_code == 0, done.output
    assert "MIRA" in (tmp_path / "out.shout").read_text()


@pytest.mark.parametrize("file", FILES)
def test_a_folder_of_any_format_is_a_corpus(file: str, tmp_path: Path) -> None:
    ready(FILES[file])
    for split in ("train", "dev"):
        source = FOLDER / file
        if source.is_dir():
            shutil.copytree(source, tmp_path / split)
        else:
            shutil.copy(source, tmp_path / f"people_{split}{source.suffix}")
    corpus = load_corpus(DataConfig(path=str(tmp_path), format=FILES[file]))
    assert corpus.splits == {"train": tuple(people()), "dev": tuple(people())}
    assert corpus.schema.entity_types == ("Loc", "Org", "Per")
    assert set(corpus.hashes) == {"train", "dev"} and corpus.hashes["train"] == corpus.hashes["dev"]
    if file == "people.labelstudio.json":
        assert any(note.startswith("2 cancelled annotations, left out") for note in corpus.notes)


def test_scierc_in_dygies_form_is_the_one_in_sperts(data_root: Path) -> None:
    for split, number in (("train", 1861), ("dev", 275), ("test", 551)):
        dygie = formats.read(data_root / "scierc" / "dygie" / f"{split}.json")
        spert = formats.read(data_root / "scierc" / "spert" / f"scierc_{split}.json")
        assert len(dygie) == number
        for a, b in zip(dygie, spert, strict=True):
            # The two files differ in the case of the relations' names, and in how they write brackets.
            assert {(r.head, r.tail, r.type.lower()) for r in a.relations} == {
                (r.head, r.tail, r.type.lower()) for r in b.relations
            }
            assert [BRACKETS.get(w, w) for w in a.words] == list(b.words)
            assert sorted(a.entities) == sorted(b.entities)
    corpus = load_corpus(DataConfig(path=str(data_root / "scierc" / "dygie"), overlap="keep-gold"))
    assert len({s.document for s in corpus.train}) == 350


def put(path: Path, content: Any) -> Path:
    """A file of text, or of JSON."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_columns_in_all_schemes(tmp_path: Path) -> None:
    a, b = Entity(0, 2, "Per"), Entity(3, 4, "Org")
    wanted = [Sentence(("Mira", "Holt", "at", "Looms"), (a, b))]
    for tags in ("B I O B", "B L O U", "B E O S", "I I O I"):
        rows = [
            f"{w} NN {t}{'-' + k if t != 'O' else ''}"
            for w, t, k in zip(wanted[0].words, tags.split(), ["Per", "Per", "", "Org"], strict=True)
        ]
        notes = Notes()
        path = put(tmp_path / "x.txt", "-DOCSTART- -X- O\r\n\r\n" + "\r\n".join(rows) + "\r\n\r\n")
        assert formats.detect(path) == "conll"
        assert formats.read(path, "auto", notes) == wanted
        assert bool(notes.lines()) == (tags == "I I O I"), "IOB1 is read, and counted"
    spaced = ["0\tMira\t\tB-Per\t\t['N']\t\t[0]", "1  Holt\tI-Per\t['works','born']\t[3, 3]"]
    spaced += ["2 at O ['N'] [2]", "3 Looms B-Org ['N'] [3]"]
    found = formats.read(put(tmp_path / "y.conll", "\n".join(spaced)))
    assert found == [Sentence(wanted[0].words, (a, b), (Relation(a, b, "works"), Relation(a, b, "born")))]
    bracket = formats.read(put(tmp_path / "z.conll", "[ O\nMira B-Per\n] O\n"))
    assert bracket == [Sentence(("[", "Mira", "]"), (Entity(1, 2, "Per"),))]


def jsonl(tmp_path: Path, record: dict[str, Any]) -> tuple[list[Sentence], list[str]]:
    notes = Notes()
    return formats.read(put(tmp_path / "x.jsonl", json.dumps(record) + "\n"), "jsonl", notes), notes.lines()


def test_spans_that_are_no_words_are_widened_or_left_out_and_counted(tmp_path: Path) -> None:
    text = "Mira Holt left. Ida stayed."
    spans = [(0, 4), (6, 9), (9, 10), (4, 9), (5, 19), (16, 19)]
    entities = [{"start": a, "end": b, "type": "Per"} for a, b in spans]
    pairs = [(0, 1), (0, 5), (0, 4), (0, 2)]
    relations = [{"head": a, "tail": b, "type": "kin"} for a, b in pairs]
    found, notes = jsonl(tmp_path, {"id": 7, "text": text, "entities": entities, "relations": relations})
    assert [(s.text, s.id, s.document) for s in found] == [("Mira Holt left.", "7.0", "7"), ("Ida stayed.", "7.1", "7")]
    mira, holt = Entity(0, 1, "Per"), Entity(1, 2, "Per")
    assert found[0].entities == (mira, holt) and found[1].entities == (mira,)
    assert found[0].relations == ()
    said = [note.partition(" (the first")[0] for note in notes]
    assert said == [
        "1 entities with white space at an end, which was left out",
        "1 entities that cut a word and would be widened to the words of another, left out",
        "1 entities of white space only, left out",
        "1 entities that cross the end of a sentence, left out",
        "3 relations of an entity that was left out, left out",
        "1 relations across sentences, left out",
    ]
    assert "x.jsonl: record 0 (id 7): Per 'olt'" in notes[1]


def test_predictions_are_annotations(tmp_path: Path) -> None:
    from tablert_dist.inference.extraction import Extraction

    a, b = Entity(0, 2, "Per", 0.9), Entity(3, 4, "Org", 0.8)
    sentence = Sentence(("Mira", "Holt", "joined", "Looms"), (a, b), (Relation(a, b, "works", 0.7),))
    extraction = Extraction("Mira Holt joined  Looms", sentence, ((0, 4), (5, 9), (10, 16), (18, 23)))
    lines = [json.dumps(extraction.to_json()), json.dumps({"line": 2, "error": "not JSON"})]
    notes = Notes()
    path = put(tmp_path / "x.jsonl", "\n".join(lines))
    (found,) = formats.read(path, "auto", notes)
    assert found == sentence and found.relations[0].probability == 0.7 and found.text == extraction.text
    assert notes.lines()[0].startswith("1 lines that say that a text could not be read")
    tasks = tmp_path / "tasks.json"
    assert formats.write([found], tasks, "labelstudio-predictions").lost == {
        ("probabilities", "of relations: a task has none for them"): 1
    }
    (task,) = json.loads(tasks.read_text())
    assert task["predictions"][0]["score"] == 0.7 and "annotations" not in task
    assert [r.get("score") for r in task["predictions"][0]["result"]] == [0.9, 0.8, None]
    with pytest.raises(InputError, match=r"no task has 'annotations' that count.*labelstudio-predictions"):
        formats.read(tasks)
    assert canonical(formats.read(tasks, "labelstudio-predictions")[0]) == canonical(sentence)


@pytest.mark.parametrize("white", ["\u00a0", "\u202f", "\u3000", "\u2009", "\x1f", "\u0085"])
@pytest.mark.parametrize("between", [" ", "\t", "  ", " \t"])
@pytest.mark.parametrize("layout", ["word tag", "multi-head"])
def test_space_and_tab_alone_separate_columns(white: str, between: str, layout: str, tmp_path: Path) -> None:
    """A no-break space belongs to its word, as it did when the file was written."""
    words = [f"Ostrava{white}Looms", "sold", f"12{white}500", "coats"]
    tags = ["B-Org", "O", "B-Num", "O"]
    rows = [[word, tag] for word, tag in zip(words, tags, strict=True)]
    if layout == "multi-head":
        rows = [[str(n), *row, "['N']" if n else "['sells']", f"[{n}]" if n else "[2]"] for n, row in enumerate(rows)]
    path = tmp_path / "a.conll"
    path.write_bytes("".join(between.join(row) + "\r\n" for row in rows).encode())
    (sentence,) = formats.read(path)
    assert list(sentence.words) == words
    assert [e.type for e in sentence.entities] == ["Org", "Num"]
    assert [(r.type, r.head.start, r.tail.start) for r in sentence.relations] == (
        [("sells", 0, 2)] if layout == "multi-head" else []
    )


def document(count: int) -> list[Sentence]:
    """Half of the entities and relations in one long sentence, the others in a sentence each, all of one document."""
    found = []
    for number, entities in enumerate([count, *[1] * count]):
        words = tuple(f"w{n}" for n in range(3 * entities))
        marked = tuple(Entity(3 * n, 3 * n + 2, "T") for n in range(entities))
        links = tuple(
            Relation(marked[n], marked[(n + 7 * k) % entities], "r") for n in range(entities) for k in range(1, 4)
        )
        kept = tuple(link for link in links if link.head != link.tail)
        found.append(Sentence(words, marked, kept, f"d.{number}", "d"))
    return found


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_file_twice_as_large_is_at_most_two_and_a_half_times_the_work(name: str, tmp_path: Path) -> None:
    """Counted in lines of our own code that run, which no other work on the machine changes."""
    ready(name)
    form = registry.format_of(name)

    def lines(count: int) -> int:
        path = tmp_path / f"{count}{form.endings[0] if form.endings else ''}"
        form.write(document(count), path, Written(path), Schema(("T",), ("r",)))
        seen = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal seen
            seen += event == "line" or event == "call"
            return trace if "tablert_dist" in frame.f_code.co_filename else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            found = list(form.iterate(path, Notes()))
        finally:
            sys.settrace(before)
        assert sum(len(sentence.entities) for sentence in found) == 2 * count
        return seen

    lines(8)  # what is done once, such as imports
    assert lines(160) <= 2.5 * lines(80)
