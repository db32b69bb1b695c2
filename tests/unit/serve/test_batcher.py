"""The queue before the model, with a function in the model's place."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from tablert_dist.config import Config, load_config
from tablert_dist.errors import InputError
from tablert_dist.inference.pieces import Piece
from tablert_dist.schema import Sentence
from tablert_dist.serve.batcher import Batcher, ClosingError, QueueFullError, RefusedError
from tablert_dist.tokenization import EncodedSentence

NONE = np.zeros(0, np.int64)


def piece(text: str) -> Piece:
    return Piece(text.split(), EncodedSentence(NONE, NONE, NONE))


def pieces(*texts: str) -> list[Piece]:
    return [piece(text) for text in texts]


class Reader:
    """Gives each piece's words in capitals; keeps the batches."""

    def __init__(self, seconds: Callable[[Sequence[Piece]], float] = lambda pieces: 0.01) -> None:
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.seconds = seconds

    def read_pieces(self, pieces: Sequence[Piece]) -> list[Sentence]:
        self.batches.append([" ".join(p.words) for p in pieces])
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds(pieces))
        if any("bad" in p.words for p in pieces):
            raise InputError("this one is bad")
        return [Sentence(tuple(word.upper() for word in p.words)) for p in pieces]


def words(found: Sequence[Sentence]) -> list[str]:
    return [" ".join(sentence.words) for sentence in found]


def config(**serve: object) -> Config:
    return load_config(None, {f"serve.{key}": value for key, value in serve.items()})


def test_the_batcher_by_itself() -> None:
    """Batches, a bad text in one, a caller that leaves, a full queue, the end."""
    reader = Reader()

    async def main() -> None:
        batcher = Batcher(config(queue=8, max_wait_ms=200.0))
        found = await asyncio.gather(
            *(batcher.submit(reader, pieces(t)) for t in ("a", "bad", "c")), return_exceptions=True
        )
        assert isinstance(found[1], RefusedError) and found[1].index == 0
        assert [words(f) for f in (found[0], found[2])] == [["A"], ["C"]]  # type: ignore[arg-type]
        assert reader.batches == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
        with pytest.raises(RefusedError) as refused:
            await batcher.submit(reader, pieces("x", "bad", "y"))
        assert refused.value.index == 1
        leaver = asyncio.create_task(batcher.submit(reader, pieces("l")))
        stayer = asyncio.create_task(batcher.submit(reader, pieces("s")))
        await asyncio.sleep(0.005)
        leaver.cancel()
        assert words(await stayer) == ["S"] and reader.batches[-1] == ["s"]
        with batcher.room(2):
            assert len(batcher) == 2
            with pytest.raises(QueueFullError, match="the queue is full"), batcher.room(7):
                pass
        assert len(batcher) == 0
        last = asyncio.create_task(batcher.submit(reader, pieces("end", "long " * 80)))
        await asyncio.sleep(0)
        await batcher.close()
        assert words(await last)[0] == "END" and len(reader.batches[-1]) == 1, "not padded to each other"
        with pytest.raises(ClosingError):
            await batcher.submit(reader, pieces("late"))

    asyncio.run(main())


def test_small_requests_do_not_wait_for_a_large_one() -> None:
    reader = Reader(lambda pieces: 0.005)

    async def main() -> None:
        batcher = Batcher(config(max_wait_ms=1.0))
        bulk = asyncio.create_task(batcher.submit(reader, pieces(*["one of many words here"] * 10_000)))
        await asyncio.sleep(0.02)
        for _ in range(3):
            before = len(reader.batches)
            assert words(await batcher.submit(reader, pieces("me"))) == ["ME"]
            assert reader.batches.index(["me"], before) - before <= 2, (
                "after what ran when it came, not after all of it"
            )
        assert not bulk.done()
        assert set(words(await bulk)) == {"ONE OF MANY WORDS HERE"}
        await batcher.close()

    asyncio.run(main())


def test_a_long_sentence_is_read_beside_the_others() -> None:
    """In a thread of its own: 200 words are 40 000 cells, five times a whole batch."""
    long = "word " * 200
    reader = Reader(lambda pieces: 0.3 if len(pieces[0].words) > 100 else 0.001)

    async def main() -> None:
        batcher = Batcher(config(max_wait_ms=1.0))
        slow = asyncio.create_task(batcher.submit(reader, pieces(long, "and this")))
        await asyncio.sleep(0.05)
        assert words(await batcher.submit(reader, pieces("me"))) == ["ME"]
        assert not slow.done() and words(await slow) == [long.upper().strip(), "AND THIS"]
        await batcher.close()

    asyncio.run(main())
    assert len(reader.threads) == 2


def test_two_large_requests_share_and_small_ones_starve_neither() -> None:
    reader = Reader(lambda pieces: 0.002)
    longer = " ".join(["word"] * 40)

    async def main() -> None:
        batcher = Batcher(config(max_wait_ms=0.0))
        first = asyncio.create_task(batcher.submit(reader, pieces(*[f"first {longer}"] * 60)))
        second = asyncio.create_task(batcher.submit(reader, pieces(*[f"second {longer}"] * 60)))
        ends: list[str] = []
        for name, task in (("first", first), ("second", second)):
            task.add_done_callback(lambda _, name=name: ends.append(name))  # type: ignore[misc]
        while not ends:
            await batcher.submit(reader, pieces("me"))
        await asyncio.gather(first, second)
        await batcher.close()
        owners = [batch[0].split()[0] for batch in reader.batches if batch[0] != "me"]
        half = owners[: len(owners) // 2]
        assert {"first", "second"} <= set(half), "in turns"
        assert sum(batch == ["me"] for batch in reader.batches) > len(owners) // 2, "and small ones between"

    asyncio.run(main())


def test_work_that_is_cancelled_leaves_the_queue() -> None:
    reader = Reader(lambda pieces: 0.01)

    async def main() -> None:
        batcher = Batcher(config(max_wait_ms=1.0))
        bulk = asyncio.create_task(batcher.submit(reader, pieces(*["one of many words here"] * 5000)))
        await asyncio.sleep(0.03)
        assert batcher.cells > 0
        bulk.cancel()
        await asyncio.sleep(0)
        assert batcher.cells == 0
        read = len(reader.batches)
        await batcher.submit(reader, pieces("me"))
        assert len(reader.batches) <= read + 2
        await batcher.close()

    asyncio.run(main())


def test_a_large_request_that_would_miss_its_deadline_is_refused_while_others_wait() -> None:
    reader = Reader(lambda pieces: 0.3)

    async def main() -> None:
        batcher = Batcher(config(deadline_seconds=0.5, max_wait_ms=1.0))
        many = ["one of many words here " * 4] * 200
        first = asyncio.create_task(batcher.submit(reader, pieces(*many)))
        await asyncio.sleep(0.5)
        with pytest.raises(QueueFullError, match=r"would not be read within 0\.5 s"):
            await batcher.submit(reader, pieces(*many))
        assert words(await batcher.submit(reader, pieces("me"))) == ["ME"]
        first.cancel()
        await batcher.close()

    asyncio.run(main())
