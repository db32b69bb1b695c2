"""Places that cannot be written: a file system that is read-only or full, a file where a folder should be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lines import told
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.inference.test_graph import result

VERBS = {
    "train": "train --name r --no-check --data {data} --set train.storage={place} --set model.encoder={encoder} "
    "--set cluster.num_workers=0 --set train.epochs=1",
    "convert": "data convert {data}/tiny_train.json {place}/x.jsonl",
    "split": "data split {data}/tiny_train.json --out {place}/parts --parts train=0.5,dev=0.5",
    "sample": "data sample {data}/tiny_train.json --out {place}/sample --n 3",
}


@pytest.fixture(autouse=True)
def mounts() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a mount namespace")


def shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A line in a mount namespace of its own."""
    words = ["unshare", "--mount", "sh", "-c", line]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_written_is_one_sentence(verb: str, tiny_encoder: str, tmp_path: Path) -> None:
    data = write_corpus(tmp_path / "tiny", {"train": tiny_records(8), "dev": tiny_records(4)})
    (tmp_path / "read-only").mkdir()
    (tmp_path / "file").write_text("")
    for place in ("read-only", "file"):
        words = VERBS[verb].format(data=data, place=tmp_path / place, encoder=tiny_encoder)
        command = f"{sys.executable} -m tablert_dist.cli {words}"
        done = shell(f"mount -t tmpfs -o ro none {tmp_path}/read-only && {command}", tmp_path)
        last = told(done.stderr)[-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert last.startswith("error: ") and place in last, done.stderr


def test_a_graph_that_the_disk_of_temporary_files_cannot_hold_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    with (tmp_path / "lines.jsonl").open("w") as file:
        for i in range(3000):
            found = result((f"Ada{i}", "Per"), (f"Acme{i}", "Org"), relations=[(0, "works", 1)])
            file.write(json.dumps(found) + "\n")
    graph = f"TMPDIR={tmp_path}/small {sys.executable} -m tablert_dist.cli graph lines.jsonl --to turtle --out g.ttl"
    done = shell(f"mount -t tmpfs -o size=256k none {tmp_path}/small && {graph}", tmp_path)
    assert done.returncode == 1, done.stderr
    (last,) = told(done.stderr)
    assert "graph.sqlite: cannot be written: the disk is full" in last and "set TMPDIR" in last
    assert not (tmp_path / "g.ttl").exists()
