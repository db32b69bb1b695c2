"""The page in headless Chromium: arcs are there, finite, and nothing is said on the console."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.predictor import Predictor
from tablert_dist.pages.sentences import Page, annotated_page, read_results, results_page, write_page
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Floats, TagSet
from tests.support.browser import CHROMIUM, Drawn, arcs, chromium
from tests.support.nodes import end
from tests.support.serving import make_bundle, running
from tests.support.tiny import SCHEMA, tiny_records, write_corpus

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH (apt-get install chromium)"),
]
# A page's policy lets only its own script run; a copy that clicks by itself has it taken out.
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


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


def test_the_served_page_draws_what_is_typed(tiny_encoder: str, tmp_path: Path) -> None:
    text = "Ada works at Acme near Oslo ."
    with running(make_bundle(tiny_encoder, tmp_path)) as server:
        address = f"{server.url}/?text={text.replace(' ', '+')}"
        shown = Drawn(chromium(address, tmp_path / "one", "--virtual-time-budget=90000", "--dump-dom"))
        (frame,) = shown.all("iframe", sandbox="allow-scripts")
        assert "hidden" not in frame and re.fullmatch(r"height: \d{3,}px;", frame["style"]), (
            "the result told its height"
        )
        found = server.post({"text": text}).json()["results"][0]
        assert found["relations"], "the comparison is about something"
        page = tmp_path / "result.html"
        page.write_text(frame["srcdoc"], encoding="utf-8")
        result = Drawn(chromium(page, tmp_path / "two", "--dump-dom"))
        assert arcs(result) == len(found["relations"]) and len(result.all("mark")) == len(found["entities"])
        docs = chromium(f"{server.url}/docs", tmp_path / "three", "--virtual-time-budget=90000", "--dump-dom")
        assert "/v1/extract" in docs and "swagger-ui" in docs


def test_the_served_page_asks_for_the_token_where_one_is_needed(tiny_encoder: str, tmp_path: Path) -> None:
    with running(make_bundle(tiny_encoder, tmp_path), "serve.token=a-token-of-enough-characters") as server:
        # A browser says 401 on the console.
        words = ("--virtual-time-budget=90000", "--dump-dom")
        text = chromium(f"{server.url}/?text=Ada", tmp_path / "one", *words, quiet=False)
    shown = Drawn(text)
    assert "hidden" not in shown.all("label", id="asked")[0] and "a token is needed" in text
    assert "hidden" in shown.all("iframe", sandbox="allow-scripts")[0]


@pytest.mark.long
def test_mlflows_page_opens_at_the_runs(tiny_encoder: str, tmp_path: Path) -> None:
    records = tiny_records(24)
    data = write_corpus(tmp_path / "tiny", {"train": records, "dev": records[:6]})
    settings = {
        "model.encoder": tiny_encoder,
        "model.cnn.hidden": "[8]",
        "train.epochs": "1",
        "cluster.num_workers": "0",
    }
    words = [
        "--data",
        str(data),
        "--name",
        "looked-at",
        *(w for k, v in settings.items() for w in ("--set", f"{k}={v}")),
    ]
    subprocess.run([sys.executable, "-m", "tablert_dist.train", *words], cwd=tmp_path, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-u", "-m", "tablert_dist.cli", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as ui:
        try:
            assert ui.stdout is not None
            said = ui.stdout.readline()
            (address,) = re.findall(rf"http://127\.0\.0\.1:{port}/#/experiments/\d+/runs", said)
            until = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                        break
                except OSError:
                    assert ui.poll() is None and time.monotonic() < until
                    time.sleep(0.3)
            shown = chromium(address, tmp_path / "profile", "--virtual-time-budget=60000", "--dump-dom", quiet=False)
            assert "looked-at/seed-1" in shown and "tiny" in shown
            taken = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert taken.returncode == 2 and f"port {port} is taken" in taken.stderr, taken.stderr
        finally:
            end(ui)
