"""MLflow's SQLite file: made under another name and renamed when it is whole, and recognised where it was left half-made."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path

from tablert_dist.errors import InputError
from tablert_dist.tracking.journal import file_lock

HALF = "_alembic_tmp_%"
"""Tables that a migration makes and renames; MLflow's stop at one that a killed process has left (MLflow 3.17)."""


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for another store."""
    match = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(match[1]) if match else None


def make_store(file: Path) -> None:
    """Make the store where there is none, whole or not at all. Raises InputError where it was left half-made.

    MLflow takes seconds for its forty migrations, and a kill in one of them would leave a file that no later run can use.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if not _exists(file):
        with file.with_name(f".{file.name}.lock").open("ab") as lock, file_lock(lock.fileno(), wait=True):
            if not _exists(file):
                _make(file)
    refuse_half_made(file)


def _exists(file: Path) -> bool:
    # An empty file is what SQLite makes of a name before anything is written.
    return file.exists() and file.stat().st_size > 0


def _make(file: Path) -> None:
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    for old in file.parent.glob(f".{file.name}.*.part*"):
        old.unlink(missing_ok=True)  # of a killed process: we have the lock
    engine = create_sqlalchemy_engine(f"sqlite:///{part.absolute()}")
    try:
        # What MLflow itself calls for a new file; there is no public way to the tables alone (MLflow 3.17).
        _initialize_tables(engine)
    finally:
        engine.dispose()
    with contextlib.suppress(OSError):
        if file.exists():
            file.unlink()
    try:
        # Unlike a rename it takes nobody's file away, where the file system has no locks.
        os.link(part, file)
    except FileExistsError:
        part.unlink()
    except OSError:
        part.replace(file)
    else:
        part.unlink()


def refuse_half_made(file: Path) -> None:
    """Raise InputError for a file that is no database, or one whose making or migration was killed, with the way out."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            left = database.execute(
                "SELECT name FROM sqlite_master WHERE name LIKE ? ESCAPE '!'", (_literal(HALF),)
            ).fetchall()
            runs = database.execute("SELECT count(*) FROM runs").fetchone()[0] if "runs" in tables else 0
    except sqlite3.OperationalError:
        return  # busy or not readable: MLflow says what it is, and it may pass
    except sqlite3.DatabaseError as error:
        raise InputError(
            f"{file} is no SQLite database ({error}): move it away; a new one is made, and tablert sync sends every run again"
        ) from None
    if not left:
        return
    way = (
        f"it holds no run, so delete it: rm {file}; the next command makes a new one, and tablert sync sends what waits"
        if not runs
        else f"it holds {runs} runs: put a backup in its place, or move it away and send every run again with tablert sync"
    )
    raise InputError(f"{file} was left half-made by a process that was killed (table {left[0][0]}); {way}")


def _literal(pattern: str) -> str:
    """The underscores as they are: LIKE takes one for any character."""
    return pattern.replace("_", "!_")
