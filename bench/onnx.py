"""Sentences a second of onnxruntime (fp32, int8) against torch, same sentences and threads, each in a process of its own."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import click

from bench.alone import alone
from bench.folders import tiny_checkpoint
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report
from tablert_dist.cpu import keep_pages
from tablert_dist.storage.paths import locate

SIDES = ("torch", "torch_plain", "fp32", "int8")


def measure(side: str, model: Path, data: str, threads: int) -> dict[str, float]:
    """Sentences a second and F1 of one side. `torch_plain` is the model as transformers and torch compute it unaided."""
    import torch

    from tablert_dist.config import DataConfig, PredictConfig
    from tablert_dist.data import load_corpus
    from tablert_dist.inference.predictor import Predictor
    from tablert_dist.scoring import count

    keep_pages()
    torch.set_num_threads(threads)
    predictor = Predictor.load(model, PredictConfig(threads=threads, spinning=True))
    if side == "torch_plain":
        _plain(predictor)
    corpus = load_corpus(DataConfig(path=data))
    gold = corpus.splits["dev"]
    words = [s.words for s in gold]
    predictor.annotate(words)
    times, cpu_times = [], []
    for _ in range(3):
        started, cpu_started = time.perf_counter(), time.process_time()
        found = predictor.annotate(words)
        times.append(time.perf_counter() - started)
        cpu_times.append(time.process_time() - cpu_started)
    scores = count(zip(gold, found, strict=True), corpus.schema).scores()
    f1 = {level: round(100 * scores.f1(level), 2) for level in ("ner", "re", "re_plus")}
    speeds = {"per_s": len(gold) / statistics.median(times), "per_cpu_s": len(gold) / statistics.median(cpu_times)}
    return {**speeds, **f1}


def _plain(predictor: object) -> None:
    """Padded batches, one operation for the whole batch, torch's own matrix products."""
    from tablert_dist.cpu import gemm
    from tablert_dist.heads.cnn import module

    model = predictor.engine.model  # type: ignore[attr-defined]
    model.encoder.packs = False
    module.table_by_sentence = module.TableHead.table
    gemm.onednn_is_faster = lambda: False  # type: ignore[assignment]


@click.command()
@smoke_option(checkpoint=tiny_checkpoint, data=SAMPLE, threads=1, rounds=1)
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint trained on the data.")
@data_option
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(checkpoint: Path, data: str, threads: int, rounds: int) -> None:
    """`ratio` is onnxruntime fp32 over torch as this package runs it; both against plain torch stand beside it.

    `cpu` has the same ratios in CPU seconds, for a machine with other work; take one thread, for two of them spin.
    """
    from export.cli import main as export

    with tempfile.TemporaryDirectory() as scratch:
        models = dict.fromkeys(("torch", "torch_plain"), checkpoint)
        gold = min(locate(data, "corpus").glob("*dev.json"))
        for precision in ("fp32", "int8"):
            models[precision] = Path(scratch) / precision
            # In this process, which measures nothing itself.
            export.main(["--onnx", "--checkpoint", str(checkpoint), "--out", str(models[precision]), "--precision",
                         precision, "--verify-data", str(gold), "--allow", "the bench shows F1"],
                        standalone_mode=False)  # fmt: skip
        found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
        for _ in range(rounds):
            for name in SIDES:
                found[name].append(alone(measure, name, models[name], data, threads))
        sizes = {p: sum(f.stat().st_size for f in models[p].rglob("*.onnx")) for p in ("fp32", "int8")}
    speed, cpu_speed = (
        {name: statistics.median(row[key] for row in rows) for name, rows in found.items()}
        for key in ("per_s", "per_cpu_s")
    )
    f1 = {p: {level: found[p][0][level] for level in ("ner", "re", "re_plus")} for p in ("fp32", "int8")}
    report(
        "onnx",
        {
            **_ratios(speed),
            "cpu": _ratios(cpu_speed),
            "size_fp32_over_int8": round(sizes["fp32"] / sizes["int8"], 2),
            **{f"{name}_sentences_per_s": round(value, 1) for name, value in speed.items()},
            **{f"{name}_sentences_per_cpu_s": round(value, 1) for name, value in cpu_speed.items()},
            "f1_fp32": f1["fp32"],
            "f1_int8": f1["int8"],
        },
    )


def _ratios(speed: dict[str, float]) -> dict[str, float]:
    return {
        "ratio": round(speed["fp32"] / speed["torch"], 2),
        "int8_over_torch": round(speed["int8"] / speed["torch"], 2),
        "fp32_over_plain_torch": round(speed["fp32"] / speed["torch_plain"], 2),
        "int8_over_plain_torch": round(speed["int8"] / speed["torch_plain"], 2),
    }


if __name__ == "__main__":
    main()
