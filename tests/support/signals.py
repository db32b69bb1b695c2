"""Send a signal to a command in the middle of its work, and time its end."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from tests.support.nodes import Command, wait_for

TIMES = {"train/seconds", "train/sentences_per_second", "dev/sentences_per_second"}


def stopped(
    command: Command, when: Callable[[], object], number: int = signal.SIGTERM, limit: float = 30.0
) -> tuple[int, float, str]:
    """Its exit code, the seconds from the signal to its end, and its output. Required are 10 s; a busy machine gets more."""
    wait_for(when, running=command)
    assert command.process.poll() is None, command.text[-4000:]
    at = time.monotonic()
    command.process.send_signal(number)
    code = command.process.wait(timeout=300)
    seconds = time.monotonic() - at
    print(f"ended {seconds:.1f} s after the signal")
    assert seconds < limit, command.text[-4000:]
    assert "Traceback" not in command.text and "SIGTERM received at time" not in command.text, command.text[-4000:]
    return code, seconds, command.text


def resume_words(text: str) -> list[str]:
    """The words after the program of the line that says how to go on."""
    import shlex

    (line,) = re.findall(r"^resume with: (.+)$", text, re.MULTILINE)
    words = shlex.split(line)
    return words[next(i for i, word in enumerate(words) if word in {"train", "tune", "study"}) :]


def rows(result: Path) -> list[dict[str, float]]:
    """The history in a `result.json` without what depends on the clock."""
    tree: dict[str, Any] = json.loads(result.read_text())
    return [{k: v for k, v in row.items() if k not in TIMES} for row in tree["history"]]


def statuses(database: Path) -> dict[str, str]:
    """Every run's status in an MLflow database, by name."""
    client = MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("tablert")
    assert experiment is not None
    return {run.info.run_name: run.info.status for run in client.search_runs([experiment.experiment_id])}
