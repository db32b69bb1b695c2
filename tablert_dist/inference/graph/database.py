"""The graph into a running database that speaks Bolt (Neo4j, Memgraph, ArcadeDB, …), by the official driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tablert_dist.errors import InputError, RunError, first_line
from tablert_dist.inference.graph.cypher import INDEX, Statement, statements
from tablert_dist.inference.graph.store import GraphStore

if TYPE_CHECKING:
    from neo4j import Driver, ManagedTransaction, Session

SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
USER, PASSWORD = "TABLERT_DATABASE_USER", "TABLERT_DATABASE_PASSWORD"
"""Where the credentials come from: never from a command line, which every process of the machine can read."""
SECONDS = 15.0
"""Waited for a connection."""


def write_database(store: GraphStore, url: str, base: str, model: str | None) -> None:
    """Merge the graph into the database of `url`, such as `bolt://localhost:7687/graph`; a second time changes nothing.

    Each statement is a transaction of its own: after an interruption the same call goes on. Raises InputError where the URL
    is none, the database cannot be reached, or it refuses the credentials, and RunError where it fails meanwhile.
    """
    address, database = _parts(url)
    with _connected(address) as driver, _said(url), driver.session(database=database) as session:
        _index(session)
        for statement in statements(store, base, model):
            session.execute_write(_run, statement)


def _run(transaction: ManagedTransaction, statement: Statement) -> None:
    text, parameters = statement
    transaction.run(text, parameters).consume()


def check_database(url: str) -> None:
    """Connect once, so that what is wrong is said before anything is read. Raises InputError as `write_database`."""
    address, _ = _parts(url)
    with _connected(address):
        pass


def _parts(url: str) -> tuple[str, str | None]:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise InputError(
            f"--database {url}: expected a URL such as bolt://localhost:7687, or bolt://localhost:7687/graph"
        )
    if parts.username or parts.password:
        raise InputError(f"--database: leave user and password out of the URL; set {USER} and {PASSWORD} instead")
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or None


@contextmanager
def _connected(address: str) -> Iterator[Driver]:
    try:
        import neo4j
        from neo4j.exceptions import AuthError, ServiceUnavailable
    except ModuleNotFoundError:
        raise InputError("--database needs the driver: pip install 'tablert-dist[graph]'") from None
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    auth = (user or "neo4j", password) if password else None
    with neo4j.GraphDatabase.driver(address, auth=auth, connection_timeout=SECONDS) as driver:
        try:
            driver.verify_connectivity()
        except AuthError:
            told = "refused the credentials" if auth else "wants credentials"
            raise InputError(f"--database {address}: the database {told}: set {USER} and {PASSWORD}") from None
        except (ServiceUnavailable, OSError) as error:
            raise InputError(f"--database {address}: cannot be reached: {first_line(error)}") from None
        yield driver


@contextmanager
def _said(url: str) -> Iterator[None]:
    from neo4j.exceptions import ClientError, Neo4jError, ServiceUnavailable

    try:
        yield
    except ClientError as error:
        raise InputError(f"--database {url}: refused: {first_line(error)}") from None
    except (Neo4jError, ServiceUnavailable) as error:
        raise RunError(f"--database {url}: {first_line(error)}; the same call goes on where it was") from None


def _index(session: Session) -> None:
    """Without it every MERGE looks through all nodes. Databases differ in how they are told; one that refuses is only slow."""
    from neo4j.exceptions import ClientError, DatabaseError

    with suppress(ClientError, DatabaseError):
        session.run(INDEX).consume()
