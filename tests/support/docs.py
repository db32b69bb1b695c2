"""README and docs/ as their readers meet them: pages, code blocks, and sentences whose result is printed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from tests.support import ROOT

PENDING: frozenset[str] = frozenset({})
"""What pages speak of before it is built; a block names it in `<!-- needs: NAME, … -->`."""

FENCE = re.compile(
    r"(?P<marks>(?:^<!-- (?:needs|not run): [^\n]* -->\n)*)^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page. `needs`: names of PENDING; `not_run`: why a python block is not run."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    needs: frozenset[str] = frozenset()
    not_run: str = ""

    @property
    def where(self) -> str:
        """`PAGE:LINE`, as an editor opens it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def pending(self) -> frozenset[str]:
        """What it needs and is not built yet."""
        return self.needs & PENDING


def pages() -> list[Path]:
    """Return README, the pages of the site, and the two files that the site includes."""
    return [ROOT / name for name in ("README.md", "BENCHMARKS.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks in their order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        marks = dict(re.findall(r"^<!-- (needs|not run): (.*) -->$", match["marks"], re.MULTILINE))
        language, _, rest = match["info"].partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        found.append(
            Block(
                page,
                text.count("\n", 0, match.end("marks")) + 1,
                language,
                title[1] if title else "",
                match["text"],
                frozenset(filter(None, marks.get("needs", "").split(", "))),
                marks.get("not run", ""),
            )
        )
    return found


def examples(title: str = "quickstart") -> Iterator[tuple[Path, str, list[Triple]]]:
    """Yield (page, sentence, expected triples) of every example that shows what a model finds.

    `title` is the model's run and the title of the blocks. Raises ValueError, with page and line, for a block in
    another form than CONTRIBUTING.md describes.
    """
    for page in pages():
        for block in blocks(page):
            if block.title == title:
                yield from ((page, *example) for example in _examples(block))


def _examples(block: Block) -> list[tuple[str, list[Triple]]]:
    if block.language == "json":
        found = json.loads(block.text)
        texts = [entity["text"] for entity in found["entities"]]
        triples = [(texts[r["head"]], r["type"], texts[r["tail"]]) for r in found["relations"]]
        return [(found["text"], triples)]
    result: list[tuple[str, list[Triple]]] = []
    for line in block.text.splitlines():
        triple = re.fullmatch(r"  \((.+), (\w+), (.+)\)", line)
        if triple and result:
            result[-1][1].append((triple[1], triple[2], triple[3]))
        elif line and not line.startswith(" "):
            result.append((line, []))
        else:
            raise ValueError(f"{block.where}: neither a sentence nor '  (head, relation, tail)': {line!r}")
    return result


def exists(name: str) -> bool:
    """Return whether what PENDING calls `name` is built."""
    from tablert_dist.cli import VERBS
    from tablert_dist.config import preset_names

    kind, _, what = name.partition(" ")
    if kind == "verb":
        return what in VERBS
    if kind == "preset":
        return what in preset_names()
    if kind == "python":
        return what in import_module("tablert_dist").__all__
    if kind == "variable":
        return what in make_variables()
    assert kind == "option", f"{name}: write verb, option, preset, python or variable before the name"
    verb, option = what.split()
    command = import_module(f"tablert_dist.cli.{verb}").command
    return any(option in parameter.opts for parameter in command.params)


def make_targets() -> set[str]:
    """Return the targets of the Makefile that a person calls."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(" ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split())


def make_variables() -> set[str]:
    """Return the variables of the Makefile."""
    return set(re.findall(r"^(\w+) *[?:]?=", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site and GitHub write them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}


def imported(code: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for what a Python block imports, and for attributes of modules that it imports whole."""
    tree = ast.parse(code)
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names}
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if root in modules and re.fullmatch(r"[\w.]+", rest):
                yield root, rest
