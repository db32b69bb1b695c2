"""int8 against fp32: size, CPU time and F1 of a scale a tensor (onnxruntime's), of a scale a row, and of each step back."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from bench.folders import tiny_checkpoint
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import cpu_seconds, report
from export.quantize import parts_of, steps_of, to_int8
from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.inference.onnx_engine import OnnxEngine
from tablert_dist.inference.predictor import Predictor
from tablert_dist.scoring import LEVELS, count
from tablert_dist.tags import TagSet


def per_tensor(graph: Path, out: Path) -> None:
    """Quantise as onnxruntime's `quantize_dynamic` does: one scale for the activations of a whole batch."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)
    nodes = [name for names in parts_of(onnx.load(str(graph))).values() for name in names]
    quantize_dynamic(
        str(graph),
        str(out),
        op_types_to_quantize=["MatMul", "Gather"],
        nodes_to_quantize=nodes or ["none: an empty list means all"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, data=SAMPLE, repeats=1)
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint trained on the data.")
@data_option
@click.option("--threads", default=1, show_default=True)
@click.option("--repeats", default=5, show_default=True)
def main(checkpoint: Path, data: str, threads: int, repeats: int) -> None:
    """On dev, in turns. `ratio` is fp32's CPU time over int8's; `speed` of a row likewise, `lost` in F1 points."""
    from export.graph import export_graph, strip_metadata
    from tablert_dist.model.checkpoint import load_checkpoint

    model, card = load_checkpoint(checkpoint)
    gold = load_corpus(DataConfig(path=data)).splits["dev"]
    words = [s.words for s in gold]
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "fp32.onnx"
        export_graph(model, full, 20)
        ways: dict[str, Callable[[Path, Path], None]] = {"a scale a tensor": per_tensor}
        for leave in steps_of([full]):
            ways[f"without {', '.join(leave)}" if leave else "a scale a row"] = partial(to_int8, leave=leave)
        graphs = {"fp32": full}
        for index, (way, write) in enumerate(ways.items()):
            graphs[way] = Path(scratch) / f"{index}.onnx"
            write(full, graphs[way])
        predictors = {}
        for way, graph in graphs.items():
            strip_metadata(graph)
            engine = OnnxEngine({TABLE: graph}, threads=threads, spinning=True)
            predictors[way] = Predictor(engine, card.tokenizer, TagSet(card.schema), card.pad_id)
        sizes = [round(graph.stat().st_size / 1e6, 1) for graph in graphs.values()]
    seconds = cpu_seconds([partial(p.annotate, words) for p in predictors.values()], repeats)
    scores = [count(zip(gold, p.annotate(words), strict=True), card.schema).scores() for p in predictors.values()]
    rows = [
        {
            "int8": way,
            "mb": size,
            "speed": round(seconds[0] / spent, 2),
            "lost": [round(100 * (scores[0].f1(level) - score.f1(level)), 2) for level in LEVELS],
        }
        for way, size, spent, score in zip(predictors, sizes, seconds, scores, strict=True)
    ]
    for row in rows:
        print(row, flush=True)
    report("int8", {"ratio": rows[2]["speed"], "rows": rows})


if __name__ == "__main__":
    main()
