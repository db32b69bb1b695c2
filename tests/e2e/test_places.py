"""Places that cannot be written: a file system that is read-only, a file where a folder should be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lines import told
from tests.support.tiny import tiny_records, write_corpus

VERBS = {
    "train": "train --name r --no-check --data {data} --set train.storage={place} --set model.encoder={encoder} "
    "--set cluster.num_workers=0 --set train.epochs=1",
    "convert": "data convert {data}/tiny_train.json {place}/x.jsonl",
    "split": "data split {data}/tiny_train.json --out {place}/parts --parts train=0.5,dev=0.5",
    "sample": "data sample {data}/tiny_train.json --out {place}/sample --n 3",
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_written_is_one_sentence(verb: str, tiny_encoder: str, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a mount namespace")
    data = write_corpus(tmp_path / "tiny", {"train": tiny_records(8), "dev": tiny_records(4)})
    (tmp_path / "read-only").mkdir()
    (tmp_path / "file").write_text("")
    for place in ("read-only", "file"):
        words = VERBS[verb].format(data=data, place=tmp_path / place, encoder=tiny_encoder)
        line = f"mount -t tmpfs -o ro none {tmp_path}/read-only && {sys.executable} -m tablert_dist.cli {words}"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", line],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        last = told(done.stderr)[-1]
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert last.startswith("error: ") and place in last, done.stderr
