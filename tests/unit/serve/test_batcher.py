"""The queue before the model, with a function in the model's place."""

from __future__ import annotations

import asyncio
import time

import pytest

from tablert_dist.config import load_config
from tablert_dist.errors import InputError
from tablert_dist.serve.batcher import Batcher, ClosingError, Item, QueueFullError, RefusedError, Size, estimate


def test_the_batcher_by_itself() -> None:
    """Batches, a bad text in one, a caller that leaves, a full queue, the end."""
    config = load_config(None, {"serve.queue": 8, "serve.max_wait_ms": 30.0})
    batches: list[list[Item]] = []

    def run(items: list[Item]) -> list[str]:
        batches.append(items)
        time.sleep(0.01)
        if "bad" in items:
            raise InputError("this one is bad")
        return [str(item).upper() for item in items]

    async def main() -> None:
        batcher = Batcher(run, config)
        found = await asyncio.gather(*(batcher.submit([t]) for t in ("a", "bad", "c")), return_exceptions=True)
        assert (found[0], found[2]) == (["A"], ["C"]) and isinstance(found[1], RefusedError)
        assert batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
        with pytest.raises(RefusedError) as refused:
            await batcher.submit(["x", "bad", "y"])
        assert refused.value.index == 1
        leaver, stayer = asyncio.create_task(batcher.submit(["l"])), asyncio.create_task(batcher.submit(["s"]))
        await asyncio.sleep(0.005)
        assert len(batcher) == 2
        with pytest.raises(QueueFullError):
            await batcher.submit(["f"] * 7)
        leaver.cancel()
        assert await stayer == ["S"] and batches[-1] == ["s"]
        last = asyncio.create_task(batcher.submit(["end", "long " * 90]))
        await asyncio.sleep(0)
        await batcher.close()
        assert (await last)[0] == "END" and batches[-2:] == [["end"], ["long " * 90]], "not padded to each other"
        with pytest.raises(ClosingError):
            await batcher.submit(["late"])

    asyncio.run(main())


def test_an_items_size() -> None:
    text = "Ada works at Acme. Bo does not!"
    assert estimate(text, split=True) == Size(2, 5, 25 + 16)
    assert estimate(text, split=False) == Size(1, 9, 81)
    assert estimate(["Ada", "works."], split=True) == Size(1, 2, 4)
    assert estimate("", split=True) == Size(1, 0, 0)
    assert estimate(f"{text} " * 1000, split=True).cells == pytest.approx(41_000, rel=0.3)
