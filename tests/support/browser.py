"""Headless Chromium: a page's elements after its scripts have run."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-proxy-server",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    # One process for a page and its sandboxed frame: time then runs for both.
    "--disable-site-isolation-trials",
    "--disable-features=IsolateSandboxedIframes",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]


class Drawn(HTMLParser):
    """Elements of the dumped page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def all(self, tag: str, **having: str) -> list[dict[str, str]]:
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in having.items())]


def chromium(page: Path | str, profile: Path, *words: str, width: int = 1200, quiet: bool = True) -> str:
    """Open the page, a file or an address, in a new profile; what was asked for on standard output.

    Fails where the console has a line, unless not `quiet`.
    """
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900", *words]
    command.append(page.as_uri() if isinstance(page, Path) else page)
    done = subprocess.run(command, capture_output=True, timeout=90, check=True)
    console = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]
    assert not quiet or console == []
    return done.stdout.decode("utf-8")


def arcs(page: Drawn) -> int:
    """Arcs drawn; every number in their geometry must be finite and inside a sane page."""
    groups = page.all("g", role="img")
    assert all(g["aria-label"] for g in groups)
    shapes = [p["d"] for p in page.all("path")] + [p["points"] for p in page.all("polygon")]
    shapes += [f"{t['x']} {t['y']}" for t in page.all("text")]
    assert len(page.all("path")) >= len(groups)
    for shape in shapes:
        assert not re.search("NaN|Infinity|undefined|null|e[+]", shape), shape
        assert all(-50 <= float(n) <= 20_000 for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-\d+)?", shape)), shape
    return len(groups)
