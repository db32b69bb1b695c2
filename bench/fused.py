"""Graphs with onnxruntime's own operators against portable ones and newer opsets, at each precision, on a CPU."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.folders import tiny_checkpoint
from bench.grid import grid_options, random_inputs
from bench.options import smoke_option
from bench.timing import cpu_seconds, report

OUTPUTS = ["entity_logits", "relation_logits"]


def graphs(checkpoint: Path, folder: Path, opset: int) -> tuple[dict[str, dict[str, Path]], int]:
    """Export each precision, portable and fused; return the files by precision and kind, and the size of the vocabulary."""
    from export.fuse import fuse
    from export.graph import export_graph, strip_metadata
    from export.half import to_fp16
    from export.quantize import to_int8
    from tablert_dist.model.checkpoint import load_checkpoint

    model, card = load_checkpoint(checkpoint)
    made: dict[str, dict[str, Path]] = {"fp32": {"portable": folder / "portable.onnx"}}
    export_graph(model, made["fp32"]["portable"], 20)
    if fuse(made["fp32"]["portable"], folder / "fused.onnx"):
        made["fp32"]["fused"] = folder / "fused.onnx"
    made["fp16"] = {kind: folder / f"{kind}-fp16.onnx" for kind in made["fp32"]}
    for kind, path in made["fp16"].items():
        to_fp16(made["fp32"][kind], path)
    # As it is exported: int8 rewrites products that a fused operator would hide.
    made["int8"] = {"unfused": folder / "int8.onnx"}
    to_int8(made["fp32"]["portable"], made["int8"]["unfused"])
    if opset != 20:
        made["fp32"][f"opset {opset}"] = folder / "newer.onnx"
        export_graph(model, made["fp32"][f"opset {opset}"], opset)
    for paths in made.values():
        for path in paths.values():
            strip_metadata(path)
    return made, card.tokenizer.tokenizer.get_vocab_size()


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, lengths="5,9", batches="1,2", repeats=1)
@grid_options(repeats=7)
@click.option("--opset", default=20, show_default=True, help="Also measure a portable fp32 graph of this opset.")
def main(checkpoint: Path, lengths: str, batches: str, threads: int, repeats: int, opset: int) -> None:
    """`ratio` is the median of portable fp32 over fused fp32 in CPU seconds; the others likewise, over portable fp32."""
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as scratch:
        made, vocabulary = graphs(checkpoint, Path(scratch), opset)
        named = {f"{precision} {kind}": path for precision, paths in made.items() for kind, path in paths.items()}
        nodes = {name: len(onnx.load(str(path)).graph.node) for name, path in named.items()}
        sessions = {
            name: ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for name, path in named.items()
        }
    rows: list[dict[str, Any]] = []
    for words in map(int, lengths.split(",")):
        for batch in map(int, batches.split(",")):
            inputs = random_inputs(words, batch, vocabulary)
            works = [partial(session.run, OUTPUTS, inputs) for session in sessions.values()]
            times = dict(zip(sessions, cpu_seconds(works, repeats), strict=True))
            first = times["fp32 portable"]
            faster = {name: round(first / seconds, 2) for name, seconds in times.items()}
            rows.append({"words": words, "batch": batch, "ms": round(1e3 * first, 1), **faster})
            print(rows[-1], flush=True)
    medians = {name: round(statistics.median(row[name] for row in rows), 2) for name in sessions}
    report("fused", {"ratio": medians.get("fp32 fused", 1.0), "nodes": nodes, "medians": medians, "rows": rows})


if __name__ == "__main__":
    main()
