"""`tablert predict --ray`: the same results as in one process, in the order of the lines, by whole readers and in stages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from tablert_dist.config import PredictConfig
from tablert_dist.inference.jsonl import predict_lines
from tablert_dist.inference.predictor import Predictor
from tests.support.serving import make_bundle

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_ray_data_gives_what_one_process_gives(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    lines = [f"Ada works at Acme {i} near Oslo ." for i in range(600)]
    lines[300:302] = ["{bad", ""]
    (tmp_path / "in.txt").write_text("\n".join(lines) + '\n{"words": ["Bo", "near", "Tromsø"]}', encoding="utf-8")
    found = []
    for name, options in (("here.jsonl", []), ("there.jsonl", ["--ray", "--set", "cluster.address=local"])):
        command = [sys.executable, "-m", "tablert_dist.cli", "predict", "--bundle", str(bundle), "--in", "in.txt"]
        done = subprocess.run(
            [*command, "--out", name, *options], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert "line 301: not JSON" in done.stderr
        found.append([json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()])
    assert len(found[0]) == len(found[1]) == 601
    for here, there in zip(*found, strict=True):
        assert here.get("text") == there.get("text") and here.get("error") == there.get("error")
        spans = [[(e["start"], e["end"], e["type"]) for e in r.get("entities", [])] for r in (here, there)]
        assert spans[0] == spans[1]


STAGED = """
import json, sys
from pathlib import Path
from tablert_dist.config import load_config
from tablert_dist.inference.ray_data import predict_file

config = load_config(None, {"cluster.address": "local", "predict.provider": "cpu"})
for answers in predict_file(Path(sys.argv[1]), Path(sys.argv[2]), config, staged=True):
    for answer in answers:
        print(json.dumps([json.loads(answer.line), answer.error]))
"""


def test_the_three_stages_of_a_gpu_give_what_one_process_gives(tiny_encoder: str, tmp_path: Path) -> None:
    """On CPUs: only where the stage in the middle runs is another."""
    bundle = make_bundle(tiny_encoder, tmp_path)
    lines = [f"Ada works at Acme {i} near Oslo ." for i in range(1500)]
    lines[300:302] = ["{bad", ""]
    (tmp_path / "in.txt").write_text("\n".join(lines) + '\n{"words": ["Bo", "near", "Tromsø"]}', encoding="utf-8")
    command = [sys.executable, "-c", STAGED, str(bundle), "in.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    predictor = Predictor.load(bundle, PredictConfig(threads=1))
    given = (tmp_path / "in.txt").read_text(encoding="utf-8").split("\n")
    expected = list(predict_lines(predictor, list(enumerate(given, 1))))
    assert len(found) == len(expected) == 1501
    for (there, error), here in zip(found, expected, strict=True):
        assert there.get("text") == here.get("text") and error == here.get("error")
        spans = [[(e["start"], e["end"], e["type"]) for e in r.get("entities", [])] for r in (here, there)]
        assert spans[0] == spans[1]


COLUMNS = """
import sys
import ray
from tablert_dist.inference.columns import Extract

ray.init(num_cpus=3, include_dashboard=False)
texts = ray.data.from_items([{"id": i, "text": f"Ada works at Acme near Oslo {i} ."} for i in range(40)], override_num_blocks=4)
given = {"model": sys.argv[1], "column": "text"}
texts.map_batches(Extract, fn_constructor_kwargs=given, concurrency=2, batch_size=8).write_parquet("out")
"""


def test_a_datasets_column_is_read_by_actors(tiny_encoder: str, tmp_path: Path) -> None:
    bundle = make_bundle(tiny_encoder, tmp_path)
    command = [sys.executable, "-c", COLUMNS, str(bundle)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = sorted(parquet.read_table(tmp_path / "out").to_pylist(), key=lambda row: row["id"])
    predictor = Predictor.load(bundle, PredictConfig(threads=1))
    assert [row["id"] for row in rows] == list(range(40))
    for row in rows:
        here = predictor.predict(row["text"]).to_json()["entities"]
        spans = [[(e["start"], e["end"], e["type"]) for e in found] for found in (row["found"]["entities"], here)]
        assert spans[0] == spans[1]
