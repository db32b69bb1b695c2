"""Good files with something altered: read, or refused by an InputError of one line that names the file. `make fuzz-data`
does the same for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.altered_files import TREES, copied, docbin, fields, read_or_refuse, some_bytes, some_lines
from tests.unit.data.test_formats import ready

OTHERS = ["conll", "webanno", "brat"]
BINARY = ["spacy", "hf"]


@pytest.mark.parametrize("name", TREES)
def test_altered_fields(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    @settings(max_examples=40)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        path.write_bytes(fields(name, data.draw))
        read_or_refuse(path, name, tmp_path / "out.json")

    run()


@pytest.mark.parametrize("name", [*TREES, *OTHERS, *BINARY])
def test_altered_bytes(name: str, tmp_path: Path) -> None:
    ready(name)
    copy = copied(name, tmp_path)

    @settings(max_examples={"hf": 10, "spacy": 20}.get(name, 40))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(list(copy.contents)))
        target.write_bytes(some_bytes(copy.contents[target], data.draw))
        read_or_refuse(copy.path, name, tmp_path / "out.json")
        target.write_bytes(copy.contents[target])

    run()


@pytest.mark.parametrize("name", [*TREES, *OTHERS])
def test_altered_lines(name: str, tmp_path: Path) -> None:
    copy = copied(name, tmp_path)

    @settings(max_examples=25)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(list(copy.contents)))
        target.write_bytes(some_lines(copy.contents[target], data.draw))
        read_or_refuse(copy.path, name, tmp_path / "out.json")
        target.write_bytes(copy.contents[target])

    run()


def test_altered_documents_inside_a_docbin(tmp_path: Path) -> None:
    ready("spacy")
    path = tmp_path / "x.spacy"

    @settings(max_examples=25)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        path.write_bytes(docbin(data.draw))
        read_or_refuse(path, "spacy", tmp_path / "out.json")

    run()
