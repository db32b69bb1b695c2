"""The validation on the three public corpora: exactly what is known of them, and no false alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tablert_dist.config import DataConfig
from tablert_dist.data.validation import DataReport, examine_path
from tablert_dist.data.validation.offsets import MOVES, findings
from tests.support import ROOT


@pytest.fixture(scope="module")
def reports(data_root: Path) -> dict[str, DataReport]:
    places = {"conll04": "conll04", "spert": "conll04/spert", "ade": "ade/ade_full.json", "scierc": "scierc/spert"}
    return {name: examine_path(DataConfig(path=str(data_root / place))) for name, place in places.items()}


def counts(report: DataReport) -> dict[str, tuple[int, int, int]]:
    splits = report.summary["splits"]
    return {name: (s["sentences"], s["entities"], s["relations"]) for name, s in splits.items()}


def found(report: DataReport, check: str) -> dict[str, int]:
    """Count by file, and by the pair of splits for leaks."""
    return {f.file: f.count for f in report.findings if f.check == check}


def test_counts(reports: dict[str, DataReport]) -> None:
    conll04 = {"train": (922, 3377, 1283), "dev": (231, 893, 343), "test": (288, 1079, 422)}
    assert counts(reports["conll04"]) == counts(reports["spert"]) == conll04
    assert counts(reports["ade"]) == {"train": (4272, 10839, 6821)}
    scierc = {"train": (1861, 5598, 3219), "dev": (275, 811, 455), "test": (551, 1685, 974)}
    assert counts(reports["scierc"]) == scierc
    types = reports["conll04"].summary["types"]
    assert (len(types["entity"]), len(types["relation"])) == (4, 5)


@pytest.mark.parametrize("form", ["conll04", "spert"])
def test_conll04s_leaks_and_its_one_two_way_pair(reports: dict[str, DataReport], form: str) -> None:
    report = reports[form]
    shared = {tuple(pair["splits"]): pair["sentences"] for pair in report.summary["shared"]}
    assert shared == {("train", "test"): 18, ("train", "dev"): 12, ("dev", "test"): 3}
    assert sorted(f.count for f in report.findings if f.check == "leak") == [3, 12, 18]
    table = [f for f in report.findings if f.check == "table"]
    assert [(f.file, f.count) for f in table] == [("conll04_train.json", 1)]
    assert table[0].says.startswith("1 of 1283 relations") and "opposite to another on the same pair" in table[0].says


def test_ades_nesting_and_order(reports: dict[str, DataReport]) -> None:
    split = reports["ade"].summary["splits"]["train"]
    assert (split["overlapping_pairs"], split["sentences_with_overlap"]) == (120, 119)
    (overlap,) = [f for f in reports["ade"].findings if f.check == "overlap"]
    assert overlap.count == 120 and "in 119 sentences (120 nested)" in overlap.says
    assert found(reports["ade"], "unsorted") == {"ade_full.json": 2417}


def test_what_the_heads_hold_is_as_the_guide_prints_it(reports: dict[str, DataReport]) -> None:
    rows = []
    for name, split in (("conll04", "train"), ("ade", "train"), ("scierc", "train"), ("scierc", "test")):
        for entry in reports[name].summary["splits"][split]["heads"]:
            lost = entry["lost"]
            relations = sum(lost.values()) - lost["entities"]
            best = [f"{100 * entry['best_f1'][level]:.2f}" for level in ("ner", "re_plus")]
            rows.append([str(lost["entities"]), str(relations), *best])
    guide = (ROOT / "docs" / "guides" / "heads.md").read_text(encoding="utf-8")
    printed = [[cell.strip() for cell in line.split("|")] for line in guide.splitlines() if line.count("|") == 9]
    assert [[c.split(" of ")[0] for c in row[3:7]] for row in printed[2:]] == rows


def test_sciercs_nesting_and_repeated_relations(reports: dict[str, DataReport]) -> None:
    names = [f"scierc_{split}.json" for split in ("train", "dev", "test")]
    assert found(reports["scierc"], "overlap") == dict(zip(names, (61, 7, 20), strict=True))
    assert found(reports["scierc"], "repeated-relation") == {"scierc_train.json": 4}
    assert reports["scierc"].summary["types"]["symmetric"] == ["Compare", "Conjunction"]


def test_no_offset_is_called_wrong_and_only_overlaps_are_errors(reports: dict[str, DataReport]) -> None:
    for report in reports.values():
        assert found(report, "offsets") == found(report, "unreadable") == {}
        assert {f.check for f in report.findings if f.severity == "error"} <= {"overlap"}


@pytest.mark.parametrize(
    "file", ["conll04/spert/conll04_dev.json", "ade/ade_full.json", "scierc/spert/scierc_test.json"]
)
@pytest.mark.parametrize("move", MOVES)
def test_every_mistake_made_on_purpose_is_found(data_root: Path, file: str, move: tuple[int, int]) -> None:
    from tablert_dist.data import formats

    wrong = []
    for sentence in formats.read(data_root / file):
        spans = [(e.start - move[0], e.end - move[1]) for e in sentence.entities]
        wrong.append((sentence.words, [(s, e) for s, e in spans if 0 <= s < e <= len(sentence.words)]))
    (finding,) = findings(file, wrong)
    assert finding.severity == "error"
    assert finding.says.startswith(MOVES[move][0])
