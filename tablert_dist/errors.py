"""The exceptions whose message is all that a user needs: a mistake in the input, a run that failed."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping
from typing import Any


class InputError(ValueError):
    """Input that cannot be used: names the file or key, the record, the reason and, where there is one, the right call."""


class RunError(RuntimeError):
    """A run that failed though its input was good: says what happened and where to look."""


class Stopped(RunError):  # noqa: N818
    """A run that a signal or a notice has ended, in order: what it saved, and how it is resumed."""

    def __init__(self, message: str, number: int = signal.SIGTERM) -> None:
        """`number`: of the signal; a command exits with 128 + it."""
        super().__init__(message)
        self.number = int(number)
        self.record: Mapping[str, Any] | None = None
        """The run's, once that is known."""


class OutOfMemory(RunError):  # noqa: N818
    """A batch that does not fit into a device's memory; a smaller one may."""


SIGNS = ("out of memory", "allocate memory", "alloc_failed", "not enough memory", "bad_alloc")
"""In the messages of torch's and onnxruntime's allocators, of cuBLAS and cuDNN, in lower case."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an allocation failed, whichever library says so: they share no class of errors."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


EXTRAS = {
    "train": (
        "torch",
        "transformers",
        "safetensors",
        "ray",
        "mlflow",
        "onnx",
        "onnxscript",
        "pyarrow",
        "fsspec",
        "yaml",
    ),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
    "study": ("matplotlib", "scipy"),
    "optuna": ("optuna",),
    "spacy": ("spacy",),
    "datasets": ("datasets",),
    "segment": ("icu4py",),
}
"""By extra of pyproject.toml, the modules that it brings."""


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the sentence that says which extra brings the module that was not found; None where none does."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in EXTRAS.items():
        if module in modules:
            return f"this needs {module}, which is not installed: pip install 'tablert-dist[{extra}]'"
    return None


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def counted(number: int, one: str, several: str = "") -> str:
    """`1 sentence`, `2 sentences`; `several` is the plural where it is not `one` with an s."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` for the known word most like `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
