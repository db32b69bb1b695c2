"""What every page has: one file that loads nothing, its templates and styles read from the page's own folder."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from tablert_dist.pages.drawing import palette
from tablert_dist.pages.drawing.rows import visible


def environment(package: str, **filters: Callable[..., Any]) -> Environment:
    """Return the templates in a package's folder; texts are escaped, and a name that is not given is an error."""
    made = Environment(
        loader=FunctionLoader(partial(asset, package)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"shown": visible, "probability": _probability, **filters}
    return made


def styles(package: str) -> Markup:
    """Return the colours of all pages, then the page's own `page.css`."""
    return Markup(palette.css() + "\n" + asset(package, "page.css"))


def digest(script: str) -> str:
    """Return what the page's policy names its one script by: a text that got past the escaping could still not run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _probability(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@cache
def asset(package: str, name: str) -> str:
    """Return the text of a file in the package's folder."""
    return files(package).joinpath(name).read_text(encoding="utf-8")
