"""Sentences a second of onnxruntime (fp32, int8) against torch, same sentences and threads, each in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from bench.parts import corpus_folder
from bench.timing import report
from tablert_dist.allocator import keep_pages

SIDES = ("torch", "torch_plain", "fp32", "int8")


def measure(side: str, model: Path, threads: int) -> dict[str, float]:
    """Sentences a second and F1 of one side. `torch_plain` is the model as transformers and torch compute it unaided."""
    import torch

    from tablert_dist.config import DataConfig, PredictConfig
    from tablert_dist.data import load_corpus
    from tablert_dist.predictor import Predictor
    from tablert_dist.scoring import count

    keep_pages()
    torch.set_num_threads(threads)
    predictor = Predictor.load(model, PredictConfig(threads=threads, spinning=True))
    if side == "torch_plain":
        _plain(predictor)
    corpus = load_corpus(DataConfig(path=corpus_folder()))
    gold = corpus.splits["dev"]
    words = [s.words for s in gold]
    predictor.annotate(words)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        found = predictor.annotate(words)
        times.append(time.perf_counter() - started)
    scores = count(zip(gold, found, strict=True), corpus.schema).scores()
    f1 = {level: round(100 * scores.f1(level), 2) for level in ("ner", "re", "re_plus")}
    return {"sentences_per_s": len(gold) / statistics.median(times), **f1}


def _plain(predictor: object) -> None:
    """Padded batches, one operation for the whole batch, torch's own matrix products."""
    from tablert_dist.model import gemm

    model = predictor.engine.model  # type: ignore[attr-defined]
    model.encoder.packs = False
    model.head.by_sentence = model.head.batched
    gemm.onednn_is_faster = lambda: False  # type: ignore[assignment]


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="A checkpoint trained on the data.")
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--side", type=click.Choice(SIDES), default=None, hidden=True)
@click.option("--model", type=click.Path(path_type=Path), default=None, hidden=True)
def main(checkpoint: Path, threads: int, rounds: int, side: str | None, model: Path | None) -> None:
    """`ratio` is onnxruntime fp32 over torch as this package runs it; both against plain torch stand beside it."""
    if side and model:
        print(json.dumps(measure(side, model, threads)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        models = dict.fromkeys(("torch", "torch_plain"), checkpoint)
        gold = next(iter(sorted(Path(corpus_folder()).glob("*dev.json"))))
        for precision in ("fp32", "int8"):
            models[precision] = Path(scratch) / precision
            _run("export.cli", "--onnx", "--checkpoint", str(checkpoint), "--out", str(models[precision]),
                 "--precision", precision, "--verify-data", str(gold), "--allow", "the bench shows F1")  # fmt: skip
        found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
        for _ in range(rounds):
            for name in SIDES:
                line = _run("bench.onnx", "--checkpoint", str(checkpoint), "--threads", str(threads), "--side", name,
                            "--model", str(models[name]))  # fmt: skip
                found[name].append(json.loads(line))
        sizes = {p: sum(f.stat().st_size for f in models[p].rglob("*.onnx")) for p in ("fp32", "int8")}
    speed = {name: statistics.median(r["sentences_per_s"] for r in rows) for name, rows in found.items()}
    report(
        "onnx",
        {
            "ratio": round(speed["fp32"] / speed["torch"], 2),
            "int8_over_torch": round(speed["int8"] / speed["torch"], 2),
            "fp32_over_plain_torch": round(speed["fp32"] / speed["torch_plain"], 2),
            "int8_over_plain_torch": round(speed["int8"] / speed["torch_plain"], 2),
            "size_fp32_over_int8": round(sizes["fp32"] / sizes["int8"], 2),
            **{f"{name}_sentences_per_s": round(value, 1) for name, value in speed.items()},
            "f1_fp32": {k: v for k, v in found["fp32"][0].items() if k != "sentences_per_s"},
            "f1_int8": {k: v for k, v in found["int8"][0].items() if k != "sentences_per_s"},
        },
    )


def _run(module: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
