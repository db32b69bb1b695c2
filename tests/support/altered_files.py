"""Data files with something altered: fields of JSON, lines, bytes; and what reading any of them must come to."""

from __future__ import annotations

import copy
import json
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tablert_dist.data import formats
from tablert_dist.data.formats import Notes
from tablert_dist.errors import InputError
from tests.support.annotated import FILES, FOLDER

Draw = Callable[[Any], Any]
TREES = ["spert", "bilou", "dygie", "labelstudio", "labelstudio-predictions", "jsonl", "doccano", "prodigy", "gliner"]
"""The formats whose fields are altered."""
VALUES: list[Any] = [
    None, True, -1, 0, 1, 7, 10**9, 10**40, 0.5, float("nan"), "", " ", "0", "x", "B-Per", "\0", "\ud83d", "\u200b", [], {},
    [[]], [0], [0, 1], {"a": 1}, "a\nb", ["x"], [None], "\u2003", "<p>Ida &amp; Bo</p>", [" "], "👩‍🚀",
]  # fmt: skip
BYTES = [
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b" ", b"[" * 60000, b"9" * 5000, b"{", b"]", b'"', b"\\u",
    "\u2028".encode(), "é".encode(), b"\\ud800", b"NaN", b"T1", b"-1", b"99999999999999999999", b"#", b"B-", b"null", b"&amp;",
    "\U0001f469".encode(), b"\xc2\xa0", b"|", b"*", b"_", b"[1]", b"->",
]  # fmt: skip
LINES = [
    b"", b" ", b"#", b"{}", b"[]", b"null", b"]", b"{", b"}", b",", b"T1\tPer 0 4\tMira", b"R9\tworks Arg1:T1 Arg2:T99",
    b"R9\tx A:T1 B:T2 C:T3", b"T9\tPer 0 4;5 9\tMira Holt", b"T9\tPer 0 4;9 12", b"*\tEquiv T1 T2", b"E1\tPer:T1",
    b"Mira B-Per", b"0\tMira\tB-Per\t['x']\t[9]", b"0\t \tO\t['N']\t[0]", b"-DOCSTART- O", b"# id = 3", b"#doc 3",
    b"1-1\t0-4\tMira\tPer\t*\t1-1", b"1-1\t0-1\t \t_\t_\t_", b"#Text=", b"#Text=Mira", b"#FORMAT=WebAnno TSV 3",
    b"#T_SP=custom.Span|value",
]  # fmt: skip
PAGE = {
    "id": 7,
    "data": {"title": "Looms", "html": "<div>Ida &amp; Bo<br>run <b>Brack 👩‍🚀 Mills</b>.</div><p>It rained.</p>"},
    "completions": [
        {"was_cancelled": True, "result": []},
        {
            "result": [
                {"id": "a", "type": "hypertextlabels", "value": {
                    "globalOffsets": {"start": 0, "end": 8}, "text": "Ida & Bo", "hypertextlabels": ["Per"]}},
                {"id": "b", "type": "hypertextlabels", "value": {"text": "Mills", "hypertextlabels": ["Org", "Firm"]}},
                {"type": "relation", "from_id": "a", "to_id": "b", "labels": ["run"], "direction": "left"},
            ]
        },
    ],
}  # fmt: skip
MIN = {
    "id": 1,
    "text": "Ida runs Brack.",
    "ner": [{"start": 0, "end": 3, "text": "Ida", "labels": ["Per"]}],
    "annotator": 1,
}
MORE: dict[str, list[Any]] = {
    "labelstudio": [[PAGE], [MIN]],
    "doccano": [[{"id": 2, "text": "Ida runs Brack.", "label": [[0, 3, "Per"], [9, 14, "Org"]], "Comments": []}]],
    "prodigy": [
        [{"text": "Ida runs Brack. Bo left.", "spans": [{"start": 0, "end": 3, "label": "Per"}], "answer": "accept"}]
    ],
    "jsonl": [
        [{"text": "a👩‍🚀b Ida\r\nruns Brack.", "entities": [{"start": 7, "end": 10, "text": "Ida", "type": "Per"}]}]
    ],
}
"""What a format also looks like."""


def good(name: str) -> Path:
    """The file or folder in the format."""
    return FOLDER / next(file for file, its in FILES.items() if its == name)


def trees(name: str) -> list[Any]:
    """The records of a JSON format's files."""
    text = good(name).read_text(encoding="utf-8")
    return [json.loads(text) if text[0] == "[" else [json.loads(x) for x in text.splitlines()], *MORE.get(name, [])]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be altered."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [p for key, value in inner for p in [(*path, key), *places(value, (*path, key))]]


def altered(tree: Any, draw: Draw) -> Any:
    """The tree with one to three places deleted, replaced, swapped or there twice."""
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


def fields(name: str, draw: Draw) -> bytes:
    """A JSON file with fields altered: an array, or lines."""
    tree = altered(draw(st.sampled_from(trees(name))), draw)
    if isinstance(tree, list) and draw(st.booleans()):
        return "\n".join(json.dumps(record) for record in tree).encode()
    return json.dumps(tree).encode()


def some_bytes(content: bytes, draw: Draw) -> bytes:
    """One to three stretches replaced."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.sampled_from([start, start + 1, start + 7, len(content)]))
        content = content[:start] + draw(st.sampled_from(BYTES)) + content[end:]
    return content


def some_lines(content: bytes, draw: Draw) -> bytes:
    """One to four lines deleted, cut, put elsewhere, there twice, or of another kind."""
    rows = content.split(b"\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(rows) - 1))
        kind = draw(st.sampled_from(["delete", "cut", "swap", "twice", "replace", "insert"]))
        if kind == "delete" and len(rows) > 1:
            del rows[at]
        elif kind == "cut":
            rows[at] = rows[at][: draw(st.integers(0, len(rows[at])))]
        elif kind in {"swap", "twice"}:
            other = draw(st.integers(0, len(rows) - 1))
            if kind == "swap":
                rows[at], rows[other] = rows[other], rows[at]
            else:
                rows.insert(other, rows[at])
        elif kind == "replace":
            rows[at] = draw(st.sampled_from(LINES))
        else:
            rows.insert(at, draw(st.sampled_from(LINES)))
    return b"\n".join(rows)


RELS: list[Any] = [
    None, 3, [], {}, {(0, 6): 1}, {(0,): {}}, {(0, 99): {"x": 1.0}}, {(0, 6): {"x": "y"}}, {("a", "b"): {"x": 1.0}},
    {(0, 6): {"": 1.0}}, {(0, 6): {3: 1.0}}, {3: {"x": 1.0}}, {(0, 6): {"x": float("nan")}}, {(0, 6): {None: 0.1}},
]  # fmt: skip


def docbin(draw: Draw) -> bytes:
    """What the checksum of a DocBin does not show: its parts are altered, then packed again."""
    import srsly

    tree = srsly.msgpack_loads(zlib.decompress(good("spacy").read_bytes()))
    users = [srsly.msgpack_loads(data, use_list=False) for data in tree["user_data"]]
    rel, name = draw(st.sampled_from(RELS)), draw(st.sampled_from([1, None, [], "a", 0.5, "\ud83d", "\0"]))
    user = dict(users[0]) | {("._.", "rel", None, None): rel, "id": name}
    try:
        packed = {**tree, "user_data": [srsly.msgpack_dumps(user), *tree["user_data"][1:]]}
    except UnicodeEncodeError:
        packed = dict(tree)
    key = draw(st.sampled_from(["", "strings", "lengths", "spaces", "flags", "span_groups", "tokens", "attrs"]))
    if key:
        packed[key] = draw(st.sampled_from([b"", [], {}, 3, packed.get(key), [b"\xc0"] * 4]))
    return zlib.compress(srsly.msgpack_dumps(packed))


@dataclass(frozen=True)
class Copy:
    """A copy of a format's file or folder that is altered in place: `path` is read, one of `contents` altered."""

    path: Path
    contents: dict[Path, bytes]


def copied(name: str, folder: Path) -> Copy:
    """The format's file, or its folder, in `folder`."""
    source = good(name)
    if name == "brat":
        path = folder / "brat"
        shutil.copytree(source, path)
        return Copy(path, {file: file.read_bytes() for file in sorted(path.iterdir())})
    path = folder / ("x.parquet" if name == "hf" else source.name)
    shutil.copy(FOLDER / "people.parquet" if name == "hf" else source, path)
    return Copy(path, {path: path.read_bytes()})


def read_or_refuse(path: Path, name: str, out: Path) -> None:
    """Strict and lenient: no other exception than one that a user can read, the same when it is read again.

    What is read leniently is written as SpERT's JSON in `out`, and read back.
    """
    for form in (name, "auto"):
        for strict in (True, False):
            first, second = (_outcome(path, form, Notes(strict)) for _ in range(2))
            assert first == second
            found, _, refused = first
            assert all(s.words and all(word.strip() for word in s.words) for s in found)
            if not refused and not strict:
                formats.write(found, out, "spert")
                assert formats.read(out, "spert", Notes(strict=True)) == found
            if not refused and strict:
                lenient, lines, _ = _outcome(path, form, Notes())
                assert lenient == found and not any("records left out" in line for line in lines)


def _outcome(path: Path, form: str, notes: Notes) -> tuple[list[Any], list[str], str]:
    """Sentences, notes and the refusal, if it is one."""
    found: list[Any] = []
    refused = ""
    try:
        for sentence in formats.iterate(path, form, notes):
            found.append(sentence)
    except InputError as error:
        refused = str(error)
        assert refused.startswith(str(path)) and len(refused) < 1000 + len(str(path)), refused
    assert not any("\n" in text or "\r" in text for text in (*notes.lines(), refused)), (notes.lines(), refused)
    return found, notes.lines(), refused
