"""README and docs/: every command, configuration key, name and address in them exists; Python blocks run."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import tablert_dist
from tablert_dist.config import Config, load_config
from tablert_dist.data.sample import __file__ as sample
from tablert_dist.tune.space import load_space
from tests.support import GOLDEN, ROOT
from tests.support.commands import WrongCommandError, check, check_block
from tests.support.docs import FENCE, PENDING, Block, anchors, blocks, examples, exists, imported, pages
from tests.support.outputs import tidy

LANGUAGES = {"bash", "json", "python", "text", "toml", "yaml"}
GENERATED = "docs/study/"
"""Pages as `tablert study` writes them."""
WORDS_OF_README = 600
UNSEEN = re.compile(
    r"\.\./shared|\bissues? #?\d|\(asked|/work/|/root/|/opt/|/tmp/(?!ray/)|\bSPEC\b|\bpypi\.org\b", re.IGNORECASE
)
"""What a reader cannot have, or has no use for: other folders than the repository's, plans, one machine's paths."""
CITED = re.compile(r"\bdocs/[\w/-]+\.(?:md|toml|json|svg|png|sh)\b(?:#[\w-]+)?")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")
PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
ALL = [block for page in pages() for block in blocks(page)]


def of(language: str) -> list[object]:
    return [pytest.param(block, id=block.where) for block in ALL if block.language == language]


def test_every_block_says_its_language_and_ends() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks(page)), page
        assert text.count("<!-- needs: ") + text.count("<!-- not run: ") == sum(
            bool(b.needs) + bool(b.not_run) for b in blocks(page)
        ), f"{page}: a mark stands on the line before its block"
    unnamed = [
        b.where for b in ALL if b.language not in LANGUAGES and not b.where.startswith((GENERATED, "BENCHMARKS"))
    ]
    assert unnamed == []


@pytest.mark.parametrize("page", PAGES)
def test_lists_start_after_a_blank_line(page: Path) -> None:
    """The site's Markdown makes prose of a list that follows a line of text."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert re.findall(r"^(?![-*#<|] ?|\d+\. |\s).+\n(?:[-*]|\d+\.) .*$", text, re.MULTILINE) == []


@pytest.mark.parametrize("block", of("bash"))
def test_commands_exist_as_printed(block: Block) -> None:
    check_block(block)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("tablert trian", "trian"),
        ("tablert train --epochs 3", "--epochs"),
        ("tablert train --config conl04", "conl04"),
        ("tablert tune --space papr", "papr"),
        ("tablert train --set model.kernl=3", "kernl"),
        ("tablert train --set train.epochs=0", "epochs"),
        ("tablert-export --onnx --model first", "--out"),
        ("tablert-export --onnx --out b --precision int4", "int4"),
        ("echo x | tablert predict --modle bundle", "--modle"),
        ("make quickstrat", "quickstrat"),
        ("HF_HUB_OFFLINE=1 python -m tablert_dist.tone --config conll04", "tablert_dist.tone"),
        ("ray job submit --address http://127.0.0.1:8265 -- python -m tablert_dist.tune --confg x", "--confg"),
        ("tabelrt predict", "tabelrt"),
    ],
)
def test_a_wrong_command_is_seen(line: str, reason: str) -> None:
    with pytest.raises(WrongCommandError, match=reason):
        check_block(Block(ROOT / "README.md", 1, "bash", "", line + "\n"))


@pytest.mark.parametrize("block", of("python"))
def test_python_names_exist(block: Block) -> None:
    compile(block.text, block.where, "exec")
    for module, name in imported(block.text):
        if f"python {name}" in block.pending:
            continue
        found = import_module(module)
        for part in filter(None, name.split(".")):
            found = getattr(found, part)


@pytest.mark.parametrize("block", of("python"))
def test_python_blocks_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if block.not_run or block.pending:
        pytest.skip(block.not_run or f"not built yet: {', '.join(sorted(block.pending))}")
    for place in ("bundle", "runs/quickstart/bundle"):
        shutil.copytree(GOLDEN / "bundle" / "cnn-fp32", tmp_path / place)
    (tmp_path / "texts.txt").write_text("Mira Holt works for Ostrava Looms.\n\nA second text.\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, block.where, "exec"), {"__name__": "__page__"})


@pytest.mark.parametrize("block", of("toml"))
def test_toml_is_a_configuration_or_a_space(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.toml"
    path.write_text(block.text, encoding="utf-8")
    if {"grid", "range"} & tomllib.loads(block.text).keys():
        assert load_space(str(path), Config())
    else:
        assert load_config(path) != Config()


@pytest.mark.parametrize("block", of("json") + of("yaml"))
def test_json_and_yaml_parse(block: Block) -> None:
    (json.loads if block.language == "json" else yaml.safe_load)(block.text)


def test_what_is_pending_is_not_built_yet() -> None:
    built = sorted(name for name in PENDING if exists(name))
    assert not built, f"{built}: built, so take it out of PENDING and out of the pages' 'needs' marks"
    unknown = {b.where: sorted(b.needs - PENDING) for b in ALL if b.needs - PENDING}
    assert not unknown, "marks that name nothing in PENDING: take them out"


def test_outputs_are_there_once_everything_is_built() -> None:
    waiting = [b.where for b in ALL if b.title == "output" and b.text == "…\n"]
    assert PENDING or not waiting, "python -m tests.support.outputs PAGE FOLDER writes them"


def test_an_output_is_shown_without_progress_and_colours() -> None:
    progress = "".join(f"epoch 1/2  step {i}/9  loss/sentence 3\n" for i in range(9))
    assert tidy(f"\n\x1b[1mrun a\x1b[0m   \n{progress}epoch 1/2  dev NER 3\n") == "run a\nepoch 1/2  dev NER 3\n"
    assert tidy("".join(f"{i}\n" for i in range(99))).split("\n").count("…") == 1


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= WORDS_OF_README


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_nothing_that_its_reader_cannot_have(page: Path) -> None:
    found = [m[0] for m in UNSEEN.finditer(page.read_text(encoding="utf-8"))]
    assert found == []


def cited() -> list[tuple[str, str]]:
    """(file, citation) of every page that code and configuration cite."""
    skipped = {".git", "site", "runs", "build", "dist", "data", ".venv", ".venv-docs", ".venv-mutants"}
    found = []
    for path in [p for s in ("py", "toml", "yaml", "yml", "md") for p in ROOT.rglob(f"*.{s}")]:
        inside = path.relative_to(ROOT)
        if not skipped & set(inside.parts[:2]):
            found += [(str(inside), m[0]) for m in CITED.finditer(path.read_text(encoding="utf-8"))]
    return found


def test_cited_pages_and_sections_exist() -> None:
    for where, citation in cited():
        name, _, anchor = citation.partition("#")
        assert (ROOT / name).is_file(), f"{where} cites {citation}"
        assert not anchor or anchor in anchors(ROOT / name), f"{where} cites {citation}"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "BENCHMARKS.md"])
def test_links_of_the_files_beside_the_site_lead_somewhere(name: str) -> None:
    for target, anchor in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
        path = ROOT / (target or name)
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def test_every_page_is_in_the_sites_menu() -> None:
    """`make docs` is strict about it; here it is seen without the site's environment."""
    menu = re.search(r"^nav:\n(.*)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert menu
    listed = re.findall(r"(?:^|: |- )([\w/-]+\.md)$", menu[1], re.MULTILINE)
    written = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert written - set(listed) == set(), "the site would refuse to be built"


def test_an_address_outside_the_site_is_seen(tmp_path: Path) -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "hooks" / "offline.py"))
    (tmp_path / "good.html").write_text('<a href="https://x.org">x</a><script src="a.js"></script><img src="b.png">')
    (tmp_path / "good.css").write_text("@import 'other.css'; a { background: url(data:image/png;base64,AA) }")
    assert hook["outside"](tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<script src="https://cdn.org/a.js"></script><link rel="preconnect stylesheet" href="//fonts.org/f.css">'
        '<img srcset="https://img.org/a.png 2x"><style>@import "https://css.org/a.css";</style>'
    )
    (tmp_path / "bad.css").write_text("a { background: url('https://img.org/b.png') }")
    found = " ".join(hook["outside"](tmp_path))
    for host in ("cdn.org/a.js", "fonts.org/f.css", "img.org/a.png", "css.org/a.css", "img.org/b.png"):
        assert host in found


def test_every_public_name_says_what_it_is() -> None:
    assert [name for name in tablert_dist.__all__ if not getattr(tablert_dist, name).__doc__] == []


def test_examples_are_about_the_samples_types() -> None:
    types = json.loads((Path(sample).parent / "sample_types.json").read_text(encoding="utf-8"))
    found = list(examples())
    assert {page.name for page, _, _ in found} >= {"README.md", "quickstart.md"}
    for page, sentence, triples in found:
        for head, relation, tail in triples:
            assert head in sentence and tail in sentence and relation in types["relations"], f"{page}: {sentence}"


def test_a_malformed_example_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import docs

    broken = Block(ROOT / "README.md", 1, "text", "quickstart", "A sentence.\n (no, triple)\n")
    monkeypatch.setattr(docs, "blocks", lambda page: [broken])
    with pytest.raises(ValueError, match=r"README\.md:1"):
        list(examples())


def test_the_checker_knows_the_commands_that_it_should() -> None:
    check(["tablert", "data", "split", "in.json", "--out", "data"])
    check([".venv/bin/python", "-m", "bench.gpu", "--shapes", "small"])
