"""The Python interface as a user meets it: load, call, look at what was found; fit and search."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tablert_dist
from tablert_dist import Extraction, InputError, Predictor, fit, load, search
from tests.support.tiny import SCHEMA, tiny_records, write_corpus, write_tiny_checkpoint

TEXT = "Ada works at Acme near Oslo . Bo near Tromsø ."


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("run") / "epoch_001")


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return load(checkpoint, threads=1)


@pytest.fixture(scope="module")
def found(predictor: Predictor) -> Extraction:
    found = predictor(TEXT)
    assert found.entities and found.relations
    return found


def test_one_text_gives_one_result_and_several_a_list(predictor: Predictor, found: Extraction) -> None:
    assert isinstance(found, Extraction)
    several = predictor([TEXT, ""])
    assert [e.triples() for e in several] == [found.triples(), []]


def test_entities_and_relations_are_what_the_json_says(found: Extraction) -> None:
    tree = found.to_json()
    assert [(e.text, e.start, e.end, e.type, e.probability) for e in found.entities] == [
        (TEXT[e["start"] : e["end"]], e["start"], e["end"], e["type"], e["probability"]) for e in tree["entities"]
    ]
    for relation, item in zip(found.relations, tree["relations"], strict=True):
        assert (relation.head, relation.tail) == (found.entities[item["head"]], found.entities[item["tail"]])
        assert (relation.type, relation.probability) == (item["type"], item["probability"])


def test_a_dataframe_has_a_row_for_each(found: Extraction, predictor: Predictor) -> None:
    relations = found.to_dataframe()
    assert [tuple(row) for row in relations[["head", "relation", "tail"]].itertuples(index=False)] == found.triples()
    entities = found.to_dataframe("entities")
    assert list(entities["text"]) == [e.text for e in found.entities]
    empty = predictor("").to_dataframe()
    assert len(empty) == 0 and list(empty.columns) == list(relations.columns)


def test_a_stream_is_read_in_parts(predictor: Predictor, found: Extraction) -> None:
    taken = 0

    def stream() -> Iterator[str]:
        nonlocal taken
        for _ in range(7):
            taken += 1
            yield TEXT

    results = predictor.pipe(stream(), batch_size=2)
    assert taken == 0
    assert next(results).triples() == found.triples() and taken == 2
    assert len(list(results)) == 6
    with pytest.raises(InputError, match="for one text call the predictor"):
        predictor.pipe(TEXT)
    with pytest.raises(InputError, match="batch_size = 0"):
        predictor.pipe([TEXT], batch_size=0)


def test_a_predictor_says_what_it_is(predictor: Predictor, tiny_encoder: str) -> None:
    assert predictor.entity_types == SCHEMA.entity_types and predictor.relation_types == SCHEMA.relation_types
    assert (
        Path(tiny_encoder).name in repr(predictor)
        and "Per, Org, Loc" in repr(predictor)
        and "works, near" in repr(predictor)
    )


def test_options_of_predict_are_options_of_load(checkpoint: Path, found: Extraction) -> None:
    sure = load(checkpoint, min_entity=0.999)(TEXT)
    assert len(sure.entities) < len(found.entities)
    with pytest.raises(InputError, match=r"predict\.min_entty.*min_entity"):
        load(checkpoint, min_entty=0.5)


def test_a_notebook_shows_a_frame_that_loads_nothing(found: Extraction) -> None:
    shown = found._repr_html_()
    assert shown.startswith('<iframe sandbox="allow-scripts"') and "</iframe>" in shown
    assert not re.search(r"(src|href)=&quot;http", shown)
    assert "Content-Security-Policy" in shown and "<script" not in shown, "the page is inside the attribute, escaped"
    hostile = Extraction('"><script>alert(1)</script>', found.sentence.__class__(()), ())
    assert "<script>alert" not in hostile._repr_html_()


def test_public_names_are_documented() -> None:
    for name in tablert_dist.__all__:
        value = getattr(tablert_dist, name)
        assert value.__doc__ and len(value.__doc__.strip()) > 20, name
    assert set(tablert_dist.__all__) < set(dir(tablert_dist))


def test_fit_trains_and_its_result_loads(tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(24)
    data = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:6], "test": records[6:9]})
    said: list[str] = []
    small = {
        "model.encoder": tiny_encoder, "model.cnn.hidden": [8], "train.epochs": 1, "cluster.num_workers": 0,
        "train.storage": str(tmp_path / "runs"), "train.seeds": [1, 2],
    }  # fmt: skip
    result = fit(data, "sample", overrides=small, name="first", say=said.append)
    assert set(result.scores) == {"dev", "test"} and 0 <= result.scores["test"]["re_plus"] <= 1
    assert "first" in repr(result) and "dev: NER" in repr(result) and any("sentences" in line for line in said)
    again = load(result.checkpoint)
    assert isinstance(again("Ada works at Acme ."), Extraction) and "dev NER" in repr(again)
    with pytest.raises(InputError, match="resume"):
        fit(data, "sample", overrides=small, resume=True)


def test_search_refuses_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs the name"):
        search(tmp_path, resume=True)
    with pytest.raises(InputError):
        search(tmp_path, "sample", "no-such-space")
