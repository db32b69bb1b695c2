"""Call a function in a process of its own: memory once taken is seldom given back, and a patch stays where it was made."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

START = "forkserver"
"""One server imports torch and transformers and computes nothing; every process forks from it in milliseconds.

Forking the bench's own process would inherit its threads and its heap, and importing again costs seconds each time.
"""


def prepare() -> None:
    """Say what the fork server imports. Has no effect once it runs."""
    multiprocessing.get_context(START).set_forkserver_preload(["bench.parts", "transformers.models.bert.modeling_bert"])


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what the function returns; raise what it raises. Function, arguments and result must be picklable."""
    prepare()
    with ProcessPoolExecutor(1, multiprocessing.get_context(START)) as pool:
        return pool.submit(function, *arguments).result()
