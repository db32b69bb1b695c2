"""What a graph's answers cost on a CPU, where onnxruntime computes every output, and the bytes that they spare a GPU."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.folders import tiny_checkpoint
from bench.options import smoke_option
from bench.timing import report


def cpu_seconds(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Medians of the process' CPU seconds of each, in turns; each is warmed up once."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, found in zip(works, times, strict=True):
            started = time.process_time()
            work()
            found.append(time.process_time() - started)
    return [statistics.median(found) for found in times]


def random_inputs(words: int, batch: int, vocabulary: int) -> dict[str, Any]:
    """A batch of `batch` sentences, all but the first shorter than `words`, a third of their words of two subwords."""
    rng = np.random.default_rng(words)
    subwords = words + words // 3 + 2
    ids = rng.integers(1, vocabulary, (batch, subwords))
    mask, pieces = np.ones((batch, subwords), np.int64), np.full((batch, words, 2), -1, np.int64)
    two = np.arange(words) < words // 3
    first = 1 + np.arange(words) + np.minimum(np.arange(words), words // 3)
    for b in range(batch):
        kept = words if b == 0 else int(rng.integers(words // 2, words + 1))
        pieces[b, :kept, 0] = first[:kept]
        pieces[b, :kept, 1] = np.where(two, first + 1, -1)[:kept]
        mask[b, int(pieces[b].max()) + 2 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask, "word_subwords": pieces}


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, lengths="5,9", batches="1,2", repeats=1)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint of a TablERT-CNN model."
)
@click.option("--lengths", default="10,30,80", show_default=True, help="Words of the sentences.")
@click.option("--batches", default="1,4,16", show_default=True, help="Sentences of a batch.")
@click.option("--threads", default=1, show_default=True)
@click.option("--repeats", default=9, show_default=True)
def main(checkpoint: Path, lengths: str, batches: str, threads: int, repeats: int) -> None:
    """`ratio` is the median of the graph's CPU seconds over its answers': 200 means half a percent."""
    import onnx
    import onnxruntime as ort

    from export.answers import add_answers
    from export.graph import export_graph
    from tablert_dist.heads.base import RELATION_ANSWERS
    from tablert_dist.heads.cnn.scheme import TABLE
    from tablert_dist.model.checkpoint import load_checkpoint

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    model, card = load_checkpoint(checkpoint)
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "table.onnx"
        export_graph(model, graph, 20)
        whole = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        add_answers(graph, model.scheme.stages[TABLE])
        cut = onnx.utils.Extractor(onnx.load(str(graph))).extract_model(["relation_logits"], list(RELATION_ANSWERS))
    alone = ort.InferenceSession(cut.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # What a call costs that computes next to nothing: in the whole graph it is paid once.
    del cut.graph.node[:], cut.graph.output[:], cut.graph.initializer[:]
    cut.graph.node.append(onnx.helper.make_node("Shape", ["relation_logits"], ["shape"]))
    cut.graph.output.append(onnx.helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [4]))
    nothing = ort.InferenceSession(cut.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rows, ratios = [], []
    for words in map(int, lengths.split(",")):
        for batch in map(int, batches.split(",")):
            inputs = random_inputs(words, batch, card.tokenizer.tokenizer.get_vocab_size())
            entity, relation = whole.run(["entity_logits", "relation_logits"], inputs)
            answers = alone.run(None, {"relation_logits": relation})
            feed = {"relation_logits": relation}
            graph_s, answers_s, call_s = cpu_seconds(
                [partial(whole.run, None, inputs), partial(alone.run, None, feed), partial(nothing.run, None, feed)],
                repeats,
            )
            answers_s = max(answers_s - call_s, 1e-6)
            ratios.append(graph_s / answers_s)
            small = entity.nbytes + sum(a.nbytes for a in answers)
            rows.append(
                {
                    "words": words,
                    "batch": batch,
                    "graph_ms": round(1e3 * graph_s, 2),
                    "answers_ms": round(1e3 * answers_s, 3),
                    "percent": round(100 * answers_s / graph_s, 2),
                    "bytes_a_sentence": [(entity.nbytes + relation.nbytes) // batch, small // batch],
                }
            )
            print(rows[-1], flush=True)
    report("answers", {"ratio": round(statistics.median(ratios), 1), "rows": rows})


if __name__ == "__main__":
    main()
