"""A bundle's graph as a model repository for NVIDIA's Triton server. Tokenising and decoding stay with the client."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tablert_dist.config import ModelConfig
from tablert_dist.errors import InputError
from tablert_dist.heads import make_scheme
from tablert_dist.heads.temperatures import Temperatures, temperatures_of
from tablert_dist.inference.bundle import open_bundle
from tablert_dist.storage.atomic import whole_folder, write_text

TYPES = {"tensor(int64)": "TYPE_INT64", "tensor(int32)": "TYPE_INT32", "tensor(float)": "TYPE_FP32"}
MAX_BATCH = 32


def refuse_repository(out: Path, model: ModelConfig, name: str = "tablert", force: bool = False) -> None:
    """Raise InputError where no repository of such a model can be written to `out`: asked before the export's minutes."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--triton {out} is a file; give a folder")
    folder = out / name
    ours = (folder / "config.pbtxt").is_file()
    if folder.exists() and not (force and ours):
        replaced = ", or replace it with --force" if ours else ""
        raise InputError(f"{folder} exists; give another --triton folder{replaced}")
    stages = make_scheme(model).stages
    if len(stages) > 1:
        raise InputError(
            f"--triton: a {model.head} model has the graphs {', '.join(stages)}, between which somebody has to decode; only "
            f"TablERT-CNN's one graph can be served by Triton"
        )


def write_repository(bundle: Path, out: Path, name: str = "tablert", force: bool = False) -> Path:
    """Write `out/NAME/config.pbtxt` and `out/NAME/1/model.onnx`; inputs and outputs are the graph's (DESIGN's contract).

    Triton's dynamic batcher joins requests of one shape only, so clients should pad to few lengths. Raises InputError
    where `out/NAME` exists (with `force`: where it is no Triton model) or the bundle is not sound.
    """
    from tablert_dist.inference.onnx_engine import import_onnxruntime

    opened = open_bundle(bundle)
    refuse_repository(out, opened.model, name, force)
    folder = out / name
    (graph,) = opened.graphs.values()
    session = import_onnxruntime().InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH}",
        *_tensors("input", session.get_inputs()),
        *_tensors("output", session.get_outputs()),
        "dynamic_batching { max_queue_delay_microseconds: 5000 }",
        "instance_group [ { kind: KIND_AUTO } ]",
        *_parameters(temperatures_of(opened.calibration)),
    ]
    out.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as part:
        (part / "1").mkdir()
        shutil.copyfile(graph, part / "1" / "model.onnx")
        write_text(part / "config.pbtxt", "\n".join(lines) + "\n")
    return folder


def _parameters(temperatures: Temperatures) -> list[str]:
    """What a client divides the graph's logits by; `relation_probabilities` have been computed with it."""
    if temperatures.neutral:
        return []
    told = temperatures.model_dump().items()
    return [f'parameters {{ key: "temperature_{name}" value: {{ string_value: "{t:g}" }} }}' for name, t in told]


def _tensors(kind: str, tensors: Any) -> list[str]:
    """`max_batch_size` stands for the first axis."""
    return [
        f'{kind} [ {{ name: "{t.name}" data_type: {TYPES[t.type]} '
        f"dims: [ {', '.join(str(d) if isinstance(d, int) else '-1' for d in t.shape[1:])} ] }} ]"
        for t in tensors
    ]
