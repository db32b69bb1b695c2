"""What each part of the graph gains and loses in int8: size, sentences a second, F1."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from bench.folders import tiny_checkpoint
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report
from export.quantize import PARTS, to_int8
from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.inference.onnx_engine import OnnxEngine
from tablert_dist.inference.predictor import Predictor
from tablert_dist.scoring import LEVELS, count
from tablert_dist.tags import TagSet


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, data=SAMPLE, threads=1)
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint trained on the data.")
@data_option
@click.option("--threads", default=2, show_default=True)
def main(checkpoint: Path, data: str, threads: int) -> None:
    """On dev. A line for each step: nothing in int8, then one part more each; `ratio` is the last speed over the first."""
    from export.graph import export_graph, strip_metadata
    from tablert_dist.model.checkpoint import load_checkpoint

    model, card = load_checkpoint(checkpoint)
    gold = load_corpus(DataConfig(path=data)).splits["dev"]
    words = [s.words for s in gold]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        full, graph = Path(scratch) / "full.onnx", Path(scratch) / "table.onnx"
        export_graph(model, full, 20)
        for left in range(len(PARTS), -1, -1):
            to_int8(full, graph, PARTS[:left])
            strip_metadata(graph)
            engine = OnnxEngine({TABLE: graph}, threads=threads, spinning=True)
            predictor = Predictor(engine, card.tokenizer, TagSet(card.schema), card.pad_id)
            predictor.annotate(words)
            started = time.perf_counter()
            found = predictor.annotate(words)
            speed = len(gold) / (time.perf_counter() - started)
            scores = count(zip(gold, found, strict=True), card.schema).scores()
            f1 = [round(100 * scores.f1(level), 1) for level in LEVELS]
            size = round(graph.stat().st_size / 1e6, 1)
            rows.append({"int8": list(PARTS[left:]), "mb": size, "sentences_per_s": round(speed, 1), "f1": f1})
            print(rows[-1], flush=True)
    first, last = rows[0]["sentences_per_s"], rows[-1]["sentences_per_s"]
    report("int8", {"ratio": round(float(last) / float(first), 2), "rows": rows})  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
