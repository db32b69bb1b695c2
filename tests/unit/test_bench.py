"""Every bench still runs: each one's --smoke, and `python -m bench` when a bench fails. No test here looks at a time."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from bench import __main__ as runner
from bench.commands import APART, COMMANDS, discover
from bench.options import UnavailableError
from tablert_dist.study.cells import systems
from tests.support.tiny import tiny_records, write_corpus

NAMES = discover()
MARKS = {
    **{f"bench.{name}": pytest.mark.slow for name in ("beside", "fused", "host", "int8", "onnx", "pick", "serve")},
    **{f"bench.{name}": pytest.mark.long for name in ("gpu", "overhead", "peers", "soak")},
}
SMOKES = [pytest.param(name, marks=[MARKS[name]] if name in MARKS else []) for name in NAMES]


def numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict | list):
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from numbers(value)
    elif isinstance(tree, int | float):
        yield tree


@pytest.mark.parametrize("name", SMOKES)
def test_a_smoke_ends_in_its_json_line(name: str, minilm: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = importlib.import_module(name).main
    assert isinstance(command, click.Command), f"{name}.main must be a click command"
    assert "smoke" in {parameter.name for parameter in command.params}, f"{name} needs @smoke_option(…)"
    try:
        command.main(["--smoke"], prog_name=name, standalone_mode=False)
    except UnavailableError as error:
        pytest.skip(f"{name}: {error.message}")
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert result["bench"] == name.removeprefix("bench.") and result["smoke"] is True
    assert all(map(math.isfinite, numbers(result)))
    assert result["ratio"] > 0
    assert runner.row(name, result).startswith(f"| `python -m {name}` | {result['ratio']} |")


def test_every_bench_has_a_row_or_a_reason() -> None:
    measured = {command.split()[0] for command in COMMANDS}
    assert measured | APART.keys() == set(NAMES), "name it in COMMANDS or in APART (bench/commands.py)"
    assert not measured & APART.keys()


def test_a_bench_that_this_machine_cannot_run_says_so_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.CompletedProcess([], UnavailableError.exit_code, "", "Error: no GPU here\n")
    monkeypatch.setattr(runner.subprocess, "run", lambda *words, **options: refused)
    assert (
        runner.row("bench.any", runner.run("bench.any"))
        == "| `python -m bench.any` | – | not here Error: no GPU here |"
    )


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "BENCHMARKS.md"
    path.write_text(f"before\n{runner.BEGIN}\nold\n{runner.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(runner, "PAGE", path)
    return path


def test_a_failing_bench_stops_no_other_and_leaves_the_page(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = page.read_text(encoding="utf-8")
    good = "bench.startup --smoke"
    monkeypatch.setattr(runner, "COMMANDS", ["bench.startup --no-such-option", "bench.timing", good])
    with pytest.raises(click.ClickException) as caught:
        runner.main.main([], standalone_mode=False)
    assert caught.value.exit_code == 1 and "2 of 3 failed" in caught.value.message
    said = capsys.readouterr()
    assert "no-such-option: FAILED: Error: No such option" in said.err and "bench.timing: FAILED: its last" in said.err
    assert json.loads(said.out)["bench"] == "startup"
    assert page.read_text(encoding="utf-8") == before

    runner.main.main(["--smoke", "--only", "startup"], standalone_mode=False)
    assert page.read_text(encoding="utf-8") == before, "a smoke's figures are none"
    with pytest.raises(click.UsageError, match=r"bench\.nothing: no such bench"):
        runner.main.main(["--only", "nothing"], standalone_mode=False)

    monkeypatch.setattr(runner, "COMMANDS", [good])
    runner.main.main([], standalone_mode=False)
    assert f"| `python -m {good}` |" in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").endswith(f"{runner.END}\nafter\n")


@pytest.mark.slow
def test_variants_are_trained_one_after_the_other_and_compared_with_the_first(
    tiny_encoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tiny_records(6)
    write_corpus(tmp_path / "data", {"train": records, "dev": records, "test": records})
    command = importlib.import_module("bench.gpu").main
    words = ["--encoder", tiny_encoder, "--data", str(tmp_path / "data"), "--preset", "conll04", "--epochs", "2"]
    command.main([*words, "--variants", "cnn,plus", "--seeds", "1,2"], prog_name="bench.gpu", standalone_mode=False)
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    found = result["variants"]
    assert list(found) == ["cnn", "plus"] and "against" not in found["cnn"] and result["ratio"] > 0
    apart = [found["plus"]["scores"][seed]["re_plus"] - found["cnn"]["scores"][seed]["re_plus"] for seed in ("1", "2")]
    against = found["plus"]["against"]
    assert against["re_plus"] == pytest.approx(sum(apart) / 2, abs=0.01) and 0 <= against["p"] <= 1
    with pytest.raises(click.ClickException, match="--variants nobody: there are cnn, tablert"):
        command.main([*words, "--variants", "cnn,nobody"], prog_name="bench.gpu", standalone_mode=False)
    with pytest.raises(click.UsageError, match="give their --encoder"):
        command.main(["--variants", "cnn"], prog_name="bench.gpu", standalone_mode=False)
    # The variants are known to the whole process.
    systems.cache_clear()
