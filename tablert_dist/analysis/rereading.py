"""One pass of a model over sentences, decoded in several ways: what it costs is decoded again, not computed again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

from tablert_dist.errors import OutOfMemory
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import Arrays, DeviceEngine
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.temperatures import Temperatures
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Sentence

KEPT_CELLS = 500_000
"""Words squared of the sentences whose outputs are held at once: 40 MB with 20 relation tags."""


class Remembering:
    """An engine that answers the second time, and later, what it did the first: which calls come depends on the entities
    alone, which no temperature and no rule changes. It offers no answers, in which one temperature is fixed."""

    def __init__(self, engine: DeviceEngine) -> None:
        self._engine = engine
        self._kept: list[dict[str, NDArray[Any]] | OutOfMemory] = []
        self._place = 0

    @property
    def max_cells(self) -> int:
        """As `DeviceEngine.max_cells`."""
        return self._engine.max_cells

    @property
    def at_once(self) -> int:
        """As `DeviceEngine.at_once`: calls come in order."""
        return 1

    def offers(self, stage: str) -> frozenset[str]:
        """As `Engine.offers`."""
        return frozenset()

    def again(self) -> None:
        """Begin once more with the first call."""
        self._place = 0

    def run(self, stage: str, arrays: Arrays, outputs: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """As `Engine.run`."""
        if self._place == len(self._kept):
            try:
                self._kept.append(self._engine.run(stage, arrays, outputs))
            except OutOfMemory as error:
                self._kept.append(error)
        found = self._kept[self._place]
        self._place += 1
        if isinstance(found, OutOfMemory):
            raise found
        return found


def read_at(
    predictor: Predictor, sentences: Sequence[Sequence[str]], temperatures: Sequence[Temperatures]
) -> list[list[Sentence]]:
    """What the model finds at each of the temperatures, in the order of the sentences: the same labels, with other
    probabilities."""
    rules = predictor.scheme.rules
    return read_as(predictor, sentences, [(temperature, rules) for temperature in temperatures])


def read_as(
    predictor: Predictor, sentences: Sequence[Sequence[str]], ways: Sequence[tuple[Temperatures, Rules | None]]
) -> list[list[Sentence]]:
    """What the model finds at each of the temperatures under each of the rules, in the order of the sentences: the same
    entities, with other probabilities and relations."""
    found: list[list[Sentence]] = [[] for _ in ways]
    for part in _parts(sentences):
        engine = Remembering(predictor.engine)
        plans = predictor.planner.of_words(part)
        pieces = [piece for plan in plans for piece in plan.pieces]
        for (temperatures, rules), results in zip(ways, found, strict=True):
            engine.again()
            reader = predictor.behind(engine, make_scheme(predictor.model, predictor.config.beam, temperatures, rules))
            results += [each.sentence for each in reader.finish(plans, reader.read_pieces(pieces))]
    return found


def _parts(sentences: Sequence[Sequence[str]]) -> Iterator[list[Sequence[str]]]:
    part: list[Sequence[str]] = []
    cells = 0
    for words in sentences:
        if part and cells + len(words) ** 2 > KEPT_CELLS:
            yield part
            part, cells = [], 0
        part.append(words)
        cells += len(words) ** 2
    if part:
        yield part
