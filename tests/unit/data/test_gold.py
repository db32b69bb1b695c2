"""What --data names for scoring, and kept predictions beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tablert_dist.config import DataConfig
from tablert_dist.data import formats
from tablert_dist.data.gold import find_gold, read_gold, schema_of
from tablert_dist.data.kept import match
from tablert_dist.errors import InputError
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.scoring import LEVELS, count
from tests.support.annotated import FILES, FOLDER, people
from tests.support.tiny import SCHEMA, sentences, tiny_records, write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = tiny_records(8)
    return write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:3], "test": records[3:5]})


def test_a_folder_is_its_test_split_or_the_one_that_is_asked_for(corpus: Path) -> None:
    assert find_gold(str(corpus)).path.name == "tiny_test.json"
    assert find_gold(str(corpus)).title == "tiny_test.json (the test split)"
    assert find_gold(str(corpus), "dev").path.name == "tiny_dev.json"
    assert find_gold(str(corpus), preferred="dev").path.name == "tiny_dev.json"
    (corpus / "tiny_test.json").unlink()
    with pytest.raises(InputError, match="has no test split but train, dev"):
        find_gold(str(corpus))
    with pytest.raises(InputError, match=r"--split test: .* only train, dev"):
        find_gold(str(corpus), "test")
    (corpus / "tiny_train.json").unlink()
    assert find_gold(str(corpus)).split == "dev", "the only one there is"


@pytest.mark.parametrize("name", [name for name, form in FILES.items() if form != "labelstudio-predictions"])
def test_any_format_is_read_as_a_file_or_in_a_folder(name: str) -> None:
    source = find_gold(str(FOLDER / name))
    if name != "hf":
        assert source.split is None and source.title == name
    gold = read_gold(source, schema_of(source), DataConfig())
    assert [s.words for s in gold] == [s.words for s in people()]


def test_what_cannot_be_scored_on_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one file, all of which is read"):
        find_gold(str(corpus / "tiny_test.json"), "dev")
    with pytest.raises(InputError, match=r"--data '.*nowhere' does not exist"):
        find_gold(str(tmp_path / "nowhere"))


def lines_of(found: list[Sentence]) -> list[dict[str, Any]]:
    """As `tablert predict` writes sentences that were given as words."""
    records = []
    for sentence in found:
        starts = [sum(len(w) + 1 for w in sentence.words[:i]) for i in range(len(sentence.words))]
        index = {entity: i for i, entity in enumerate(sentence.entities)}
        spans = [(starts[e.start], starts[e.end - 1] + len(sentence.words[e.end - 1])) for e in sentence.entities]
        records.append(
            {
                "text": " ".join(sentence.words),
                "entities": [
                    {"start": a, "end": b, "type": e.type} for (a, b), e in zip(spans, sentence.entities, strict=True)
                ],
                "relations": [
                    {"head": index[r.head], "tail": index[r.tail], "type": r.type} for r in sentence.relations
                ],
                "words": len(sentence.words),
            }
        )
    return records


def written(folder: Path, records: list[dict[str, Any]]) -> Path:
    path = folder / "kept.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@given(gold=sentences(), predicted=sentences())
def test_kept_predictions_score_as_the_sentences_that_they_are_of(
    gold: Sentence, predicted: Sentence, tmp_path_factory: pytest.TempPathFactory
) -> None:
    words = gold.words + predicted.words
    gold, predicted = replace(gold, words=words), replace(predicted, words=words)
    path = written(tmp_path_factory.mktemp("kept"), lines_of([predicted]))
    expected = count([(gold, predicted)], SCHEMA).scores()
    found = count(match([gold], path, "gold", formats.Notes()), SCHEMA).scores()
    assert [found.f1(level) for level in LEVELS] == [expected.f1(level) for level in LEVELS]


def test_annotated_sentences_and_texts_of_several_sentences_are_matched(tmp_path: Path) -> None:
    gold = people()
    for name in ("people.conll", "people.spert.json", "people.jsonl", "people.spacy"):
        pairs = match(gold, FOLDER / name, "gold", formats.Notes())
        assert all(ours.words == theirs.words for ours, theirs in pairs)
        assert all(ours.entities == theirs.entities for ours, theirs in pairs), name
    texts = [str(s.text) for s in formats.read(FOLDER / "people.jsonl")]
    both = written(tmp_path, [{"text": " ".join(texts), "entities": [], "relations": []}])
    pairs = match(formats.read(FOLDER / "people.jsonl"), both, "gold", formats.Notes())
    assert len(pairs) == 4


def test_an_entity_that_ends_inside_a_word_is_another_entity(tmp_path: Path) -> None:
    city = Entity(0, 1, "Loc")
    person = Entity(2, 3, "Per")
    gold = [Sentence(("Oslo-Stavanger", "near", "Ada"), (city, person), (Relation(person, city, "near"),))]
    record = {
        "text": "Oslo-Stavanger near Ada",
        "entities": [{"start": 0, "end": 4, "type": "Loc"}, {"start": 20, "end": 23, "type": "Per"}],
        "relations": [{"head": 1, "tail": 0, "type": "near"}],
    }
    ((ours, theirs),) = match(gold, written(tmp_path, [record]), "gold", formats.Notes())
    assert ours.words == theirs.words == ("Oslo", "-Stavanger", "near", "Ada")
    scores = count([(ours, theirs)], SCHEMA).scores()
    assert scores.f1("ner") == 0.5 and scores.f1("re") == 0.0


def test_other_sentences_are_refused_with_line_and_both_texts(tmp_path: Path) -> None:
    gold = [Sentence(("Ada", "works")), Sentence(("Bo", "rests"))]
    plain = {"entities": [], "relations": []}
    for records, told in (
        ([{"text": "Ada works", **plain}], "1 prediction, but gold has 2 sentences; .* sentence 2: 'Bo rests'"),
        ([{"text": "Bo rests", **plain}], "line 1 is of another text: 'Bo rests'; gold sentence 1: 'Ada works'"),
        (
            [{"text": t, **plain} for t in ("Ada works", "Bo rests", "Eve")],
            "line 3: gold has only 2 sentences, .*'Eve'",
        ),
        ([{"text": "Ada works", **plain}, {"line": 2, "error": "not JSON"}], "line 2 says that its text could not"),
    ):
        with pytest.raises(InputError, match=told):
            match(gold, written(tmp_path, records), "gold", formats.Notes())
    formats.write([Sentence(("Ada",), (Entity(0, 1, "Per"),))], tmp_path / "other.json", "spert")
    with pytest.raises(InputError, match="sentence 1 is of another text: 'Ada'; gold sentence 1: 'Ada works'"):
        match(gold, tmp_path / "other.json", "gold", formats.Notes())


def test_types_that_only_predictions_have_count_as_wrong(corpus: Path) -> None:
    source = find_gold(str(corpus))
    extra = [Sentence(("Ada",), (Entity(0, 1, "Ship"),))]
    assert schema_of(source, extra).entity_types[-1] == "Ship"
