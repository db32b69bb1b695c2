"""A line for a long wait, none for a short one, and nothing for who did not ask."""

from __future__ import annotations

import logging
import subprocess
import sys
import time

import pytest

from tablert_dist import waiting as room
from tablert_dist.waiting import waiting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "FIRST_S", 0.1)
    monkeypatch.setattr(room, "AGAIN_S", 0.2)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged."""
    found: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    monkeypatch.setattr(room.log, "handlers", [Kept()])
    monkeypatch.setattr(room.log, "level", logging.INFO)
    return found


def test_a_long_wait_is_told_and_told_again_and_a_short_one_is_not(lines: list[str]) -> None:
    with waiting("a short wait"):
        pass
    with waiting("starting Ray"):
        time.sleep(0.45)
    assert lines[0] == "starting Ray …" and lines[1].startswith("starting Ray … 0 s") and len(lines) == 2
    told = len(lines)
    time.sleep(0.3)
    assert len(lines) == told, "nothing after its end"


def test_an_error_passes_and_ends_the_wait(lines: list[str]) -> None:
    with pytest.raises(ValueError, match="no"), waiting("loading"):
        raise ValueError("no")
    time.sleep(0.3)
    assert lines == []


def test_it_prints_for_a_command_line_alone_and_not_to_standard_output() -> None:
    code = (
        "import sys, time; from tablert_dist import waiting as w; w.FIRST_S = 0.05; say = {}\n"
        "if say: w.show_waits(); w.show_waits()\n"
        "with w.waiting('loading'): time.sleep(0.3)\n"
    )
    for say, expected in ((False, ""), (True, "loading …\n")):
        done = subprocess.run([sys.executable, "-c", code.format(say)], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", expected)
