"""`tablert graph`: results as a knowledge graph in a file, a folder of tables, or a database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from tablert_dist.cli.common import (
    force_option,
    plain_errors,
    refuse_existing,
    refuse_nowhere,
    set_up_logging,
    stopwatch,
    verb,
)
from tablert_dist.cli.reading import name_of, result_lines, say_left_out

if TYPE_CHECKING:
    from tablert_dist.inference.graph.store import GraphStore
    from tablert_dist.inference.graph.targets import Options, Target

FORMS = "turtle, jsonld, cypher, graphml, csv, parquet, html"


def graph_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a graph depends on beside its results, given to the verb as `wanted`."""

    @click.option(
        "--link", default=None, metavar="MODULE:FUNCTION", help="Names the node of a mention; unset: its type and name."
    )
    @click.option("--base", default=None, metavar="IRI", help="Of nodes, types and relations.  [default: urn:tablert:]")
    @wraps(function)
    def wrapper(link: str | None, base: str | None, **rest: Any) -> Any:
        return function(wanted=Wanted(link, base), **rest)

    return wrapper


@dataclass(frozen=True)
class Wanted:
    """`--link` and `--base` as they were given."""

    link: str | None
    base: str | None

    @property
    def any(self) -> bool:
        """Whether one was given."""
        return self.link is not None or self.base is not None

    def options(self, model: str | None, symmetric: Iterable[str], strict: bool) -> Options:
        """Checked, with the rest. Raises InputError."""
        from tablert_dist.inference.graph.mentions import find_link
        from tablert_dist.inference.graph.rdf import BASE
        from tablert_dist.inference.graph.targets import Options, check_base

        return Options(check_base(self.base or BASE), model, find_link(self.link), frozenset(symmetric), strict)


@verb(
    "Write results as a knowledge graph: equal names become one node, with the evidence of each triple.",
    "tablert graph triples.jsonl --to turtle --out graph.ttl",
    "tablert graph triples.jsonl --to html --out graph.html",
    "tablert graph triples.jsonl --to csv --out tables",
    "tablert graph triples.jsonl --database bolt://localhost:7687",
)
@click.argument("source", metavar="IN.jsonl")
@click.option("--to", "form", default=None, help=f"{FORMS}.")
@click.option("--out", default=None, type=click.Path(path_type=Path), help="File to write; csv and parquet: a folder.")
@click.option("--database", default=None, metavar="URL", help="Merge into a database that speaks Bolt, such as Neo4j.")
@graph_options
@click.option("--model", default=None, metavar="NAME", help="What read the texts, kept with the evidence.")
@click.option(
    "--symmetric", multiple=True, metavar="TYPE", help="A relation type without a direction. May be given again."
)
@click.option("--strict", is_flag=True, help="Stop at the first line that is no result; nothing is written.")
@force_option
@plain_errors
def command(
    source: str,
    form: str | None,
    out: Path | None,
    database: str | None,
    wanted: Wanted,
    model: str | None,
    symmetric: tuple[str, ...],
    strict: bool,
    force: bool,
) -> None:
    """IN.jsonl: JSON lines of `tablert predict`; - is standard input."""
    set_up_logging()
    from tablert_dist.errors import InputError
    from tablert_dist.inference.graph.database import check_database, write_database
    from tablert_dist.inference.graph.store import GraphStore
    from tablert_dist.inference.graph.targets import filled, write_target

    if (form is None) == (database is None):
        raise InputError(f"give either --to with one of {FORMS} or --database with a URL")
    if (form is None) != (out is None):
        raise InputError("--to and --out belong together: --to turtle --out graph.ttl")
    target = _target(form) if form else None
    options = wanted.options(model, symmetric, strict)
    refuse_existing(out, force=force)
    refuse_nowhere(out)
    if database:
        check_database(database)
    summary = stopwatch()
    with GraphStore(options.link, options.symmetric, target is not None and target.texts) as store:
        with result_lines(source) as lines:
            count = filled(store, lines, name_of(source), options)
        say_left_out(count)
        if target is not None and out is not None:
            write_target(target, store, out, options)
        elif database:
            write_database(store, database, options.base, options.model)
        summary(f"{out or database}: {_size(store)}")


class GraphOutput:
    """In the place of `Output`: takes the lines of `tablert predict`, and writes their graph when the block ends well."""

    lines = 0

    def __init__(self, out: Path, form: str, options: Options, force: bool) -> None:
        """Raises InputError where it could not be written."""
        from tablert_dist.inference.graph.store import GraphStore

        refuse_existing(out, force=force)
        refuse_nowhere(out)
        self._out, self._target, self._options = out, _target(form), options
        self._store, self._number = GraphStore(options.link, options.symmetric, self._target.texts), 0

    def write(self, line: str) -> None:
        """Merge a result; one that says why its text could not be read is none."""
        from tablert_dist.inference.graph.mentions import document_of

        self._number += 1
        tree = json.loads(line)
        if "error" not in tree:
            self._store.add(document_of(tree, str(self._number)))

    def flush(self, read: Any = None) -> None:
        """Nothing is to be seen before the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from tablert_dist.inference.graph.targets import write_target

        with self._store as store:
            if kind is None:
                write_target(self._target, store, self._out, self._options)
                click.echo(f"{self._out}: {_size(store)}", err=True)


def _target(form: str) -> Target:
    from tablert_dist.inference.graph.targets import find_target
    from tablert_dist.pages.graph import HTML

    return find_target(form, {"html": HTML})


def _size(store: GraphStore) -> str:
    from tablert_dist.errors import counted

    documents, nodes, edges, triples = store.size()
    told = (counted(nodes, "node"), counted(edges, "edge"), f"{counted(triples, 'triple')} as evidence")
    return f"{', '.join(told)}, from {counted(documents, 'text')}"
