"""Results as they are read for a graph: the documents, what is mentioned in them, and by which rule mentions are one node."""

from __future__ import annotations

import importlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tablert_dist.errors import InputError
from tablert_dist.inference.pieces import check_characters
from tablert_dist.text import SURROGATE

Link = Callable[["Mention"], str | None]
"""The key of the node that a mention belongs to; None: the rule decides (`by_name`)."""


@dataclass(frozen=True)
class Mention:
    """An entity in a document: `text` is its characters `start … end - 1`."""

    text: str
    type: str
    start: int
    end: int
    probability: float | None
    document: str
    """The `id` of the line, else its number."""
    context: str
    """The whole text of the document."""


@dataclass(frozen=True)
class Triple:
    """A relation between two mentions of one document, by their places in its list."""

    head: int
    type: str
    tail: int
    probability: float | None
    triple_probability: float | None


@dataclass(frozen=True)
class Document:
    """One line of results."""

    name: str
    text: str
    mentions: tuple[Mention, ...]
    triples: tuple[Triple, ...]


@dataclass
class Count:
    """What was read, and what could not be."""

    lines: int = 0
    errors: int = 0
    """Lines that say why their text could not be read."""
    left_out: int = 0
    """Lines that are no results."""
    reasons: list[str] = field(default_factory=list)
    """Of the first of them, a sentence each."""


def by_name(mention: Mention) -> str:
    """One node for each type and name: Unicode's compatibility form, case folded, runs of white space as one space.

    Example:
        >>> by_name(Mention("Ada  LOVELACE", "Person", 0, 13, None, "1", "Ada  LOVELACE"))
        'entity/Person/ada%20lovelace'
    """
    name = " ".join(unicodedata.normalize("NFKC", mention.text).casefold().split())
    return f"entity/{quote(mention.type, safe='')}/{quote(name, safe='')}"


def find_link(named: str | None) -> Link:
    """The function `module:name`, for names that two spellings have, or two people share. Without one, none is asked.

    Raises InputError where it is not found.
    """
    if named is None:
        return lambda mention: None
    module, colon, name = named.partition(":")
    if not (module and colon and name):
        raise InputError(f"--link {named}: expected module:function, such as linking:wikidata")
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise InputError(f"--link {named}: there is no module '{error.name}' on Python's path") from None
    except AttributeError:
        raise InputError(f"--link {named}: the module {module} has no '{name}'") from None
    if not callable(found):
        raise InputError(f"--link {named}: {name} is not a function")
    return found  # type: ignore[no-any-return]


def key_of(mention: Mention, link: Link) -> str:
    """The key of the mention's node. Raises InputError where the linker fails or gives no string."""
    try:
        key = link(mention)
    except Exception as error:
        raise InputError(
            f"--link failed on '{mention.text}' ({mention.type}) in document {mention.document}: "
            f"{type(error).__name__}: {error}"
        ) from None
    if key is None:
        return by_name(mention)
    if not isinstance(key, str) or not key.strip():
        raise InputError(f"--link gave {key!r} for '{mention.text}' ({mention.type}): expected a string or None")
    return key


def read_documents(lines: Iterable[str], source: str, count: Count, strict: bool = False) -> Iterator[Document]:
    """The documents of JSON lines as `tablert predict` writes them; a line may have an `id`.

    What is no result is left out and counted. Raises InputError for the first of them where `strict`.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        count.lines += 1
        try:
            tree = json.loads(line)
            if isinstance(tree, Mapping) and "error" in tree and "entities" not in tree:
                count.errors += 1
                continue
            yield document_of(tree, str(number))
        except json.JSONDecodeError as error:
            _leave_out(count, f"{source}: line {number}: not JSON: {error}", strict)
        except InputError as error:
            _leave_out(count, f"{source}: line {number}: {error}", strict)


def _leave_out(count: Count, reason: str, strict: bool) -> None:
    if strict:
        raise InputError(reason)
    count.left_out += 1
    if len(count.reasons) < REASONS:
        count.reasons.append(reason)


REASONS = 5


def document_of(tree: Any, name: str) -> Document:
    """A result as it is written, as a document. `name`: where it has no `id`. Raises InputError where it is none."""
    if not isinstance(tree, Mapping):
        raise InputError(f"expected an object of `tablert predict`, found {_kind(tree)}")
    text = tree.get("text")
    if not isinstance(text, str):
        raise InputError("no 'text': expected an object as `tablert predict` writes it")
    check_characters(text)
    given = tree.get("id", name)
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise InputError(f"'id' is {_kind(given)}: expected a string or a number")
    name = str(given)
    mentions = tuple(_mention(item, i, text, name) for i, item in enumerate(_list(tree, "entities")))
    triples = tuple(_triple(item, i, len(mentions)) for i, item in enumerate(_list(tree, "relations")))
    return Document(name, text, mentions, triples)


def _list(tree: Mapping[str, Any], key: str) -> list[Any]:
    found = tree.get(key)
    if not isinstance(found, list):
        raise InputError(f"no list '{key}': expected an object as `tablert predict` writes it")
    return found


def _mention(item: Any, place: int, text: str, document: str) -> Mention:
    what = f"entities[{place}]"
    if not isinstance(item, Mapping):
        raise InputError(f"{what} is {_kind(item)}: expected an object")
    start, end = _number(item, "start", what), _number(item, "end", what)
    if not 0 <= start < end <= len(text):
        raise InputError(f"{what}: characters {start} … {end} do not lie in the text of {len(text)}")
    return Mention(
        text[start:end], _type(item, what), start, end, _probability(item, "probability", what), document, text
    )


def _triple(item: Any, place: int, mentions: int) -> Triple:
    what = f"relations[{place}]"
    if not isinstance(item, Mapping):
        raise InputError(f"{what} is {_kind(item)}: expected an object")
    head, tail = _number(item, "head", what), _number(item, "tail", what)
    for end, value in (("head", head), ("tail", tail)):
        if not 0 <= value < mentions:
            raise InputError(f"{what}: {end} {value} is none of the {mentions} entities")
    own, whole = (_probability(item, key, what) for key in ("probability", "triple_probability"))
    return Triple(head, _type(item, what), tail, own, whole)


def _number(item: Mapping[str, Any], key: str, what: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{what}: '{key}' is {_kind(value)}: expected a whole number")
    return value


def _type(item: Mapping[str, Any], what: str) -> str:
    value = item.get("type")
    if not isinstance(value, str) or not value.strip() or SURROGATE.search(value):
        raise InputError(f"{what}: 'type' is {_kind(value)}: expected a name")
    return value


def _probability(item: Mapping[str, Any], key: str, what: str) -> float | None:
    value = item.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f"{what}: '{key}' is {value!r}: expected a number from 0 to 1")
    return float(value)


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


IRI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20]+", re.IGNORECASE)
"""An absolute IRI, as far as a file of RDF must be able to hold it (RFC 3987)."""


def iri(key: str, base: str) -> str:
    """A node's key as an IRI: itself where it is one, else below `base`.

    Example:
        >>> iri("entity/Person/ada", "https://example.org/")
        'https://example.org/entity/Person/ada'
        >>> iri("http://www.wikidata.org/entity/Q7259", "https://example.org/")
        'http://www.wikidata.org/entity/Q7259'
    """
    return key if IRI.fullmatch(key) else base + quote(key, safe="/%")
