"""A stream worked on in threads: its order, what is held, and how it ends; and lines of a pipe as they come."""

from __future__ import annotations

import io
import itertools
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tablert_dist.inference import arriving
from tablert_dist.inference.arriving import parts, read_lines
from tablert_dist.inference.pipeline import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_and_few_are_held(workers: int) -> None:
    taken = 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal most
        for i in range(300):
            most = max(most, i - taken)
            yield i

    def work(item: int) -> int:
        time.sleep(random.random() / 2000)
        return item * item

    for expected, found in zip(range(300), in_order(items(), [work] * workers, ahead=2), strict=True):
        assert found == expected**2
        taken += 1
    assert most <= workers + 2 + 1


def test_an_exception_comes_in_its_place() -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    found = in_order(iter(range(10)), [fail, fail])
    assert list(itertools.islice(found, 3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(found)

    def items() -> Iterator[int]:
        yield from range(2)
        raise OSError("the file is gone")

    found = in_order(items(), [lambda item: item])
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_closing_ends_the_workers_and_does_not_wait_for_input() -> None:
    never, abandoned = threading.Event(), []
    before = set(threading.enumerate())

    def items() -> Iterator[int]:
        yield 1
        never.wait()

    found = in_order(items(), [lambda item: item] * 3, abandon=lambda: abandoned.append(True))
    assert next(found) == 1
    found.close()  # type: ignore[attr-defined]
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left] == ["reading"] and abandoned == [True]
    never.set()
    assert list(in_order(iter([1]), [lambda item: item], abandon=lambda: abandoned.append(False))) == [1]
    assert abandoned == [True], "nothing is abandoned where all was taken"


CONTENT = b"Ada\r\n\n" + b"x" * 70_000 + b"\n\xff\xc3\xa9\rb\x0bc\n" * 400 + b"no end"


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_a_pipe_has_the_lines_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(arriving, "_BLOCK", block)
    content = CONTENT if block > 1 else CONTENT[-300:]
    (tmp_path / "in.txt").write_bytes(content)
    expected = list(read_lines(io.BytesIO(content)))
    with (tmp_path / "in.txt").open("rb") as file:
        found = list(parts(file))
    assert list(itertools.chain.from_iterable(found)) == expected
    assert found == list(parts(io.BytesIO(content))), "what is in a part does not depend on time"
    read, write = os.pipe()

    def fill() -> None:
        with os.fdopen(write, "wb") as sink:
            sink.write(content)

    thread = threading.Thread(target=fill)
    thread.start()
    with os.fdopen(read, "rb") as file:
        assert list(itertools.chain.from_iterable(parts(file))) == expected
    thread.join()


def test_a_pipes_line_is_passed_on_before_the_next_comes() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as file:
        found = parts(file)
        for lines in ([b"one\n"], [b"two\n", b"three\n"], [b"", b"four\n"]):
            os.write(write, b"".join(lines))
            got: list[str] = []
            while "".join(got).encode() != b"".join(lines):
                got += next(found)
        os.write(write, b"begun")
        os.close(write)
        assert list(found) == [["begun"]]


def test_parts_are_bounded() -> None:
    short, long = [b"a\n"] * 600, [b"y" * 90_000 + b"\n"] * 5
    sizes = [len(part) for part in parts(io.BytesIO(b"".join(short)))]
    assert sizes == [256, 256, 88]
    assert [len(part) for part in parts(io.BytesIO(b"".join(long)))] == [3, 2]
