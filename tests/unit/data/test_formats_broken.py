"""Broken input by hand, about fifteen kinds a family: refused with file, record and reason, or read rightly."""

from __future__ import annotations

import copy
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data import formats
from tablert_dist.errors import InputError
from tests.support.annotated import FILES, FOLDER, people
from tests.unit.data.test_formats import ready

DEEP = "[" * 100_000


def records(name: str) -> list[dict[str, Any]]:
    """A JSON family's good file: an array, or lines."""
    text = (FOLDER / next(file for file, its in FILES.items() if its == name)).read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text) if text[0] == "[" else [json.loads(x) for x in text.splitlines()]
    return found


Edit = Callable[[dict[str, Any]], Any]
DYGIE: dict[str, tuple[Edit, str]] = {
    "no key": (lambda r: r.pop("doc_key"), "'doc_key' is missing"),
    "key a list": (lambda r: r.update(doc_key=[1]), "'doc_key' must be a string or an integer"),
    "no sentences": (lambda r: r.pop("sentences"), "'sentences' is missing"),
    "a sentence a string": (lambda r: r["sentences"].__setitem__(1, "no"), r"sentences\[1\]' must be a list"),
    "a white word": (lambda r: r["sentences"][0].__setitem__(1, " "), r"sentences\[0\]\[1\]: tokens of white space"),
    "no ner": (lambda r: r.pop("ner"), "'ner' is missing"),
    "too few": (lambda r: r["ner"].pop(), "'ner' has 1 lists for 2 sentences"),
    "offsets of the sentence": (lambda r: r["ner"].__setitem__(1, [[0, 1, "Org"]]), r"lies outside its sentence"),
    "ends swapped": (lambda r: r["ner"][0].__setitem__(0, [1, 0, "Per"]), r"ner\[0\]\[0\]: .* ends before it starts"),
    "past the end": (lambda r: r["ner"][1][0].__setitem__(1, 99), r"ner\[1\]\[0\]: \[14, 99\] lies outside"),
    "a float": (lambda r: r["ner"][1][0].__setitem__(0, 5.0), r"must be an integer, found the number 5.0"),
    "no type": (lambda r: r["ner"][1][0].pop(), r"must be \[first word, last word, type\]"),
    "not an entity": (lambda r: r["relations"][1][0].__setitem__(0, 15), r"\[15, 16\] is no entity of the sentence"),
    "outside": (lambda r: r["relations"][1][0].__setitem__(1, 99), r"outside the document of 23 words"),
    "huge": (lambda r: r["relations"][1][0].__setitem__(1, 10**30), r"out of range"),
    "a relation of four": (lambda r: r["relations"][1][0].pop(), r"relations\[1\]\[0\] must be"),
}
JSONL: dict[str, tuple[Edit, str]] = {
    "text a number": (lambda r: r.update(text=3), "'text' must be a string, found the number 3"),
    "no entities": (lambda r: r.pop("entities"), "'entities' is missing"),
    "entities a mapping": (lambda r: r.update(entities={}), "'entities' must be a list, found an object"),
    "an entity a list": (lambda r: r.update(entities=[[0, 4]]), r"entities\[0\] must be an object"),
    "past the end": (lambda r: r["entities"][0].update(end=999), "lies outside the text of"),
    "negative": (lambda r: r["entities"][0].update(start=-1), "lies outside the text"),
    "empty": (lambda r: r["entities"][0].update(end=0), "or is empty"),
    "start a string": (lambda r: r["entities"][0].update(start="0"), "'start' must be an integer, found a string"),
    "another text": (lambda r: r["entities"][0].update(text="Mira"), "its 'text' is 'Mira', but characters"),
    "no type": (lambda r: r["entities"][0].pop("type"), "'type' must be a name, found nothing"),
    "type with a break": (lambda r: r["entities"][0].update(type="a\nb"), "printable"),
    "id twice": (lambda r: r["entities"][1].update(id="e0"), r"has the id 'e0' of entities\[0\]"),
    "one without id": (lambda r: r["entities"][1].pop("id"), r"entities\[1\] has no 'id', but others have"),
    "unknown id": (
        lambda r: r["relations"][0].update(head="e9"),
        "kin from e9 to 0: the entity 'e9', which there is not",
    ),
    "probability": (lambda r: r["entities"][0].update(probability=2), "from 0 to 1"),
    "a NUL": (lambda r: r.update(text="\0" + r["text"][1:]), "NUL character"),
    "half a character": (lambda r: r.update(text="\ud83d" + r["text"][1:]), "half a surrogate pair"),
    "offsets out of order": (lambda r: r.update(word_offsets=[[3, 5], [0, 2]]), r"word_offsets\[1\]"),
    "offsets of white space": (lambda r: r.update(word_offsets=[[0, 5], [5, 6]]), "tokens of white space"),
}
STUDIO: dict[str, tuple[Edit, str]] = {
    "no data": (lambda r: r.pop("data"), "'data' must be an object, found nothing"),
    "text a list": (lambda r: r["data"].update(text=[]), "'text' must be a string"),
    "which text": (lambda r: r.update(data={"a": "x", "b": "y"}), "no 'text', and 2 other strings"),
    "annotations a mapping": (lambda r: r.update(annotations={}), "'annotations' must be a list"),
    "an annotation a string": (lambda r: r.update(annotations=["x"]), r"annotations\[0\] must be an object"),
    "no result": (lambda r: r["annotations"][0].pop("result"), "'result' is missing"),
    "no id": (lambda r: result(r, 0).pop("id"), r"result\[0\] must have an 'id'"),
    "id twice": (lambda r: result(r, 1).update(id="Dx0"), r"has the id 'Dx0' of another"),
    "no value": (lambda r: result(r, 0).pop("value"), "and a 'value'"),
    "no label": (lambda r: result(r, 0)["value"].update(labels=[]), "has no label"),
    "label a number": (lambda r: result(r, 0)["value"].update(labels=[3]), "'labels' must be a name"),
    "swapped": (lambda r: result(r, 0)["value"].update(start=4, end=2), "lies outside the text of .* or is empty"),
    "another text": (lambda r: result(r, 0)["value"].update(text="Bo"), "its 'text' is 'Bo', but characters"),
    "unknown end": (lambda r: result(r, -1).update(to_id="?"), r"entity '\?', which there is not"),
    "no end": (lambda r: result(r, -1).pop("from_id"), "must have 'from_id' and 'to_id'"),
    "direction": (lambda r: result(r, -1).update(direction="up"), "must be right, left or bi"),
}


def result(record: dict[str, Any], n: int) -> dict[str, Any]:
    found: dict[str, Any] = record["annotations"][-1]["result"][n]
    return found


FAMILIES = {"dygie": (DYGIE, 1), "jsonl": (JSONL, 3), "labelstudio": (STUDIO, 3)}
CASES = [(name, case) for name, (cases, _) in FAMILIES.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_broken_records_are_refused(name: str, case: str, tmp_path: Path) -> None:
    cases, index = FAMILIES[name]
    edit, reason = cases[case]
    if name == "dygie":
        index = 0
    given = copy.deepcopy(records(name))
    edit(given[index])
    path = tmp_path / "x.json"
    path.write_text("\n".join(json.dumps(r) for r in given))
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(path, name)
    assert str(caught.value).startswith(f"{path}: record {index}")
    assert "\n" not in str(caught.value)


ANY: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "white": (b" \n", "the file is empty"),
    "cut": (b'[{"tokens": ["a"', "not JSON: .* line 1, column 17"),
    "cut line": (b'\n{"b"', "not JSON: .* line 2, column 5"),
    "a number": (b"3", "expected a JSON array of sentences or JSON lines, found the number 3"),
    "a long number": (b"9" * 5000, "record 0: not JSON that can be read: a number of thousands of digits"),
    "no sentence": (b"[]", "holds no sentence"),
    "an array of arrays": (b"[[]]", "record 0: expected an object, found a list"),
    "two arrays": (b"[{}] [{}]", "record 0|Extra data"),
    "no comma": (b"[{} {}]", "record 0|Expecting ',' delimiter at line 1, column 5"),
    "deep": (('[{"tokens":' + DEEP).encode(), "record 0: nested too deep"),
    "digits": (b'[{"orig_id": ' + b"9" * 5000 + b"}]", "record 0: not JSON that can be read"),
    "a key twice": (b'[{"tokens": ["a"], "tokens": []}]', "record 0: an object has the key 'tokens' twice"),
    "not UTF-8": (b'[{"tokens": ["\xe9"]}]', "not UTF-8 at byte 14"),
    "UTF-16": ('[{"tokens": ["a"]}]'.encode("utf-16"), "not UTF-8 at byte 0"),
    "a NUL": (b'[{"tokens": ["\0"]}]', "not JSON: Invalid control character"),
}


@pytest.mark.parametrize("name", ["spert", "bilou", "dygie", "labelstudio", "jsonl", "doccano", "prodigy", "gliner"])
@pytest.mark.parametrize("case", ANY)
def test_what_is_no_json_is_refused_with_its_place(case: str, name: str, tmp_path: Path) -> None:
    content, reason = ANY[case]
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(path, name)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "name",
    ["spert", "bilou", "dygie", "labelstudio", "jsonl", "conll", "doccano", "prodigy", "gliner", "webanno"],
)
def test_marks_and_line_ends_of_other_systems_are_read(name: str, tmp_path: Path) -> None:
    file = next(file for file, its in FILES.items() if its == name)
    good = (FOLDER / file).read_bytes()
    path = tmp_path / "x"
    path.write_bytes(b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n"))
    assert formats.read(path) == people()


CONLL: dict[str, tuple[str, str]] = {
    "one column": ("Mira\n", "line 1: expected a word"),
    "no tag": ("Mira NNP\n", "line 1: expected a word"),
    "no type": ("Mira B-\n", "line 1: expected a word"),
    "a NUL": ("Mi\0ra O\n", "line 1: a NUL"),
    "a NUL in a name": ("#doc a\0b\nMira B-Per\n", "line 2: the id or document has a NUL character"),
    "nothing": ("\n\n", "holds no sentence"),
    "comments only": ("#doc 7\n", "holds no sentence"),
    "unclosed": (
        "a B-Per\nb L-Per\n\nc B-Per\nd O\ne U-Org\n",
        r"line 4: tags\[1\] = 'O': the entity B-Per .* not closed",
    ),
    "I without B": ("a B-Per\nb L-Per\n\nc I-Per\nd L-Per\n", "no B-Per before it"),
    "closed by another": ("a B-Per\nb E-Org\n", "is not closed"),
    "index": ("0\ta\tO\t['N']\t[0]\n2\tb\tO\t['N']\t[2]\n", "line 2 has the index 2, expected 1"),
    "two layouts": ("0\ta\tO\t['N']\t[0]\nb O\n", "line 2 has another layout"),
    "uneven": ("0\ta\tB-Per\t['x', 'y']\t[0]\n", "as many relation types as heads"),
    "no list": ("0\ta\tB-Per\t[x]\t[0]\n", r"expected \['type', …\]"),
    "far head": ("0\ta\tB-Per\t['x']\t[9]\n", "tail is word 9, which is in no entity"),
    "no entity": ("0\ta\tO\t['x']\t[1]\n1\tb\tB-Per\t['N']\t[1]\n", "head is word 0, which is in no entity"),
    "type a number": ("0\ta\tB-Per\t[3]\t[0]\n", "a relation type must be a name"),
    "comment inside": ("a O\n#doc 7\nb O\n", "line 2: a comment in the middle"),
}


@pytest.mark.parametrize("case", CONLL)
def test_broken_columns_are_refused(case: str, tmp_path: Path) -> None:
    content, reason = CONLL[case]
    path = tmp_path / "x.conll"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=reason) as caught:
        formats.read(path, "conll")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["spacy", "hf"])
def test_broken_binaries_are_refused(name: str, tmp_path: Path) -> None:
    ready(name)
    good = (FOLDER / {"spacy": "people.spacy", "hf": "people.parquet"}[name]).read_bytes()
    path = tmp_path / "x.parquet"
    middle = len(good) // 2
    kinds = [good[:cut] for cut in (0, 1, 4, middle, len(good) - 1)]
    kinds += [bytes(64), b"x" * 64, b"[]", b'{"a": 1}\n', good[:middle] + b"!!!!" + good[middle + 4 :], good[::-1]]
    kinds += [zlib.compress(part) for part in (b"", b"\xc0", b"\x81\xa1a\x01", b"\x93\x01\x02\x03", bytes(99))]
    for content in kinds:
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            formats.read(path, name)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
