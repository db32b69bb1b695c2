"""Zipped bundles: what is in one is looked at before anything is written, and only that is written."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tablert_dist.errors import InputError
from tablert_dist.inference import archive as archives
from tablert_dist.inference.archive import pack, unpack
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN
from tests.support.altered import copied, edit

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
Entries = list[tuple[zipfile.ZipInfo | str, bytes]]


def zipped(path: Path, change: Callable[[Entries], None] = lambda entries: None, **options: int) -> Path:
    """The golden bundle as a zip whose entries were changed; what else the manifest lists stays."""
    entries: Entries = [(file.name, file.read_bytes()) for file in sorted(BUNDLE.iterdir())]
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is what is tested
        for name, data in entries:
            out.writestr(name, data)
    return path


def refused(path: Path, out: Path) -> str:
    """Why it is refused; nothing was written."""
    with pytest.raises(InputError) as refusal:
        unpack(path, out)
    assert not out.exists() and "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_packed_bundle_is_the_same_bundle(tmp_path: Path) -> None:
    bundle = copied(BUNDLE, tmp_path / "bundle")
    (bundle / "notes.txt").write_text("not part of it")
    out = unpack(pack(bundle, tmp_path / "b.zip"), tmp_path / "out")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in BUNDLE.iterdir()}
    assert Predictor.load(tmp_path / "b.zip").predict("Ada works at Acme .").text == "Ada works at Acme ."


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("README.md")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda e: e.append(("../evil.txt", b"x")), "holds ../evil.txt, which lies outside the bundle"),
        (lambda e: e.append(("/evil.txt", b"x")), "holds /evil.txt, which lies outside the bundle"),
        (lambda e: e.append(("a\\..\\..\\evil.txt", b"x")), "lies outside the bundle"),
        (lambda e: e.append((link(), b"/etc/passwd")), "which lies outside the bundle"),
        (lambda e: e.append(("README.md", b"x")), "it holds README.md twice"),
        (lambda e: e.append(("readme.MD", b"x")), "it holds readme.MD twice"),
        (lambda e: e.append(("run_me.py", b"x")), "it holds run_me.py, which its manifest.json does not list"),
        (lambda e: e.remove(next(x for x in e if x[0] == "table.onnx")), "table.onnx is missing"),
        (lambda e: e.remove(next(x for x in e if x[0] == "manifest.json")), "no bundle: manifest.json is missing"),
        (lambda e: e.extend((f"f{i}", b"") for i in range(1001)), "1009 entries; a bundle has no more than 1000"),
    ],
)
def test_what_is_in_an_archive_is_refused_before_anything_is_written(
    tmp_path: Path, change: Callable[[Entries], None], told: str
) -> None:
    assert told in refused(zipped(tmp_path / "b.zip", change), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


def test_a_bomb_is_refused_with_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "bomb.zip"

    def add(entries: Entries) -> None:
        entries[:] = [entry for entry in entries if entry[0] != "table.onnx"]
        entries.append(("table.onnx", bytes(50_000_000)))

    zipped(bomb, add)
    assert bomb.stat().st_size < 100_000
    told = refused(bomb, tmp_path / "out")
    assert "table.onnx would grow from" in told and "to 50000000 bytes, more than 100 times" in told
    monkeypatch.setattr(archives, "MOST_BYTES", 10_000)
    assert "bytes; a bundle has no more than 10000" in refused(zipped(tmp_path / "b.zip"), tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 3))
    assert "has room for 3; set TMPDIR elsewhere" in refused(zipped(tmp_path / "c.zip"), tmp_path / "out")


def test_a_directory_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    """The directory at the end says another size than what is packed: neither more nor less of it is kept."""
    for wrong in (-1, 1):
        path = zipped(tmp_path / f"{wrong}.zip")
        size = (BUNDLE / "table.onnx").stat().st_size
        data = path.read_bytes()
        ends = data.rindex(b"table.onnx") - 46
        at = ends + 24
        assert int.from_bytes(data[at : at + 4], "little") == size
        path.write_bytes(data[:at] + (size + wrong).to_bytes(4, "little") + data[at + 4 :])
        assert "table.onnx" in refused(path, tmp_path / "out")


def test_damage_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "n.zip").write_text("no zip")
    with pytest.raises(InputError, match="not a zip file"):
        Predictor.load(tmp_path / "n.zip")
    data = zipped(tmp_path / "b.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[:-100])
    assert "not a zip file" in refused(tmp_path / "cut.zip", tmp_path / "out")
    where = data.index(b"table.onnx") + 200
    (tmp_path / "bad.zip").write_bytes(data[:where] + bytes(40) + data[where + 40 :])
    assert "damaged" in refused(tmp_path / "bad.zip", tmp_path / "out")
    locked = bytearray(data)
    at = data.rindex(b"table.onnx") - 46 + 8
    locked[at] |= 1  # encrypted, says the directory
    (tmp_path / "locked.zip").write_bytes(bytes(locked))
    assert "cannot be unpacked" in refused(tmp_path / "locked.zip", tmp_path / "out")


def test_a_manifest_is_read_before_what_it_lists(tmp_path: Path) -> None:
    bundle = copied(BUNDLE, tmp_path / "bundle")
    edit(bundle / "manifest.json", lambda tree: tree["files"].update({"../evil": "0" * 64}))

    def forge(entries: Entries) -> None:
        entries[:] = [
            e if e[0] != "manifest.json" else (e[0], (bundle / "manifest.json").read_bytes()) for e in entries
        ]

    assert "names a file outside its folder" in refused(zipped(tmp_path / "b.zip", forge), tmp_path / "out")

    def shout(entries: Entries) -> None:
        entries[:] = [e if e[0] != "manifest.json" else (e[0], json.dumps([1]).encode()) for e in entries]

    assert "a JSON object is expected" in refused(zipped(tmp_path / "c.zip", shout), tmp_path / "out")
