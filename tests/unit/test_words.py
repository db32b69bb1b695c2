"""Words of scripts that have no spaces: each character, or a dictionary's; and which models read by which rule."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.config import load_config
from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tablert_dist.inference.loading import load_planner
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Entity, Relation
from tablert_dist.text import split_words
from tablert_dist.train.fit import check
from tests.support import DATA
from tests.support.tiny import tiny_records, write_corpus

CLAUSE = "林晓在蓝湖大学工作"
GOLDEN = DATA / "golden"
SCRIPTS = {
    "Thai": ("สมชายทำงานที่เชียงใหม่", ["สมชาย", "ทำงาน", "ที่", "เชียงใหม่"]),
    "Lao": ("ສະບາຍດີທ່ານ", ["ສະບາຍດີ", "ທ່ານ"]),
    "Khmer": ("គាត់ធ្វើការនៅភ្នំពេញ", ["គាត់", "ធ្វើការ", "នៅ", "ភ្នំពេញ"]),
    "Burmese": ("အလုပ်လုပ်သည်", ["အလုပ်", "လုပ်", "သည်"]),
}


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


def test_a_character_is_a_word_where_there_are_no_spaces() -> None:
    assert words(f"{CLAUSE}。") == [*CLAUSE, "。"]
    assert words("Ada在Acme2号楼 left") == ["Ada", "在", "Acme2", "号", "楼", "left"]
    assert words("東京のカメラ々") == [*"東京のカメラ々"]
    assert words("ㄅㄆ豈𠀀") == [*"ㄅㄆ豈𠀀"]
    assert words("서울에서 일한다") == ["서울에서", "일한다"], "Korean has spaces"


def test_marks_stay_with_their_character() -> None:
    for text in ("か\u3099", "ｶﾞ", "邉\U000e0101", "々\ufe00"):
        assert words(f"{text}{text}") == [text, text]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_dictionary_finds_the_words_of_other_scripts(script: str) -> None:
    pytest.importorskip("icu4py")
    text, expected = SCRIPTS[script]
    assert words(f"Ada {text}.") == ["Ada", *expected, "."]


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_dictionary_the_text_is_refused_and_others_are_read(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "icu4py.breakers", None)
    text, _ = SCRIPTS[script]
    with pytest.raises(InputError, match=rf"^{script} has no spaces between words: .*tablert-dist\[segment\]"):
        split_words(f"Ada {text}.")
    assert words(CLAUSE) == [*CLAUSE]
    assert split_words(text, rule="punctuation") == [(0, len(text))]


@given(st.text(st.sampled_from("aé 1.,林々かｶﾞ\u3099สวัสดีກខឃမင္\u200b𠀀👩‍🚀\ufe0f"), max_size=40))
def test_words_are_those_between_spaces_cut_further(text: str) -> None:
    pytest.importorskip("icu4py")
    whole, cut = split_words(text, rule="punctuation"), split_words(text)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(cut)) and all(text[a:b].strip() for a, b in cut)
    for start, end in whole:
        inside = [span for span in cut if start <= span[0] < end]
        assert "".join(text[a:b] for a, b in inside) == text[start:end]
    assert {a for a, _ in whole} <= {a for a, _ in cut} and {b for _, b in whole} <= {b for _, b in cut}


def test_entities_of_a_clause_stay_apart(tmp_path: Path) -> None:
    entities = [{"start": 0, "end": 2, "type": "Per"}, {"start": 3, "end": 7, "type": "Org"}]
    record = {"text": f"{CLAUSE}。", "entities": entities, "relations": [{"head": 0, "tail": 1, "type": "works"}]}
    (tmp_path / "x.jsonl").write_text(json.dumps(record), encoding="utf-8")
    notes = Notes()
    (found,) = formats.read(tmp_path / "x.jsonl", "auto", notes)
    per, org = Entity(0, 2, "Per"), Entity(3, 7, "Org")
    assert found.entities == (per, org) and found.relations == (Relation(per, org, "works"),) and not notes.lines()


def test_entities_that_come_to_the_same_words_are_counted(tmp_path: Path) -> None:
    """The one that needs no widening stays, whichever comes first."""
    spans = [(4, 9, "Part"), (0, 9, "Whole"), (0, 4, "Part"), (10, 14, "Per")]
    entities = [{"start": a, "end": b, "type": kind} for a, b, kind in spans]
    relations = [{"head": 0, "tail": 3, "type": "a"}, {"head": 1, "tail": 3, "type": "b"}]
    (tmp_path / "x.jsonl").write_text(
        json.dumps({"text": "longhouse Mira", "entities": entities, "relations": relations})
    )
    notes = Notes()
    (found,) = formats.read(tmp_path / "x.jsonl", "auto", notes)
    assert found.entities == (Entity(0, 1, "Whole"), Entity(1, 2, "Per"))
    assert [r.type for r in found.relations] == ["b"]
    assert [line.partition(" (the first")[0] for line in notes.lines()] == [
        "2 entities that cut a word and would be widened to the words of another, left out",
        "1 relations of an entity that was left out, left out",
    ]


@pytest.mark.parametrize("kind", ["bundle", "checkpoint"])
def test_models_that_do_not_say_read_as_they_did(kind: str, tmp_path: Path) -> None:
    """Golden files are of a version that had one rule."""
    folder = next(path for path in sorted((GOLDEN / kind).iterdir()) if path.is_dir())
    predictor = Predictor.load(folder)
    assert predictor.model.words == "punctuation"
    for planner in (predictor.planner, load_planner(folder, predictor.config)):
        assert planner.sentences(CLAUSE) == [[(0, len(CLAUSE))]]


def test_a_model_of_now_says_by_which_rule(tiny_encoder: str, tmp_path: Path) -> None:
    from tablert_dist.train.fit import fit

    write_corpus(tmp_path / "data", {"train": tiny_records(8), "dev": tiny_records(2)})
    config = {
        "data.path": str(tmp_path / "data"), "model.encoder": tiny_encoder, "train.epochs": 1, "train.seeds": [1],
        "train.storage": str(tmp_path / "runs"), "tracking.enabled": False, "cluster.num_workers": 0,
    }  # fmt: skip
    done = fit(load_config(None, config), validate=False)
    folder = Path(done.best["checkpoint"])
    assert json.loads((folder / "checkpoint.json").read_text())["config"]["model"]["words"] == "script"
    assert load_planner(folder, Predictor.load(folder).config).sentences("林晓") == [[(0, 1), (1, 2)]]


def test_words_that_prediction_would_cut_further_are_said(tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(12)
    for record in records[:6]:
        record["tokens"][-1] = "蓝湖大学"
    write_corpus(tmp_path / "data", {"train": records, "dev": records})
    lines: list[str] = []
    check(load_config(None, {"data.path": str(tmp_path / "data"), "model.encoder": tiny_encoder}), lines.append)
    (said,) = [line for line in lines if "cut further in prediction" in line]
    assert said.startswith("6 of ") and "'蓝湖大学'" in said
