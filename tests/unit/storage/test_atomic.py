"""Files and folders that are there whole or not at all: after errors, a full disk, and beside other processes."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tablert_dist.errors import InputError, RunError
from tablert_dist.storage import atomic
from tests.support import GOLDEN


def full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_new_after_the_block_and_old_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old\n")
    with pytest.raises(ZeroDivisionError), atomic.whole_file(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old\n"
    with atomic.whole_file(path, force=True) as part:
        part.write_text("new")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"], "no part is left"


def test_several_files_are_new_together(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    with pytest.raises(ZeroDivisionError), atomic.whole_files(paths) as parts:
        for part in parts:
            part.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with atomic.whole_files(paths) as parts:
        for part in parts:
            part.write_text(part.name)
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}


def test_a_folder_takes_the_place_of_an_older_one_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    # What a process leaves that died while writing.
    (tmp_path / ".f.part").mkdir()
    (tmp_path / ".f.part" / "left").write_text("x")
    for name in ("one", "two"):
        with atomic.whole_folder(folder) as part:
            (part / "inner").mkdir()
            (part / "inner" / name).write_text(name)
    with pytest.raises(ZeroDivisionError), atomic.whole_folder(folder) as part:
        (part / "three").write_text("x")
        raise ZeroDivisionError
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["f", "f/inner", "f/inner/two"]


@pytest.mark.parametrize("error", [full(), RuntimeError("Error while serializing: I/O error: No space left on device")])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    for whole in (atomic.whole_file, atomic.whole_folder):
        with (
            pytest.raises(RunError, match=r"x: cannot be written: the disk is full \(\d+ MB free\)"),
            whole(tmp_path / "x"),
        ):
            raise error
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/x: cannot be written: Not a directory"):
        atomic.write_text(tmp_path / "file" / "x", "")
    with pytest.raises(InputError, match=r"none/x: cannot be written: No such file"):
        atomic.write_json(tmp_path / "none" / "x", {})


def test_processes_that_write_the_same_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tablert_dist.storage.atomic import write_text\n"
        "for _ in range(50): write_text(Path(sys.argv[1]), sys.argv[2] * 100_000)"
    )
    path = tmp_path / "a"
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), letter]) for letter in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    text = path.read_text()
    assert len(text) == 100_000 and len(set(text)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_hash_is_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\r\n\x00")
    assert atomic.sha256(tmp_path / "a") == hashlib.sha256(b"\r\n\x00").hexdigest()


def test_a_full_disk_is_a_sentence_on_the_command_line(tmp_path: Path) -> None:
    bundle = GOLDEN / "bundle" / "cnn-fp32"
    with Path("/dev/full").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "tablert_dist.cli", "predict", "--model", str(bundle)],
            input="Ada lives .\n" * 2000, stdout=out, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode != 0 and "disk is full" in done.stderr and "Traceback" not in done.stderr
