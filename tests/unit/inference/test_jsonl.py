"""One line in, one line out, whichever way a file is read: by itself, from standard input, in parts on a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tablert_dist.config import PredictConfig
from tablert_dist.inference import ray_data, ray_stages
from tests.support import GOLDEN

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
LINES = [
    *(b"Ada works at Acme .", b"Bo near\rOslo", b"\r", b"", b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f", b"no \xff utf-8"),
    *(b"Ada\r\r near Oslo\r", b'{"text": "Ada near Oslo"}', b'{"words": ["Ada",\r"near", "Oslo"]}', b"the last, with no end"),
]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Every kind of line; one of them ends as on Windows."""
    path = tmp_path / "in.txt"
    path.write_bytes(b"\n".join(LINES).replace(b"Acme .\n", b"Acme .\r\n"))
    return path


def texts(output: str) -> list[str]:
    return [json.loads(line)["text"] for line in output.split("\n") if line]


def test_every_way_of_reading_gives_a_result_for_each_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = CliRunner().invoke(main, ["predict", "--model", str(BUNDLE), "--in", str(source)])
    from_stdin = CliRunner().invoke(main, ["predict", "--model", str(BUNDLE)], input=source.read_bytes())
    monkeypatch.setattr(ray_data, "BATCH", 3)  # so that a part begins in the middle of the file
    parts = list(ray_data._parts(source))
    columns = {key: np.asarray([part[key] for part in parts]) for key in ("offset", "first", "count")}
    settings = PredictConfig().model_dump(mode="json")
    on_a_cluster = ray_stages.Reader(str(BUNDLE), str(source), settings)(columns)
    cut = ray_stages.Cutter(str(BUNDLE), str(source), settings)(columns)
    in_stages = ray_stages.put_together(ray_stages.PieceReader(str(BUNDLE), settings)(cut))
    found = texts(from_file.stdout)
    assert len(found) == len(LINES) and len(parts) == 4
    assert found[:2] == ["Ada works at Acme .", "Bo near\rOslo"] and found[-1] == "the last, with no end"
    assert texts(from_stdin.stdout) == found == texts("\n".join(on_a_cluster["json"]))
    assert in_stages["json"] == on_a_cluster["json"]
