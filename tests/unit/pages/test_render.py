"""The page without a browser: escaping, pieces of text, gold against prediction, refusals."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.cli import main
from tablert_dist.config import PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.predictor import Predictor
from tablert_dist.pages.drawing import palette
from tablert_dist.pages.drawing.heat import MOST_WORDS, payload
from tablert_dist.pages.drawing.rows import Arc, Card, Mark, Row, Status, visible
from tablert_dist.pages.sentences import annotated_page, read_results, results_page, texts_page, to_html
from tablert_dist.pages.sentences.compare import compare
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.scoring import count
from tablert_dist.tags import TagSet
from tests.support.tiny import SCHEMA, WORDS, sentences, tiny_records, write_tiny_checkpoint

HOSTILE = [
    "<script>alert(1)</script> & \"Ada\" 'Bo'",
    "</script><!-- Ada --> ]]> {{ 7 * 7 }} {% raw %}",
    "Ada\r\nworks\rat\n\nAcme\t!",
    "👩‍🚀 Ada e\u0301 near \u202eolsO\u202c \u200f",
    "عملت سارة في حيفا",
    "\n  leading and trailing  \n",
    "nul \x00 bell \x07 delete \x7f surrogate \ud800",
]


class Reader(HTMLParser):
    """The page as a browser reads it: the shown text of each row, its elements, its data blocks."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[str] = []
        self._path: list[str] = []
        self._skip = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag in {"meta", "link", "input"}:
            return
        name = (found.get("class") or "").split(" ")[0] or tag
        self._path.append(name)
        if name == "text":
            self.texts.append("")
        if tag == "script":
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        self._path.pop()

    def handle_data(self, data: str) -> None:
        if self._path and self._path[-1] == "script":
            self.blocks[-1] += data
        elif "text" in self._path and "tag" not in self._path:
            self.texts[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def result(text: str, *entities: tuple[int, int, str], relations: tuple[tuple[int, int, str], ...] = ()) -> str:
    return json.dumps(
        {
            "text": text,
            "entities": [
                {"start": s, "end": e, "text": text[s:e], "type": k, "probability": 0.5} for s, e, k in entities
            ],
            "relations": [{"head": h, "tail": t, "type": k, "probability": 0.25} for h, t, k in relations],
        }
    )


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tiny_encoder, tmp_path_factory.mktemp("render") / "model")


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.load(checkpoint)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    line = result(text, (0, 3, 'Per"><b>'), (4, 6, "</script>"), relations=((0, 1, "<i>works</i>"),))
    page = to_html(results_page(read_results([line], "x"), "<title>&"))
    reader = Reader(page)
    assert reader.texts == [visible(text)]
    assert len(reader.all("script")) == 1 and not reader.all("b")[1:] and not reader.all("i")[2:]
    labels = [item["data-label"] for item in reader.all("li") if "data-head" in item]
    assert labels == ["<i>works</i> 0.25"]
    assert all(not name.startswith("on") for _, attributes in reader.elements for name in attributes)
    page.encode("utf-8")


def test_the_page_needs_nothing_from_elsewhere(predictor: Predictor) -> None:
    page = to_html(texts_page(predictor, ["Ada works at Acme"], "a"))
    assert not re.search(r"(?:src|href)=(?!\"data:)|url\(|@import|https?://(?!www\.w3\.org)", page)
    import base64
    import hashlib

    script = Reader(page).blocks[-1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert page == to_html(texts_page(predictor, ["Ada works at Acme"], "a")), "the same bytes each time"


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_pieces_cover_the_text_once(text: str, numbers: list[int]) -> None:
    cuts = sorted({n for n in numbers if n <= len(text)})
    marks = tuple(Mark(a, b, "T") for a, b in list(itertools.pairwise(cuts))[::2])
    segments = Row(text, marks[::-1], ()).segments
    assert "".join(s.text + s.last for s in segments) == visible(text)
    shown = [visible(text[m.start : m.end]) for m in marks]
    assert [s.text + s.last for s in segments if s.mark is not None] == shown


@given(st.data(), sentences(), sentences())
def test_statuses_add_up_to_the_counts_of_scoring(data: st.DataObject, gold: Sentence, other: Sentence) -> None:
    """The prediction has some of the gold items, some of another sentence's, and a symmetric pair turned round."""
    shift = len(gold.words)
    words = gold.words + other.words
    gold = replace(gold, words=words)
    kept = [e for e in gold.entities if data.draw(st.booleans())]
    moved = {e: Entity(e.start + shift, e.end + shift, e.type) for e in other.entities}
    relations = [r for r in gold.relations if r.head in kept and r.tail in kept]
    relations = [Relation(r.tail, r.head, r.type) if data.draw(st.booleans()) else r for r in relations]
    relations += [Relation(moved[r.head], moved[r.tail], r.type) for r in other.relations]
    predicted = Sentence(words, (*kept, *moved.values()), tuple(relations))
    text = " ".join(words)
    ends = list(itertools.accumulate(len(w) + 1 for w in words))
    offsets = tuple((end - 1 - len(w), end - 1) for end, w in zip(ends, words, strict=True))
    card = Card("1", compare(gold, Extraction(text, predicted, offsets), SCHEMA))
    table = count([(gold, predicted)], SCHEMA).table
    entities, triples = len(SCHEMA.entity_types), len(SCHEMA.relation_types)
    expected = {"entities": table[:entities].sum(0), "triples": table[entities + triples :].sum(0)}
    for name, found in card.tallies():
        assert [found["hit"], found["spurious"], found["missed"]] == expected[name].tolist()
    assert card.wrong == any(counts[1:].any() for counts in expected.values())


def test_a_sentence_without_errors_has_one_row() -> None:
    a, b = Entity(0, 1, "Per"), Entity(2, 3, "Org")
    gold = Sentence(("Ada", "at", "Acme"), (a, b), (Relation(a, b, "works"), Relation(a, b, "works")))
    found = Extraction("Ada at Acme", gold, ((0, 3), (4, 6), (7, 11)))
    (row,) = compare(gold, found, SCHEMA)
    assert not row.wrong and len(row.arcs) == 1 and {m.status for m in row.marks} == {Status.HIT}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: not JSON: .* at column 2"),
        ("[1]", "line 2: expected an object"),
        ('{"text": "a", "entities": []}', "line 2: the result has no 'relations'"),
        ('{"text": 1, "entities": [], "relations": []}', "'text' of the result is not a string"),
        ('{"text": "a", "entities": [3], "relations": []}', "entity 0 is no object"),
        ('{"text": "a", "entities": [{"start": 0, "type": "T"}], "relations": []}', "entity 0 has no 'end'"),
        ('{"text": "a", "entities": [{"start": true, "end": 1, "type": "T"}], "relations": []}', "not a whole number"),
        (result("ab", (0, 3, "T")), r"entity 0 \(T\) has start 0 and end 3, outside its text of 2 characters"),
        (result("ab", (1, 1, "T")), "'end' is exclusive"),
        (result("abc", (1, 3, "T"), (0, 2, "U")), r"entities 1 \(U\) and 0 \(T\) overlap"),
        (result("ab", (0, 1, "T"), relations=((0, 1, "r"),)), r"relation 0 \(r\): its tail 1 is none of 1 entities"),
        (result("ab", (0, 1, "T")).replace("0.5", "1.5"), "'probability' of entity 0 is not between 0 and 1"),
    ],
)
def test_a_line_that_is_no_result_is_refused_by_its_number(line: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^results.jsonl: (line 2: )?.*{reason}"):
        read_results(["\n", line], "results.jsonl")


def test_too_many_results_are_refused_naming_limit() -> None:
    lines = [result("a")] * 3
    assert len(read_results(lines, "x", 3)) == 3
    with pytest.raises(InputError, match=r"x: more than 2 results; a page holds 2: .*--limit"):
        read_results(lines, "x", 2)


def test_a_table_says_the_likeliest_relation_that_is_not_none() -> None:
    tags = TagSet(SCHEMA)
    entity = np.full((3, len(tags.entity_tags)), 0.01, np.float32)
    entity[[0, 1, 2], [tags.entity_id("U", "Per"), 0, tags.entity_id("U", "Org")]] = 0.875
    relation = np.zeros((3, 3, len(tags.relation_tags)), np.float32)
    relation[..., 0] = 0.75
    relation[0, 2, tags.relation_id("works", "left")] = 0.25
    a, b = Entity(0, 1, "Per"), Entity(2, 3, "Org")
    found = payload(Sentence(("Ada", "at", "Acme"), (a, b), (Relation(b, a, "works"),)), entity, relation)
    assert [tags.entity_tags[i] for i in found["entity"]] == ["U-Per", "O", "U-Org"]
    assert found["entity_p"] == [875] * 3
    assert tags.relation_tags[found["relation"][1]] == "works:left" and found["relation_p"] == [0, 250, 0]
    assert found["read"] == [[0, 2]]


def test_annotated_sentences_come_with_scores_and_tables(predictor: Predictor) -> None:
    gold = [Sentence(tuple(WORDS[:n])) for n in (3, 12)] + [Sentence(("at",) * (MOST_WORDS + 1))]
    page = annotated_page(predictor, gold, "dev.json")
    predicted = [found.sentence for found in predictor.predict_words([s.words for s in gold])]
    assert page.scores[0].spurious == sum(len(s.entities) for s in predicted) > 0
    assert page.scores[2].spurious == sum(len(s.relations) for s in predicted) > 0
    assert [bool(card.heat) for card in page.cards] == [True, True, False]
    html = to_html(page)
    assert f"The table of 61 × 61 words is not drawn: it is over {MOST_WORDS} words." in html
    blocks: list[dict[str, Any]] = [json.loads(b) for b in Reader(html).blocks[:-1]]
    assert [len(b["relation"]) for b in blocks[:2]] == [3, 66]
    assert [tag["name"] for tag in blocks[2]["entity"]] == list(predictor.tags.entity_tags)
    shown = [li for li in Reader(html).all("li") if "data-head" in li]
    assert len(shown) == sum(len(row.arcs) for card in page.cards for row in card.rows)


def test_what_was_read_in_pieces_has_no_table_and_says_why(checkpoint: Path, predictor: Predictor) -> None:
    (long,) = texts_page(predictor, ["Ada near Oslo " * 40], "a").cards
    assert not long.heat and ("overlapping pieces" in long.note or "not all pairs" in long.note)
    cut = Predictor.load(checkpoint, PredictConfig(on_overflow="truncate"))
    (first,) = texts_page(cut, ["Ada near Oslo " * 40], "a").cards
    assert not first.heat and "of 120 words were read; the rest was not read." in first.note
    (several,) = texts_page(predictor, ["Ada works at Acme. Bo is near Oslo."], "a").cards
    assert not several.heat and "2 sentences" in several.note
    assert several.rows[0].text == "Ada works at Acme. Bo is near Oslo."
    (row,) = read_results([result("a")[:-1] + ', "complete": false}'], "x")
    assert "not read completely" in to_html(results_page([row], "a"))


def test_overlapping_gold_and_long_sentences_are_refused_by_name(checkpoint: Path, predictor: Predictor) -> None:
    overlapping = Sentence(("Ada", "Bo"), (Entity(0, 2, "Per"), Entity(1, 2, "Loc")), id="7")
    with pytest.raises(InputError, match=r"dev.json: sentence 1 \(id 7\) has overlapping entities.*data.overlap="):
        annotated_page(predictor, [overlapping], "dev.json")
    strict = Predictor.load(checkpoint, PredictConfig(on_overflow="error"))
    with pytest.raises(InputError, match=r"dev.json: sentence 2: .*over the encoder's limit of 64"):
        annotated_page(strict, [Sentence(("at",)), Sentence(("at",) * 70)], "dev.json")
    with pytest.raises(InputError, match="--limit"):
        annotated_page(predictor, [Sentence(("at",))] * 2, "dev.json", limit=1)


def test_table_data_cannot_leave_its_element(checkpoint: Path) -> None:
    whole = Predictor.load(checkpoint, PredictConfig(split_sentences=False))
    html = to_html(texts_page(whole, ["</script><script>x</script> <!-- \u2028"], "a"))
    reader = Reader(html)
    assert len(reader.all("script")) == 3
    assert "".join(json.loads(reader.blocks[0])["words"]) == "</script><script>x</script><!--"
    assert "<" not in unescape(reader.blocks[0]) and "\u2028" not in reader.blocks[0]


def run(*words: str, stdin: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["render", *words], input=stdin)
    return done.exit_code, done.output


def test_the_verb_renders_results_texts_and_annotations(checkpoint: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "dev.json", tmp_path / "page.html"
    data.write_text(json.dumps(tiny_records(4)), encoding="utf-8")
    assert run("--in", "-", "--out", str(out), stdin=result("Ada\r\n", (0, 3, "Per")) + "\n")[0] == 0
    assert "Ada" in out.read_text(encoding="utf-8")
    assert run("--model", str(checkpoint), "--text", "Ada at Acme", "--out", str(out), "--force")[0] == 0
    assert run("--model", str(checkpoint), "--data", str(data), "--out", str(out), "--force") == (
        0,
        f"{out}: 4 sentences\n",
    )
    page = out.read_text(encoding="utf-8")
    assert "only with errors" in page and "RE+" in page and str(tmp_path) not in page
    assert {p.name for p in tmp_path.iterdir()} == {"dev.json", "page.html"}


def test_the_verb_refuses_in_one_sentence_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    (tmp_path / "latin.jsonl").write_bytes(b"\xe9\n")
    for words, reason in (
        ([], "give either --in"),
        (["--in", "-", "--model", "m"], "give either --in"),
        (["--in", "-", "--text", "a"], "are for --model"),
        (["--model", "m"], "either --data"),
        (["--model", "m", "--data", "d", "--text", "a"], "either --data"),
        (["--in", str(tmp_path / "absent")], "cannot be read"),
        (["--in", str(tmp_path / "latin.jsonl")], "not UTF-8"),
    ):
        code, output = run(*words, "--out", str(out))
        assert (code, output.count("\n")) == (2, 1) and reason in output, output
    code, output = run("--in", "-", "--out", str(tmp_path / "no" / "page.html"), stdin="")
    assert code == 2 and "there is no folder" in output
    assert run("--in", "-", "--out", str(out), "--limit", "1", stdin="\n".join([result("a")] * 2))[0] == 2
    assert [p.name for p in tmp_path.iterdir()] == ["latin.jsonl"]


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """WCAG 2: (L1 + 0.05) / (L2 + 0.05)."""
    a, b = sorted(float(c @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (b + 0.05) / (a + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ rgb.clip(0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira and Fernandes (2009), severity 1.
VISION = {
    "full": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("vision", sorted(VISION))
def test_colours_stay_apart_and_text_stays_readable(scheme: str, vision: str) -> None:
    page, ink, share = palette.PAGE[scheme], palette.INK[scheme], palette.TINT[scheme] / 100
    seen = [VISION[vision] @ linear(colour) for colour in palette.COLOURS[scheme]]
    for (i, one), (j, other) in itertools.combinations(enumerate(seen), 2):
        assert np.linalg.norm(lab(one) - lab(other)) > 25, f"{scheme} colours {i} and {j} look alike ({vision})"
    for colour in palette.COLOURS[scheme]:
        assert contrast(linear(colour), linear(page)) >= 3
        channels = [(int(c[i : i + 2], 16)) for i in (1, 3, 5) for c in (colour, page)]
        mixed = "#" + "".join(
            f"{round(share * a + (1 - share) * b):02x}" for a, b in zip(channels[::2], channels[1::2], strict=True)
        )
        assert contrast(linear(mixed), linear(ink)) >= 7


def test_arcs_without_gold_say_no_status() -> None:
    row = Row("Ada at Acme", (Mark(0, 3, "Per"), Mark(7, 11, "Org")), (Arc(0, 1, "works"),))
    page = to_html(results_page([row], "a"))
    assert 'data-says="Ada – works – Acme"' in page and 'id="errors"' not in page
