"""Studies: cells and their settings, the run and its resumption, tables and figures, the ledger, significance."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tablert_dist.analysis.significance import compare, micro_f1
from tablert_dist.cli.study import command
from tablert_dist.cli.study_report import typed_command
from tablert_dist.config import load_config, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.runs.resume import resume_command
from tablert_dist.runs.status import read_status
from tablert_dist.study import cells
from tablert_dist.study.cells import Cell, grid, systems
from tablert_dist.study.ledger import Ours, differences, ledger, others, published, published_layers, traps
from tests.support.tiny import tiny_records, write_corpus


def study(folder: Path, encoder: str, kind: str, *options: str) -> Result:
    words = [kind, "--config", "conll04", "--data", str(folder / "data"), "--epochs", "1"]
    settings = {
        "model.encoder": encoder,
        "model.cnn.hidden": "[8]",
        "cluster.num_workers": "0",
        "tracking.enabled": "false",
        "train.storage": str(folder / "runs"),
        "model.tablert.label_width": "4",
        "model.tablert.relation_width": "4",
    }
    for key, value in settings.items():
        words += ["--set", f"{key}={value}"]
    return CliRunner().invoke(command, [*words, *options], catch_exceptions=False)


def test_the_searched_rates_are_one_budget_for_all_three(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(systems())
    known = dict(systems())
    monkeypatch.setattr(cells, "systems", lambda: known)
    cells.use_variants("rates")
    config = load_config("conll04", {})
    rates: dict[str, set[float]] = {}
    for name in set(known) - before:
        tried = with_overrides(config, Cell(name, 4, True, 1).point(None))
        assert (tried.train.batch_size, tried.train.epochs) == (8, 30)
        rates.setdefault(tried.model.head, set()).add(tried.optim.lr)
    assert set(rates) == before and len({frozenset(tried) for tried in rates.values()}) == 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    records = tiny_records(8)
    write_corpus(tmp_path / "data", {"train": records, "dev": records[:4], "test": records[2:6]})
    return tmp_path


@pytest.mark.long
def test_a_study_by_layers_writes_tables_and_figures_and_runs_no_finished_cell_again(
    data: Path, tiny_encoder: str
) -> None:
    first = study(data, tiny_encoder, "layers", "--layers", "0,2", "--name", "s", "--seeds", "1,2")
    assert first.exit_code == 0, first.output
    folder = data / "runs" / "s"
    rows = json.loads((folder / "study" / "layers.json").read_text())
    assert len(rows) == 3 * 2 * 2 * 2
    assert {(r["system"], r["layer"], r["frozen"], r["seed"]) for r in rows} == {
        (s, layer, f, seed) for s in systems() for layer in (0, 2) for f in (True, False) for seed in (1, 2)
    }
    page = (folder / "study" / "layers.md").read_text()
    assert "| SpERT | updated |" in page and "encoder: " in page and "## RE+" in page and str(data) not in page
    assert "## RE+ against TablERT-CNN" in page
    assert page.count(": SpERT − TablERT-CNN |") == page.count(": TablERT − TablERT-CNN |") == 4
    for name in ("figure-2", "figure-3", "figure-4-ner", "figure-4-re"):
        assert (folder / "study" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (folder / "study" / f"{name}.svg").read_text()[:500]
    frozen = {r["system"]: r["parameters"]["trained"] for r in rows if r["frozen"]}
    updated = {r["system"]: r["parameters"]["trained"] for r in rows if not r["frozen"] and r["layer"] == 2}
    assert all(updated[s] > frozen[s] for s in systems())
    results = sorted(folder.glob("data/trial-*/result.json"))
    assert len(results) == 24 and not list(folder.glob("data/trial-*/epoch_*")), "weights are not kept"

    # Cut off after all cells but two: only these are run.
    before = {path: path.stat().st_mtime_ns for path in results}
    for path in results[-2:]:
        path.unlink()
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, "status": "running"}))
    status = read_status(data / "runs", "s", now=time.time() + 1e5)
    assert status.state == "stopped" and sum(part.state == "finished" for part in status.parts) == 22
    went_on = resume_command(status.record)
    assert went_on.startswith("tablert study layers --layers 0,2 --ways frozen,updated --systems cnn,tablert,spert")
    again = study(data, tiny_encoder, "layers", "--layers", "0,2", "--resume", "s", "--seeds", "1,2")
    assert again.exit_code == 0 and "2 of 24 cells to run" in again.output
    assert all(path.stat().st_mtime_ns == before[path] for path in results[:-2])
    assert json.loads((folder / "study" / "layers.json").read_text()) == rows, "the same seeds, the same scores"


def test_the_page_says_the_command_that_makes_the_study_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/x/study", "study", "layers", "--data", "/home/x/data", "--resume", "s", "--finished"]
    )
    assert typed_command() == "tablert study layers --data data --name s"


def test_a_resumed_study_must_be_the_same(data: Path, tiny_encoder: str) -> None:
    options = ("--layers", "2", "--ways", "frozen", "--systems", "tablert")
    assert study(data, tiny_encoder, "layers", *options, "--name", "s").exit_code == 0
    other = study(data, tiny_encoder, "layers", *options, "--resume", "s", "--seeds", "2")
    assert other.exit_code == 2 and "its cells are others" in other.output
    taken = study(data, tiny_encoder, "layers", *options, "--name", "s")
    assert taken.exit_code == 2 and "--resume s" in taken.output
    (data / "runs" / "s" / "data" / "trial-00" / "result.json").unlink()
    none = study(data, tiny_encoder, "layers", *options, "--resume", "s", "--finished")
    assert none.exit_code == 2 and "no setting of study s has all its seeds yet" in none.output
    assert json.loads((data / "runs" / "s" / "run.json").read_text())["status"] == "stopped"
    which = study(data, tiny_encoder, "layers", *options, "--finished")
    assert which.exit_code == 2 and "say of which study, with --resume NAME" in which.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--layers", "0,9"), "has 2 layers"),
        (("--layers", "two"), "write whole numbers"),
        (("--systems", "cnm"), "did you mean 'cnn'"),
        (("--ways", "melted"), "there are frozen and updated"),
    ],
)
def test_what_cannot_be_is_refused(data: Path, tiny_encoder: str, options: tuple[str, ...], told: str) -> None:
    found = study(data, tiny_encoder, "layers", *options)
    assert found.exit_code == 2 and told in found.output
    assert not (data / "runs").exists()


def test_a_study_of_data_sets_averages_folds_and_names_what_differs(tmp_path: Path, tiny_encoder: str) -> None:
    records = tiny_records(8)
    write_corpus(tmp_path / "data" / "conll04", {"train": records, "dev": records[:4], "test": records[2:6]})
    write_corpus(tmp_path / "data" / "own", {"train": records, "dev": records[:4], "test": records[2:6]})
    ids = [r["orig_id"] for r in records]
    ade = tmp_path / "data" / "ade"
    ade.mkdir()
    (ade / "ade_full.json").write_text(json.dumps(records))
    (ade / "ade_folds.json").write_text(json.dumps({"test_folds": [ids[:4], ids[4:]]}))
    options = ("--datasets", "conll04,ade,own", "--folds", "0,1", "--systems", "cnn,spert", "--name", "m")
    done = study(tmp_path, tiny_encoder, "main", *options)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "runs" / "m" / "study" / "main.md").read_text()
    rows = json.loads((tmp_path / "runs" / "m" / "study" / "main.json").read_text())
    assert {r["part"] for r in rows} == {"conll04", "ade/fold-0", "ade/fold-1", "own"} and len(rows) == 8
    assert "macro over 2 folds" in page and "trained on train+dev; last epoch" in page
    assert "The paper has no scores on this data set." in page and "epochs: 1, not 30" in page
    assert page.count("| TablERT-CNN − SpERT |") == 3
    again = study(tmp_path, tiny_encoder, "main", *options[:-2], "--resume", "m")
    assert again.exit_code == 0 and "cells to run" not in again.output
    # Stopped in the second fold: the page of what is whole, and nothing is trained.
    (tmp_path / "runs" / "m" / "ade" / "fold-1" / "trial-01" / "result.json").unlink()
    partly = study(tmp_path, tiny_encoder, "main", *options[:-2], "--resume", "m", "--finished")
    assert partly.exit_code == 0 and "cells to run" not in partly.output, partly.output
    assert "ade/fold-1: SpERT updated: 0 of 1 seed, not on the page" in partly.output
    page = (tmp_path / "runs" / "m" / "study" / "main.md").read_text()
    assert "macro over 2 folds" not in page and page.count("| TablERT-CNN − SpERT |") == 3
    assert len(json.loads((tmp_path / "runs" / "m" / "study" / "main.json").read_text())) == 7
    assert json.loads((tmp_path / "runs" / "m" / "run.json").read_text())["status"] == "stopped"
    missing = study(tmp_path, tiny_encoder, "main", "--datasets", "ace05", "--name", "x")
    assert missing.exit_code == 2 and "has no folder ace05; it has ade, conll04, own" in missing.output
    fold = study(tmp_path, tiny_encoder, "main", "--datasets", "ade", "--folds", "0-4", "--name", "x")
    assert fold.exit_code == 2 and "has the folds 0 to 1, not 2" in fold.output


def test_cells_have_their_systems_own_settings() -> None:
    config = load_config("conll04")
    spert = with_overrides(config, Cell("spert", 4, True, 7).point(None))
    assert (spert.model.head, spert.model.layer, spert.model.frozen, spert.train.seeds) == ("spert", 4, True, (7,))
    assert (spert.train.epochs, spert.train.batch_size, spert.optim.lr, spert.optim.warmup) == (20, 2, 5e-5, 0.1)
    assert with_overrides(config, Cell("cnn", None, False, 1).point(3)).train.epochs == 3
    assert with_overrides(config, Cell("tablert", None, False, 1).point(None)).train.epochs == 30
    cells = grid(["cnn"], [0, 2], [False, True], [1, 2])
    assert len(cells) == len(set(cells)) == 8 and all(cell.frozen for cell in cells[:4])
    with pytest.raises(InputError, match="there are cnn, tablert, spert"):
        grid(["pfn"], [0], [True], [1])


def test_the_ledger_has_the_papers_tables() -> None:
    assert [len(published(name)) for name in ("conll04", "ade", "ace05")] == [5, 6, 10]
    ours = published("conll04")[-1]
    assert (ours.system, ours.ner, ours.re, ours.re_plus) == ("TablERT-CNN", 90.5, 73.2, 73.2)
    assert published("conll04")[0].re is None and published("ade")[0].averaging == "macro over ten folds"
    for level in ("ner", "re"):
        for system in systems():
            for frozen in (True, False):
                assert len(published_layers(level, system, frozen)) == len(ledger()["layers"]["layers"]) == 8
    # The paper's claim: with a frozen encoder TablERT-CNN > TablERT > SpERT at every layer.
    rows = [published_layers("re", system, True) for system in ("cnn", "tablert", "spert")]
    assert all(a > b > c for a, b, c in zip(*(r.values() for r in rows), strict=True))


def test_rows_beyond_the_paper_name_their_source_runs_and_traps() -> None:
    rows = [row for dataset in ("conll04", "ade", "ace05", "scierc") for row in others(dataset)]
    assert {"UTC-IE", "TRUE-UIE", "ITER", "PFN", "PL-Marker", "HGERE", "USM"} < {row.system for row in rows}
    assert len({(row.system, row.dataset, row.encoder) for row in rows}) == len(rows)
    for row in rows:
        assert row.source and row.by and row.re_plus is not None, row
        assert all(20 < score < 100 for score in (row.ner, row.re, row.re_plus) if score is not None), row
        assert row.runs in {"mean", "mean of 3", "one", "best of 5", "not said"}
        assert ("best-run" in row.traps) == row.runs.startswith("best") and ("one-run" in row.traps) == (
            row.runs == "one"
        )
    assert {key for row in rows for key in row.traps} == set(traps()), "each trap has caught a row"
    by_name = {(row.system, row.dataset): row for row in rows}
    assert by_name["UTC-IE", "scierc"].re_plus == 38.8 and by_name["PFN", "scierc"].re_plus == 38.4
    assert by_name["UTC-IE, both directions", "scierc"].re_plus == 42.5


def test_a_trap_is_a_difference() -> None:
    plain, both, iter_ = (
        next(row for row in others(dataset) if row.system == name)
        for name, dataset in (("PFN", "scierc"), ("UTC-IE, both directions", "scierc"), ("ITER", "conll04"))
    )
    ours = Ours("scierc", "scibert", "train", "best dev epoch by RE+", "micro", 5, 30, 30)
    assert not any("directions" in told for told in differences(ours, plain))
    assert traps()["both-directions"] in differences(ours, both)
    best = differences(Ours("conll04", "deberta-v3-large", "train", "last epoch", "micro", 5, 30, 30), iter_)
    assert traps()["best-run"] in best and "runs: best of 5, ours a mean over seeds" in best
    assert all(differences(ours, row) for row in others("scierc")), "none may stand beside ours unchecked"


def test_scores_stand_beside_the_papers_only_under_its_protocol() -> None:
    row = published("conll04")[-1]
    same = Ours("conll04", "bert-base-cased", "train+dev", "last epoch", "micro", 5, 30, 30)
    assert differences(same, row) == []
    other = Ours("conll04", "package:mini/model", "train", "best dev epoch by RE+", "macro", 3, 5, 30)
    told = differences(other, row)
    assert [t.partition(":")[0].split(" ")[0] for t in told] == [
        "encoder", "averaging", "epochs", "seeds", "trained", "weights",
    ]  # fmt: skip
    assert "epochs: 5, not 30" in told


def counts(f1: float, sentences: int, rng: np.random.Generator) -> np.ndarray:
    hits = rng.binomial(4, f1, sentences)
    return np.stack([hits, 4 - hits, 4 - hits], 1)


def test_the_bootstrap_sees_a_real_difference_and_none_where_there_is_none() -> None:
    rng = np.random.default_rng(0)
    good, bad = ([counts(p, 300, rng) for _ in range(3)] for p in (0.8, 0.6))
    found = compare(good, bad, 2000)
    assert 15 < found.difference < 25 and found.low > 10 and found.high < 30
    assert found.p_sentences < 0.01 and found.p_seeds is not None and found.p_seeds < 0.05
    same = compare(good, good, 2000)
    assert (same.difference, same.low, same.high, same.p_sentences, same.p_seeds) == (0, 0, 0, 1.0, 1.0)
    back = compare(bad, good, 2000)
    assert back.difference == pytest.approx(-found.difference) and back.p_sentences == found.p_sentences
    assert compare(good[:1], bad[:1], 200).p_seeds is None, "one seed tells nothing of seeds"
    with pytest.raises(ValueError, match="not paired"):
        compare(good, bad[:2])


def test_the_bootstraps_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        found = compare([counts(0.7, 200, rng)], [counts(0.65, 200, rng)], 400)
        covered += found.low <= 5.0 <= found.high
    assert 88 <= covered <= 100


def test_micro_f1_of_nothing_is_zero() -> None:
    assert micro_f1(np.array([[0, 0, 0], [3, 1, 1]])).tolist() == [0.0, 0.75]
