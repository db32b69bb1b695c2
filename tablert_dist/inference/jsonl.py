"""Lines of text or JSON as results, one a line: what `tablert predict` does in one process, in several and on a cluster.

In three steps, so that they can overlap: cut the lines into pieces, read the pieces with the model, put results together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tablert_dist.errors import InputError
from tablert_dist.heads.rules import Rules
from tablert_dist.inference.pieces import Plan, Planner
from tablert_dist.inference.predictor import Predictor
from tablert_dist.schema import Sentence
from tablert_dist.text import SURROGATE

T = TypeVar("T")
Numbered = Sequence[tuple[int, str]]
"""Lines with their numbers."""


@dataclass(frozen=True)
class Planned:
    """Lines that are cut into pieces. By the lines' numbers: the plans of texts and of sentences given as words, and why
    the others cannot be read."""

    texts: Mapping[int, Plan]
    words: Mapping[int, Plan]
    errors: Mapping[int, str]


@dataclass(frozen=True)
class Found:
    """By the lines' numbers: what was found in the pieces of each plan, and why the others could not be read."""

    sentences: Mapping[int, Sequence[Sentence]]
    errors: Mapping[int, str]


def plan_lines(planner: Planner, lines: Numbered) -> Planned:
    """Parse the lines and cut them into pieces."""
    texts: dict[int, str] = {}
    words: dict[int, Sequence[str]] = {}
    errors: dict[int, str] = {}
    for number, line in lines:
        try:
            item = parse_line(line)
        except InputError as error:
            errors[number] = str(error)
            continue
        if isinstance(item, str):
            texts[number] = item
        else:
            words[number] = item
    return Planned(_plans(planner.of_texts, texts, errors), _plans(planner.of_words, words, errors), errors)


def _plans(
    cut: Callable[[Sequence[T]], Sequence[Plan]], items: Mapping[int, T], errors: dict[int, str]
) -> Mapping[int, Plan]:
    return _each(lambda numbers: cut([items[number] for number in numbers]), list(items), errors)


def read_planned(predictor: Predictor, planned: Planned) -> Found:
    """Read the pieces with the model."""
    errors = dict(planned.errors)
    sentences: dict[int, Sequence[Sentence]] = {}
    # Texts and words apart: what is in a batch moves the last digits of a probability.
    for plans in (planned.texts, planned.words):

        def read(numbers: Sequence[int], plans: Mapping[int, Plan] = plans) -> list[list[Sentence]]:
            found = iter(predictor.read_pieces([piece for number in numbers for piece in plans[number].pieces]))
            return [[next(found) for _ in plans[number].pieces] for number in numbers]

        sentences |= _each(read, list(plans), errors)
    return Found(sentences, errors)


def _each(work: Callable[[Sequence[int]], Sequence[T]], numbers: Sequence[int], errors: dict[int, str]) -> dict[int, T]:
    """Work on all lines at once; where one of them is at fault, on each alone, and note why it cannot be read."""
    try:
        return dict(zip(numbers, work(numbers), strict=True))
    except InputError:
        pass
    found: dict[int, T] = {}
    for number in numbers:
        try:
            (found[number],) = work([number])
        except InputError as error:
            errors[number] = str(error)
    return found


def results(
    planned: Planned, found: Found, symmetric: frozenset[str], rules: Rules | None = None
) -> Iterator[dict[str, Any]]:
    """A result for each line, in their order; `{"line", "error"}` where there is none. `rules`: as `Plan.finish`."""
    for number in sorted({*found.sentences, *found.errors}):
        if number in found.errors:
            yield {"line": number, "error": found.errors[number]}
            continue
        plan = planned.texts.get(number) or planned.words[number]
        yield plan.finish(found.sentences[number], symmetric, rules).to_json()


def predict_lines(predictor: Predictor, lines: Numbered) -> Iterator[dict[str, Any]]:
    """As `results`, of lines in rising order."""
    planned = plan_lines(predictor.planner, lines)
    found = read_planned(predictor, planned)
    return results(planned, found, predictor.tags.schema.symmetric, predictor.scheme.rules)


@dataclass(frozen=True)
class Answer:
    """A result as it is written, with what the summary counts."""

    line: str
    """JSON, without a newline."""
    entities: int = 0
    relations: int = 0
    number: int = 0
    """Of the line that cannot be read, and why."""
    error: str | None = None

    @staticmethod
    def of(result: Mapping[str, Any]) -> Answer:
        """Of one of `results`."""
        line = json.dumps(result, ensure_ascii=False)
        if "error" in result:
            return Answer(line, number=result["line"], error=result["error"])
        return Answer(line, len(result["entities"]), len(result["relations"]))


def parse_line(line: str) -> str | list[str]:
    """A text, or a sentence given as words. Raises InputError."""
    line = line.rstrip("\r\n")
    if half := SURROGATE.search(line):
        raise InputError(f"not UTF-8: the byte 0x{ord(half[0]) & 0xFF:02x} after {half.start()} characters")
    if not line.startswith("{"):
        return line
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise InputError("not JSON that can be read: it is nested too deeply") from None
    except ValueError:
        raise InputError("not JSON that can be read: a number has thousands of digits") from None
    if isinstance(item.get("text"), str):
        return str(item["text"])
    words = item.get("words")
    if isinstance(words, list) and all(isinstance(w, str) and w.strip() for w in words):
        return words
    raise InputError("expected an object with 'text' (a string) or 'words' (a list of strings)")
