"""Work on a stream in threads, its results in order: one item is read while others are worked on, and few are held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
GRACE_S = 10.0
"""Seconds that a worker gets to end the item in hand when its results are no longer wanted."""


def in_order(
    items: Iterator[T],
    workers: Sequence[Callable[[T], R]],
    ahead: int = 2,
    abandon: Callable[[], None] = lambda: None,
) -> Iterator[R]:
    """Yield each item's result, in the order of the items; each of `workers` is called in a thread of its own.

    A further thread reads the items, at most `ahead` beyond those that the workers have in hand: that many results wait.
    An exception, of a worker or of reading, is raised in its place. Where the results are not taken to the end, `abandon`
    is called, and the workers end after their item in hand; nothing waits for the reading thread, which may itself wait
    for input that never comes.
    """
    tasks: SimpleQueue[tuple[Future[R], T] | None] = SimpleQueue()
    order: SimpleQueue[Future[R] | None] = SimpleQueue()
    room, stop = threading.Semaphore(len(workers) + ahead), threading.Event()

    def read() -> None:
        while room.acquire() and not stop.is_set():
            future: Future[R] = Future()
            try:
                item = next(items)
            except StopIteration:
                break
            except BaseException as error:
                future.set_exception(error)
                order.put(future)
                break
            order.put(future)
            tasks.put((future, item))
        order.put(None)

    def work(worker: Callable[[T], R]) -> None:
        while (task := tasks.get()) is not None:
            future, item = task
            if stop.is_set():
                continue
            try:
                future.set_result(worker(item))
            except BaseException as error:
                future.set_exception(error)

    threads = [threading.Thread(target=work, args=[w], name=f"worker-{i}", daemon=True) for i, w in enumerate(workers)]
    for thread in (threading.Thread(target=read, name="reading", daemon=True), *threads):
        thread.start()
    whole = False
    try:
        while (future := order.get()) is not None:
            yield future.result()
            room.release()
        whole = True
    finally:
        stop.set()
        if not whole:
            abandon()
        room.release()
        for _ in workers:
            tasks.put(None)
        for thread in threads:
            thread.join(GRACE_S)
