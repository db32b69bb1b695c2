"""What to annotate next: doubt, difference, chance; nothing twice, nothing that is annotated, the same picks again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tablert_dist.analysis.picking import Candidate, doubt, pick, vectors_of
from tablert_dist.cli import main
from tablert_dist.errors import InputError
from tablert_dist.inference.graph.mentions import document_of


def found(
    text: str, *entities: tuple[int, int, float], relations: Sequence[tuple[int, int, float]] = ()
) -> dict[str, Any]:
    return {
        "text": text,
        "entities": [{"start": a, "end": b, "text": text[a:b], "type": "Per", "probability": p} for a, b, p in entities],
        "relations": [
            {"head": h, "tail": t, "type": "knows", "probability": p, "triple_probability": p} for h, t, p in relations
        ],
    }  # fmt: skip


def lines(*results: dict[str, Any] | str) -> str:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in results)


def run(tmp_path: Path, text: str, *options: str) -> tuple[Result, list[dict[str, Any]]]:
    (tmp_path / "triples.jsonl").write_text(text, encoding="utf-8")
    out = tmp_path / "picked.jsonl"
    words = ["data", "pick", str(tmp_path / "triples.jsonl"), "--out", str(out), "--force", *options]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    picked = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    return done, picked


def some(count: int, rng: np.random.Generator) -> list[Candidate]:
    """Texts of words that no other has; every fifth with nothing in it."""
    return [
        Candidate(i, f"alpha{i} beta{i} gamma{i}", None if i % 5 == 0 else float(rng.random())) for i in range(count)
    ]


def test_doubt_is_the_mean_of_what_is_missing_to_certainty() -> None:
    line = found("Ada Bo", (0, 3, 0.9), (4, 6, 0.7), relations=[(0, 1, 0.2)])
    assert doubt(document_of(line, "1")) == pytest.approx((0.1 + 0.3 + 0.8) / 3)
    assert doubt(document_of(found("Ada Bo"), "1")) is None


def test_the_most_doubtful_come_first_and_a_share_is_random() -> None:
    candidates = some(100, np.random.default_rng(0))
    picks = pick(candidates, 20, "uncertainty", explore=0.25).picks
    sure = [p.candidate for p in picks if p.by == "uncertainty"]
    assert len(sure) == 15 and [p.by for p in picks[15:]] == ["random"] * 5
    best = sorted((c for c in candidates if c.doubt is not None), key=lambda c: -(c.doubt or 0.0))[:15]
    assert sure == best and len({p.candidate.line for p in picks}) == 20
    assert all(p.by == "uncertainty" for p in pick(candidates, 20, "uncertainty", explore=0).picks)
    # Where the model found nothing at all, chance is left.
    empty = [Candidate(i, f"text{i}", None) for i in range(30)]
    assert len(pick(empty, 10, "uncertainty").picks) == 10


def test_a_text_like_one_that_is_picked_is_passed_over() -> None:
    twins = [
        Candidate(i, f"Ada Holt works for Ostrava Looms in Oslo since 19{i:02d}", 0.9 - i / 1000) for i in range(20)
    ]
    other = Candidate(20, "Quite another sentence about rivers", 0.1)
    result = pick([*twins, other], 2, "uncertainty", explore=0)
    assert [p.candidate.line for p in result.picks] == [0, 20] and result.alike == 19


def test_diversity_goes_where_nothing_is_picked_or_annotated() -> None:
    topics = ["rivers lakes water rain", "banks money credit loans", "violins music concert opera"]
    candidates = [Candidate(10 * t + i, f"{topic} {i}", 0.5) for t, topic in enumerate(topics) for i in range(8)]
    assert {p.candidate.line // 10 for p in pick(candidates, 3, "diversity").picks} == {0, 1, 2}
    annotated = [f"{topics[0]} annotated", f"{topics[1]} annotated"]
    assert pick(candidates, 1, "diversity", annotated).picks[0].candidate.line // 10 == 2


@pytest.mark.parametrize("by", ["uncertainty", "diversity", "random"])
def test_nothing_twice_nothing_annotated_nothing_empty_and_the_same_again(by: str) -> None:
    rng = np.random.default_rng(1)
    candidates = [*some(60, rng), Candidate(60, "  ", 0.9), Candidate(61, "alpha1  beta1 gamma1", 0.99)]
    annotated = [f"alpha{i} beta{i} gamma {i}".replace("gamma ", "gamma") for i in range(10, 20)]
    picks = pick(candidates, 100, by, annotated, seed=3).picks
    assert len(picks) == 50 and not {p.candidate.line for p in picks} & {60, 61, *range(10, 20)}
    assert picks == pick(candidates, 100, by, annotated, seed=3).picks
    few = pick(candidates, 5, by, annotated, seed=3).picks
    assert len(few) == 5 and (by == "uncertainty" or few == picks[:5])


def test_vectors_are_units_and_hashes_do_not_depend_on_the_process() -> None:
    rows = vectors_of(["Ada works", "ada WORKS!", "", "Łódź 東京 \ud800"])
    assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-6) and np.array_equal(rows[0], rows[1])
    assert not rows[2].any() and rows.shape == (4, 512)
    assert int(np.flatnonzero(vectors_of(["Ada"])[0])[0]) == 295


def test_picks_are_lines_that_convert_to_pre_annotations(tmp_path: Path) -> None:
    results = [
        found(f"Ada{i} knows Bo{i}", (0, 4, 0.5 + i / 100), (11, 14, 0.9), relations=[(0, 1, 0.6)]) for i in range(9)
    ]
    done, picked = run(tmp_path, lines(*results), "--n", "4", "--explore", "0")
    assert done.exit_code == 0 and "next: tablert data convert" in done.output, done.output
    assert [p["text"] for p in picked] == [r["text"] for r in results[:4]]
    assert picked[0]["pick"] == {"by": "uncertainty", "doubt": pytest.approx((0.5 + 0.1 + 0.4) / 3), "line": 1}
    for form in ("labelstudio-predictions", "doccano", "brat", "prodigy"):
        words = ["data", "convert", str(tmp_path / "picked.jsonl"), str(tmp_path / f"out-{form}"), "--to", form]
        converted = CliRunner().invoke(main, words, catch_exceptions=False)
        assert converted.exit_code == 0 and "4 sentences" in converted.output, converted.output
    tasks = json.loads((tmp_path / "out-labelstudio-predictions").read_text())
    kinds = [item["type"] for item in tasks[0]["predictions"][0]["result"]]
    assert kinds == ["labels", "labels", "relation"]


def test_what_is_annotated_is_not_picked_whatever_its_format(tmp_path: Path) -> None:
    results = [found("Ada knows Bo.", (0, 3, 0.6)), found("Cy knows Di.", (0, 2, 0.9))]
    gold = [{"tokens": ["Ada", "knows", "Bo", "."], "entities": [], "relations": []}]
    (tmp_path / "train.json").write_text(json.dumps(gold))
    done, picked = run(tmp_path, lines(*results), "--annotated", str(tmp_path / "train.json"))
    assert done.exit_code == 0 and [p["text"] for p in picked] == ["Cy knows Di."]
    both = [*gold, {"tokens": ["Cy", "knows", "Di", "."], "entities": [], "relations": []}]
    (tmp_path / "train.json").write_text(json.dumps(both))
    done, _ = run(tmp_path, lines(*results), "--annotated", str(tmp_path / "train.json"))
    assert done.exit_code == 2 and "every text is empty or annotated already" in done.output


@pytest.mark.parametrize("place", ["train.json", "."])
def test_an_annotated_record_that_cannot_be_read_is_left_out_and_counted(place: str, tmp_path: Path) -> None:
    results = [found("Ada knows Bo.", (0, 3, 0.6)), found("Cy knows Di.", (0, 2, 0.9))]
    entities = [{"type": "Per", "start": 0, "end": 1}]
    good = {"tokens": ["Ada", "knows", "Bo", "."], "entities": entities, "relations": []}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.json").write_text(json.dumps([good, {"tokens": "Cy"}]))
    done, picked = run(tmp_path, lines(*results), "--annotated", str(tmp_path / "data" / place))
    assert done.exit_code == 0 and [p["text"] for p in picked] == ["Cy knows Di."], done.output
    assert "1 record left out" in done.output


@pytest.mark.parametrize(
    ("text", "options", "code", "told"),
    [
        (lines(found("Ada", (0, 3, 0.5))), ["--by", "uncertanty"], 2, "did you mean 'uncertainty'"),
        (lines("{bad", found("Ada", (0, 3, 0.5))), [], 0, "left out: "),
        (lines("{bad", found("Ada", (0, 3, 0.5))), ["--strict"], 2, "line 1: not JSON"),
        ("", [], 2, "has no results to pick from"),
        (lines({"line": 1, "error": "not UTF-8"}), [], 2, "has no results to pick from"),
        (lines(found("Ada", (0, 3, 0.5))), ["--n", "0"], 2, "0 is not in the range"),
    ],
)
def test_bad_input(text: str, options: list[str], code: int, told: str, tmp_path: Path) -> None:
    done, picked = run(tmp_path, text, *options)
    assert done.exit_code == code and told in done.output, done.output
    assert len(picked) == (1 if code == 0 else 0)


def test_an_unknown_way_is_refused_in_python_too() -> None:
    with pytest.raises(InputError, match="there are uncertainty, diversity, random"):
        pick([], 1, "luck")
