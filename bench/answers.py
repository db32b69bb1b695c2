"""What a graph's answers cost on a CPU, where onnxruntime computes every output, and the bytes that they spare a GPU."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path

import click

from bench.folders import tiny_checkpoint
from bench.grid import grid_options, random_inputs
from bench.options import smoke_option
from bench.timing import cpu_seconds, report


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, lengths="5,9", batches="1,2", repeats=1)
@grid_options(repeats=9)
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
