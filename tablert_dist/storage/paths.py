"""Where a named thing lies: a local path, or `package:NAME/FOLDER` inside an installed package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tablert_dist.errors import InputError

PACKAGE = "package:"
MOVED = {"tablert_dist/sample": "tablert_dist/data/sample"}
"""Addresses that stand in records and presets, and the folders that they now mean."""


def locate(source: str, what: str) -> Path:
    """The existing path that `source` names. Raises InputError, calling it `what`, where there is none."""
    if not source.startswith(PACKAGE):
        path = Path(source).expanduser()
        if not path.exists():
            raise InputError(f"{what} '{source}' does not exist")
        return path
    package, _, inner = _moved(source.removeprefix(PACKAGE)).partition("/")
    # find_spec does not run the package: importing one that ships a model may load far more than its files.
    spec = find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise InputError(f"{what} '{source}': there is no installed package '{package}' (pip install it first)")
    path = Path(folders[0]) / inner
    if not path.exists():
        raise InputError(f"{what} '{source}': package '{package}' has no '{inner}'")
    return path


def _moved(address: str) -> str:
    for old, new in MOVED.items():
        if address == old or address.startswith(f"{old}/"):
            return new + address.removeprefix(old)
    return address
