"""Whole readers in processes of their own: each loads the model, takes parts of the lines and gives back answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tablert_dist.config import PredictConfig
from tablert_dist.errors import InputError, RunError
from tablert_dist.inference.jsonl import Answer, Numbered, predict_lines

_END_S = 5.0
"""Seconds that a process gets to end before it is killed."""


class ReaderProcess:
    """A process that reads with the model. Call it with numbered lines, from one thread at a time."""

    def __init__(self, model: Path, config: PredictConfig) -> None:
        # Spawned: a fork would inherit the locks of onnxruntime's threads, and a GPU's context.
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, str(model), config.model_dump(mode="json"))
        self._process = context.Process(target=_serve, args=arguments, name="tablert-reader", daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self, lines: Numbered) -> list[Answer]:
        """The lines' answers, in their order. Raises RunError where the process has died, and what the reader raised."""
        where = f"while it read lines {lines[0][0]} to {lines[-1][0]}" if lines else "while it loaded the model"
        try:
            if lines:
                self._connection.send(lines)
            found = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(_END_S)
            raise RunError(
                f"a reader process ended with code {self._process.exitcode} {where} (−9: it was killed, perhaps for "
                "memory); use fewer --processes"
            ) from None
        if isinstance(found, Exception):
            raise found
        return list(found)

    def end(self) -> None:
        """End the process at once."""
        self._process.terminate()

    def join(self) -> None:
        """Wait until it has ended; kill it where it does not."""
        self._process.join(_END_S)
        self._process.kill()
        self._process.join()


@contextmanager
def reader_processes(model: Path, config: PredictConfig, count: int) -> Iterator[list[ReaderProcess]]:
    """`count` processes that have loaded the model; they end with the block, and where this process dies.

    Unless a GPU is asked for, each has `config.threads` threads, else one. Raises InputError where the model cannot be loaded.
    """
    if config.provider in {"cpu", "auto"}:
        config = config.model_copy(update={"threads": config.threads or 1})
    readers: list[ReaderProcess] = []
    try:
        with _deaf():
            readers += (ReaderProcess(model, config) for _ in range(count))
        for reader in readers:
            reader(())
        yield readers
    finally:
        for reader in readers:
            reader.end()
        for reader in readers:
            reader.join()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C from their first moment: their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, model: str, config: dict[str, Any]) -> None:
    """In the process: load the model, answer parts until the parent is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from tablert_dist.inference.predictor import Predictor

    try:
        predictor = Predictor.load(model, PredictConfig.model_validate(config, strict=False))
        connection.send([])
        while True:
            lines = connection.recv()
            connection.send([Answer.of(result) for result in predict_lines(predictor, lines)])
    except (EOFError, BrokenPipeError):
        return
    except (InputError, RunError) as error:
        connection.send(type(error)(str(error)))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        connection.send(RunError(f"a reader process failed: {type(error).__name__}: {first}"))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    # However the parent ended, by SIGKILL too.
    os._exit(1)
