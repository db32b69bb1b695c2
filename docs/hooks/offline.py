"""MkDocs hook: a page of the site that would fetch anything from the network fails the build."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

FETCHING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
}
LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "manifest", "modulepreload"}
IN_STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class Fetched(HTMLParser):
    """Addresses that a browser fetches while it opens a page; a link that a reader follows is none of them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page)
        self.addresses += IN_STYLES.findall(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the tag's address."""
        values = {key: value or "" for key, value in attrs}
        if tag == "link" and LINKS & set(values.get("rel", "").split()):
            self.addresses.append(values.get("href", ""))
        elif tag in FETCHING:
            self.addresses.append(values.get(FETCHING[tag], ""))
        self.addresses += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]


def outside(site: Path) -> list[str]:
    """Return `FILE: ADDRESS` for everything that the site's pages and styles fetch from another host."""
    found = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        addresses = Fetched(text).addresses if path.suffix == ".html" else IN_STYLES.findall(text)
        found += [f"{path.relative_to(site)}: {a}" for a in addresses if re.match(r"(?:https?:)?//", a)]
    return found


def on_post_build(config: Any, **rest: Any) -> None:
    """Fail the build where `outside` finds anything."""
    from mkdocs.exceptions import PluginError

    if found := outside(Path(config["site_dir"])):
        raise PluginError("the site fetches from the network: " + "; ".join(found))
