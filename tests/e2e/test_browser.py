"""The page in headless Chromium: arcs are there, finite, and nothing is said on the console."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.predictor import Predictor
from tablert_dist.pages.sentences import Page, annotated_page, read_results, results_page, write_page
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Floats, TagSet
from tests.support.tiny import SCHEMA

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt-get install chromium)"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]
# A page's policy lets only its own script run; a copy that clicks by itself has it taken out.
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


class Drawn(HTMLParser):
    """Elements of the dumped page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def all(self, tag: str, **having: str) -> list[dict[str, str]]:
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in having.items())]


def chromium(page: Path, profile: Path, *words: str, width: int = 1200) -> str:
    """Open the page in a new profile; what was asked for on standard output. Fails where the console has a line."""
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900", *words, page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=90, check=True)
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    assert console == []
    return done.stdout.decode("utf-8")


def arcs(page: Drawn) -> int:
    """Arcs drawn; every number in their geometry must be finite and inside a sane page."""
    groups = page.all("g", role="img")
    assert all(g["aria-label"] for g in groups)
    shapes = [p["d"] for p in page.all("path")] + [p["points"] for p in page.all("polygon")]
    shapes += [f"{t['x']} {t['y']}" for t in page.all("text")]
    assert len(page.all("path")) >= len(groups)
    for shape in shapes:
        assert not re.search("NaN|Infinity|undefined|null|e[+]", shape), shape
        assert all(-50 <= float(n) <= 20_000 for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-\d+)?", shape)), shape
    return len(groups)


def line(text: str, entities: dict[str, str], relations: list[tuple[int, int, str]]) -> str:
    found = [{"start": text.index(e), "end": text.index(e) + len(e), "type": k} for e, k in entities.items()]
    return json.dumps(
        {
            "text": text,
            "entities": [{**e, "probability": 0.75} for e in found],
            "relations": [{"head": h, "tail": t, "type": k, "probability": 0.5} for h, t, k in relations],
        }
    )


LINES = [
    line('<script>document.title="x"</script> Ada & "Bo"', {"<script>": "Per", '"Bo"': "</script>"}, [(1, 0, "<i>")]),
    line("Ada 👩‍🚀\r\nworks\r\nat Acme", {"Ada 👩‍🚀": "Per", "Acme": "Org"}, [(0, 1, "works")]),
    line("عملت سارة كوهين في شركة النور للبرمجيات في مدينة حيفا " * 3, {"سارة كوهين": "Per", "حيفا": "Loc"}, [(0, 1, "near")]),
    line("ab", {"a": "Per", "b": "Loc"}, [(1, 0, "a_relation_with_a_long_name"), (0, 0, "self")]),
    line(
        " and ".join(f"Name{i:02}" for i in range(20)),
        {f"Name{i:02}": f"T{i}" for i in range(20)},
        [(0, i, f"r{i}") for i in range(1, 20)] + [(19, 3, "back")],
    ),
    line("nothing here", {}, []),
]  # fmt: skip


class Told(Predictor):
    """A predictor that says what it was given, with a flat table."""

    def __init__(self, sentences: list[Sentence]) -> None:
        # Nothing else of a predictor is asked for.
        self.sentences, self.tags = sentences, TagSet(SCHEMA)

    def predict_words(self, sentences: object) -> list[Extraction]:
        found = []
        for sentence in self.sentences:
            text, spans = "", []
            for word in sentence.words:
                spans.append((len(text), len(text) + len(word)))
                text += f"{word} "
            found.append(Extraction(text.rstrip(), sentence, tuple(spans)))
        return found

    def probabilities(self, words: object) -> tuple[Floats, Floats]:
        n, tags = len(list(words)), self.tags  # type: ignore[call-overload]
        sizes = (len(tags.entity_tags), len(tags.relation_tags))
        return np.full((n, sizes[0]), 1 / sizes[0], np.float32), np.full((n, n, sizes[1]), 1 / sizes[1], np.float32)


def annotated() -> Page:
    """Two sentences, one right and one with a missed and a spurious triple."""
    words = ("Ada", "works", "at", "Acme", "near", "Oslo")
    a, b, c = Entity(0, 1, "Per"), Entity(3, 4, "Org"), Entity(5, 6, "Loc")
    gold = Sentence(words, (a, b, c), (Relation(a, b, "works"), Relation(b, c, "near")))
    wrong = Sentence(words, (a, b, c), (Relation(b, a, "works"), Relation(c, b, "near")))
    return annotated_page(Told([gold, wrong]), [gold, gold], "dev.json")


@pytest.mark.parametrize("width", [420, 1200])
def test_every_relation_has_its_arc(tmp_path: Path, width: int) -> None:
    page = tmp_path / "page.html"
    write_page(results_page(read_results(LINES, "x"), "results"), page)
    dumped = chromium(page, tmp_path / "profile", "--dump-dom", width=width)
    assert arcs(Drawn(dumped)) == sum(len(json.loads(each)["relations"]) for each in LINES)
    assert "<title>results</title>" in dumped, "no script of a text ran"
    assert len(Drawn(dumped).all("mark")) == sum(len(json.loads(each)["entities"]) for each in LINES)


def test_gold_and_prediction_are_drawn_and_filtered(tmp_path: Path) -> None:
    page, clicked = tmp_path / "page.html", tmp_path / "clicked.html"
    write_page(annotated(), page)
    drawn = Drawn(chromium(page, tmp_path / "one", "--dump-dom"))
    assert arcs(drawn) == 6
    statuses = [g["class"].split()[-1] for g in drawn.all("g", role="img")]
    assert sorted(statuses) == ["hit"] * 4 + ["missed", "spurious"]
    assert len(drawn.all("polygon")) == 3, "a symmetric relation has no arrow"
    script = "<script>document.getElementById('errors').click(); document.querySelectorAll('details')[1].open = true;</script>"
    clicked.write_text(POLICY.sub("", page.read_text(encoding="utf-8")) + script, encoding="utf-8")
    dumped = chromium(clicked, tmp_path / "two", "--dump-dom")
    assert "1 of 2 sentences" in dumped
    assert arcs(Drawn(dumped)) == 4, "the hidden sentence is not drawn"
    cells = [td for td in Drawn(dumped).all("td") if "data-i" in td]
    assert len(cells) == 21 and all(td["title"] == td["aria-label"] for td in cells)
    assert [td["tabindex"] for td in cells].count("0") == 1
    assert sum("read" in td.get("class", "") for td in cells) == 2


@pytest.mark.parametrize(("scheme", "setting"), [("dark", 0), ("light", 1)])
@pytest.mark.parametrize("width", [420, 1200])
def test_a_screenshot_can_be_looked_at(tmp_path: Path, scheme: str, setting: int, width: int) -> None:
    page, picture = tmp_path / "page.html", tmp_path / f"{scheme}-{width}.png"
    write_page(annotated(), page)
    chromium(
        page, tmp_path / "profile", f"--screenshot={picture}", f"--blink-settings=preferredColorScheme={setting}", width=width
    )  # fmt: skip
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (width, 900)
    assert len(data) > 8000, "an empty page is smaller"
