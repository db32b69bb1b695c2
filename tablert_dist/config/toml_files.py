"""TOML by the name of a shipped file or by its path."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError, nearest


def shipped(package: str) -> list[str]:
    """Names of the TOML files in a package, without their ending."""
    return sorted(f.name[:-5] for f in resources.files(package).iterdir() if f.name.endswith(".toml"))


def read_toml(name: str, package: str, what: str) -> dict[str, Any]:
    """Read a file that `package` ships, or one by its path. Raises InputError, calling it `what`."""
    known = shipped(package)
    if name in known:
        text = resources.files(package).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise InputError(f"{what} '{name}' is neither a file nor shipped ({', '.join(known)}){nearest(name, known)}")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{what} {name}: not TOML: {error}") from None
