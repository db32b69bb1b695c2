"""What a graph can be written as, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError, nearest
from tablert_dist.inference.graph.mentions import IRI, Count, Link, read_documents
from tablert_dist.inference.graph.store import GraphStore
from tablert_dist.storage.atomic import whole_file, whole_folder

Write = Callable[[GraphStore, Path, str, str | None], None]
"""A store, where to write, the base of IRIs, and the model that read the texts, where that is known."""


@dataclass(frozen=True)
class Target:
    """One form of a graph."""

    ending: str
    """Of a file's name; of a folder none."""
    writer: str
    """`package.module:function`, a `Write`."""
    folder: bool = False
    needs: str = ""
    """The library that it is written with, where an installation may lack it."""
    texts: bool = False
    """Whether it shows sentences, so that the store must keep the texts."""

    @property
    def write(self) -> Write:
        """The function."""
        module, _, name = self.writer.partition(":")
        found: Write = getattr(import_module(module), name)
        return found


TARGETS = {
    "turtle": Target(".ttl", "tablert_dist.inference.graph.rdf:write_turtle"),
    "jsonld": Target(".jsonld", "tablert_dist.inference.graph.rdf:write_jsonld"),
    "cypher": Target(".cypher.jsonl", "tablert_dist.inference.graph.cypher:write_cypher"),
    "graphml": Target(".graphml", "tablert_dist.inference.graph.graphml:write_graphml"),
    "csv": Target("", "tablert_dist.inference.graph.tables:write_csv", folder=True),
    "parquet": Target("", "tablert_dist.inference.graph.tables:write_parquet", folder=True, needs="pyarrow"),
}


@dataclass(frozen=True)
class Options:
    """What a graph depends on beside its results."""

    base: str
    """Of IRIs."""
    model: str | None = None
    """What read the texts, for the evidence."""
    link: Link = lambda mention: None
    symmetric: frozenset[str] = frozenset()
    """Relation types without a direction."""
    strict: bool = False


def find_target(name: str, more: Mapping[str, Target]) -> Target:
    """Return the target, of TARGETS or of `more`. Raises InputError for one that is not known, or whose library is missing."""
    known = {**TARGETS, **more}
    if name not in known:
        raise InputError(f"--to {name}: there are {', '.join(known)}{nearest(name, list(known))}")
    target = known[name]
    if target.needs:
        try:
            import_module(target.needs)
        except ModuleNotFoundError:
            raise InputError(f"--to {name} needs {target.needs}: pip install {target.needs}") from None
    return target


def check_base(base: str) -> str:
    """Return the base of IRIs. Raises InputError where nothing can lie below it."""
    if not IRI.fullmatch(base) or base[-1] not in ":/#":
        raise InputError(f"--base {base}: expected the beginning of an IRI, such as https://example.org/graph/")
    return base


def filled(store: GraphStore, lines: Iterable[str], source: str, options: Options) -> Count:
    """Merge results, JSON lines, into the store. Raises InputError where there is no document among them."""
    count = Count()
    documents = 0
    for document in read_documents(lines, source, count, options.strict):
        store.add(document)
        documents += 1
    if documents:
        return count
    if not count.lines:
        raise InputError(f"{source} is empty: expected JSON lines of `tablert predict`")
    if count.errors == count.lines:
        raise InputError(f"{source}: none of its {count.lines} texts could be read: each line has an 'error'")
    raise InputError(f"{source} has no results; {count.reasons[0] if count.reasons else 'each line has an error'}")


def write_target(target: Target, store: GraphStore, out: Path, options: Options) -> None:
    """Write the graph, whole or not at all."""
    made: Any = whole_folder(out) if target.folder else whole_file(out)
    with made as part:
        target.write(store, part, options.base, options.model)
