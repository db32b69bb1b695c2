"""Good files with something altered: read, or refused by an InputError of one line that names the file."""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tablert_dist.data import formats
from tablert_dist.errors import InputError
from tests.support.annotated import FILES, FOLDER
from tests.unit.data.test_formats import ready

TREES = ["spert", "bilou", "dygie", "labelstudio", "labelstudio-predictions", "jsonl", "doccano", "prodigy", "gliner"]
VALUES: list[Any] = [
    None, True, -1, 0, 1, 7, 10**9, 10**40, 0.5, float("nan"), "", " ", "0", "x", "B-Per", "\0", "\ud83d", "\u200b", [], {},
    [[]], [0], [0, 1], {"a": 1}, "a\nb", ["x"], [None],
]  # fmt: skip


def good(name: str) -> Path:
    return FOLDER / next(file for file, its in FILES.items() if its == name)


def read_or_refuse(path: Path, name: str) -> None:
    """No other exception, and a message that a user can read."""
    for form in (name, "auto"):
        try:
            for sentence in formats.iterate(path, form):
                assert sentence.words and all(word.strip() for word in sentence.words)
        except InputError as error:
            assert str(error).startswith(str(path)) and len(str(error)) < 1000 + len(str(path)), str(error)
            assert "\n" not in str(error) and "\r" not in str(error)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be altered."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [p for key, value in inner for p in [(*path, key), *places(value, (*path, key))]]


def altered(tree: Any, draw: Callable[[Any], Any]) -> Any:
    """The tree with one to three places deleted, replaced or swapped."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(tree)))
        parent = tree
        for key in way:
            parent = parent[key]
        kind = draw(st.sampled_from(["delete", "replace", "swap", "twice"]))
        if kind == "delete":
            del parent[last]
        elif kind == "replace":
            parent[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif kind == "swap":
            other = draw(st.sampled_from(list(parent) if isinstance(parent, dict) else range(len(parent))))
            parent[last], parent[other] = parent[other], parent[last]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        if not places(tree):
            break
    return tree


@pytest.mark.parametrize("name", TREES)
def test_altered_fields(name: str, tmp_path: Path) -> None:
    text = good(name).read_text(encoding="utf-8")
    tree = json.loads(text) if text[0] == "[" else [json.loads(line) for line in text.splitlines()]
    path = tmp_path / "x.json"

    @settings(max_examples=100)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        path.write_text(json.dumps(altered(tree, data.draw)), encoding="utf-8")
        read_or_refuse(path, name)

    run()


BYTES = [
    b"",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n",
    b"\t",
    b" ",
    b"[" * 60000,
    b"9" * 5000,
    b"{",
    b"]",
    b'"',
    b"\\u",
]
BYTES += ["\u2028".encode(), "é".encode(), b"\\ud800", b"NaN", b"T1", b"-1", b"99999999999999999999", b"#", b"B-"]


@pytest.mark.parametrize("name", [*TREES, "conll", "webanno", "brat", "spacy", "hf"])
def test_altered_bytes(name: str, tmp_path: Path) -> None:
    ready(name)
    source = good(name)
    if name == "brat":
        shutil.copytree(source, tmp_path / "brat")
        targets, path = sorted((tmp_path / "brat").iterdir()), tmp_path / "brat"
    else:
        path = tmp_path / ("x.parquet" if name == "hf" else source.name)
        shutil.copy(FOLDER / "people.parquet" if name == "hf" else source, path)
        targets = [path]
    contents = {target: target.read_bytes() for target in targets}

    @settings(max_examples={"hf": 25, "spacy": 40}.get(name, 80))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(targets))
        content = contents[target]
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(content)))
            end = data.draw(st.sampled_from([start, start + 1, start + 7, len(content)]))
            content = content[:start] + data.draw(st.sampled_from(BYTES)) + content[end:]
        target.write_bytes(content)
        read_or_refuse(path, name)
        target.write_bytes(contents[target])

    run()


def test_altered_documents_inside_a_docbin() -> None:
    """What the checksum of a DocBin does not show: its parts are altered, then packed again."""
    pytest.importorskip("spacy")
    import zlib

    import srsly

    tree = srsly.msgpack_loads(zlib.decompress(good("spacy").read_bytes()))
    users = [srsly.msgpack_loads(data, use_list=False) for data in tree["user_data"]]

    @settings(max_examples=40)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        rel = data.draw(
            st.sampled_from(
                [
                    None,
                    3,
                    [],
                    {},
                    {(0, 6): 1},
                    {(0,): {}},
                    {(0, 99): {"x": 1.0}},
                    {(0, 6): {"x": "y"}},
                    {("a", "b"): {"x": 1.0}},
                    {(0, 6): {"": 1.0}},
                    {(0, 6): {3: 1.0}},
                    {3: {"x": 1.0}},
                ]
            )
        )
        user = dict(users[0]) | {
            ("._.", "rel", None, None): rel,
            "id": data.draw(st.sampled_from([1, None, [], "a", 0.5])),
        }
        packed = {**tree, "user_data": [srsly.msgpack_dumps(user), *tree["user_data"][1:]]}
        key = data.draw(
            st.sampled_from(["", "strings", "lengths", "spaces", "flags", "span_groups", "tokens", "attrs"])
        )
        if key:
            packed[key] = data.draw(st.sampled_from([b"", [], {}, 3, packed.get(key), [b"\xc0"] * 4]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.spacy"
            path.write_bytes(zlib.compress(srsly.msgpack_dumps(packed)))
            read_or_refuse(path, "spacy")

    run()
