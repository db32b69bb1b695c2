"""Seeded damage to a model's folder: bytes, whole files, and values in its JSON, with the hashes left behind or made to fit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.inference.bundle import MANIFEST
from tablert_dist.storage.checkpoint_folder import META
from tests.support.altered import sealed_again

RECORDS = (MANIFEST, META)
DEEP: Any = [[[[[[[[[[]]]]]]]]]]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 255, 65_536, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, -1e308),
    *(float("nan"), float("inf"), "", " ", "x", "x" * 5000, "../x", "/etc/passwd", "a/b--c.D", "\u0000", "💥", "1"),
    *([], {}, [1], ["x"], {"x": 1}, DEEP, [None], [[1, 2]], {"": {}}),
)
"""What a value is replaced by."""


@dataclass(frozen=True)
class Mutation:
    """One change to one file."""

    file: str
    kind: str
    forged: bool
    """The hashes were made to fit, so that what is behind them is tested."""

    def __str__(self) -> str:
        return f"{self.kind} of {self.file}, {'hashes made to fit' if self.forged else 'hashes left'}"


@contextmanager
def mutated(model: Path, rng: random.Random) -> Iterator[Mutation]:
    """Change the folder; afterwards it is as it was."""
    files = sorted(p for p in model.rglob("*") if p.is_file() and p.name != "README.md")
    record = next(p for p in files if p.name in RECORDS)
    # Half of the changes are to JSON, where a value can mean something.
    readable = [p for p in files if p.suffix == ".json"]
    target = rng.choice(readable if rng.random() < 0.6 else files)
    before = {path: path.read_bytes() for path in (target, record)}
    forged = rng.random() < 0.7
    try:
        kind = _json(target, rng) if target.suffix == ".json" and rng.random() < 0.75 else change_bytes(target, rng)
        if forged:
            _forge(model)
        yield Mutation(target.relative_to(model).as_posix(), kind, forged)
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def _forge(model: Path) -> None:
    try:
        sealed_again(model)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return  # the record itself is too far gone


def change_bytes(path: Path, rng: random.Random) -> str:
    """Damage a file; returns how."""
    data = path.read_bytes()
    kind = rng.choice(list(BYTES))
    if kind == "removal":
        path.unlink()
    else:
        path.write_bytes(BYTES[kind](bytearray(data), rng))
    return kind


def _flipped(data: bytearray, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 4, 32))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _flipped_early(data: bytearray, rng: random.Random) -> bytes:
    """Where headers are."""
    if data:
        data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
    return bytes(data)


def _zeroed(data: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(max(1, len(data)))
    data[at : at + 64] = bytes(len(data[at : at + 64]))
    return bytes(data)


BYTES: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "flipped bits": _flipped,
    "a byte of the header": _flipped_early,
    "a cut": lambda data, rng: bytes(data[: rng.randrange(max(1, len(data)))]),
    "more at the end": lambda data, rng: bytes(data) + rng.randbytes(rng.randrange(1, 200)),
    "zeroed bytes": _zeroed,
    "something inserted": lambda data, rng: (
        bytes(data[: len(data) // 2]) + rng.randbytes(8) + bytes(data[len(data) // 2 :])
    ),
    "emptying": lambda data, rng: b"",
    "removal": lambda data, rng: b"",
}


def _json(path: Path, rng: random.Random) -> str:
    tree = json.loads(path.read_text(encoding="utf-8"))
    places = list(_places(tree))
    # A vocabulary has hundreds of entries; what is near the root decides more.
    places.sort(key=lambda place: place[0])
    depth, holder, key = (
        places[min(int(rng.expovariate(1 / 25)), len(places) - 1)] if rng.random() < 0.7 else rng.choice(places)
    )
    kind = rng.choice(
        ("another value", "another value", "another value", "a key less", "a key renamed", "a list reversed")
    )
    value = holder[key]
    if kind == "a key less":
        del holder[key]
    elif kind == "a key renamed" and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    elif kind == "a list reversed" and isinstance(value, list):
        value.reverse()
    elif isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.3:
        holder[key] = rng.choice((value + 1, value - 1, 2 * value, 1000 * value, -value))
        kind = "another number"
    else:
        holder[key] = rng.choice(VALUES)
        kind = "another value"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return f"{kind} ({key}, depth {depth})"


def _places(tree: Any, depth: int = 0) -> Iterator[tuple[int, Any, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield depth, tree, key
        yield from _places(value, depth + 1)
