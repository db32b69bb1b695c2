"""The path that a GPU takes: on a card its speed, elsewhere what it would ask of one. Imports neither Ray nor MLflow."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch

from bench.gpu_counts import counts
from bench.gpu_onnx import onnx_on
from bench.gpu_seeds import compare_variants, train_seeds
from bench.gpu_train import checkpointing, context_on, evaluation, losses, throughput
from bench.options import data_option, smoke_option
from bench.sources import SAMPLE
from bench.timing import report
from tablert_dist.gpu import gpu_path
from tablert_dist.train.context import TrainContext


@click.command()
@smoke_option(device="cpu", shapes="tiny", sizes="2", steps=1, rounds=1, counted="tiny", data=SAMPLE)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu"]),
    default="auto",
    show_default=True,
    help="auto: measure where there is a card. cpu: measure on the CPU, by the GPU's path, to try the bench itself.",
)
@click.option(
    "--shapes", default="small,base", show_default=True, help="Encoders: base, small, tiny (bench/gpu_setup.py)."
)
@click.option("--batches", "sizes", default="8,32,128", show_default=True, help="Sentences in a step.")
@click.option("--steps", default=12, show_default=True, help="Steps in a pass.")
@click.option("--rounds", default=3, show_default=True, help="Passes of each head, in turns.")
@click.option("--precision", type=click.Choice(["bf16", "fp32"]), default="bf16", show_default=True)
@click.option("--tests/--no-tests", default=True, show_default=True, help="Run the tests marked gpu.")
@click.option(
    "--onnx/--no-onnx", default=True, show_default=True, help="Export, and read with onnxruntime's CUDA build."
)
@click.option(
    "--counted", default="narrow", show_default=True, help="Encoder whose operators are counted without a card."
)
@click.option("--encoder", default=None, help="A folder: train `--preset` with it on train+dev and score test.")
@click.option("--preset", default="conll04", show_default=True)
@click.option(
    "--variants",
    default=None,
    metavar="A,B,…",
    help="Of --encoder: systems of `tablert study --variants plus`; the others against the first.",
)
@click.option("--seeds", default="1,2,3", show_default=True, help="Of --encoder: side by side on the card.")
@click.option("--epochs", default=20, show_default=True, help="Of --encoder.")
@data_option
def main(
    device: str, shapes: str, sizes: str, steps: int, rounds: int, precision: str, tests: bool, onnx: bool, counted: str,
    encoder: str | None, preset: str, variants: str | None, seeds: str, epochs: int, data: str,
) -> None:  # fmt: skip
    """Print a table, and one JSON line last."""
    started = time.perf_counter()
    card = torch.cuda.is_available() and device == "auto"
    name = torch.cuda.get_device_name() if card else "no CUDA device"
    click.echo(f"{name}, torch {torch.__version__}, {data}")
    result: dict[str, Any] = {"device": name, "torch": torch.__version__}
    drawn = [int(seed) for seed in seeds.split(",")]
    if encoder and variants:
        compared = compare_variants(encoder, data, preset, variants.split(","), drawn, epochs)
        ratio = list(compared.values())[-1].get("against", {}).get("speed", 1.0)
        report("gpu", {"ratio": ratio, **result, "variants": compared})
        return
    if variants:
        raise click.UsageError("--variants are trained: give their --encoder, a folder")
    if encoder:
        trained = train_seeds(encoder, data, preset, drawn, epochs)
        report("gpu", {"ratio": trained["sentences_per_s_each"], **result, **trained})
        return
    figures = counts(counted, data)
    click.echo(f"a step, counted without a card: {figures}")
    result |= figures
    if card or device == "cpu":
        context = context_on(torch.device("cuda" if card else "cpu"), precision)
        with gpu_path():
            result |= measured(shapes.split(","), [int(s) for s in sizes.split(",")], steps, rounds, context, data)
        if onnx:
            with tempfile.TemporaryDirectory() as folder:
                provider, shape = "cuda" if card else "cpu", shapes.rsplit(",", maxsplit=1)[-1]
                result["onnx"] = onnx_on(provider, shape, data, Path(folder))
                click.echo(f"onnxruntime: {result['onnx']}")
    if card and tests:
        result["gpu_tests"] = _tests()
    report("gpu", {**result, "seconds": round(time.perf_counter() - started)})


def measured(
    shapes: list[str], sizes: list[int], steps: int, rounds: int, context: TrainContext, data: str
) -> dict[str, Any]:
    """Return what only a card can tell."""
    rows = [row for shape in shapes for row in throughput(shape, data, sizes, steps, rounds, context)]
    columns = ("shape", "batch", "ours_per_s", "dense_per_s", "ratio", "ours_step_ms", "busy_ms", "busy_share", "launches",
               "ours_peak_mib", "dense_peak_mib", "ours_warm_up_s", "dense_warm_up_s")  # fmt: skip
    click.echo("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        click.echo("| " + " | ".join(str(row.get(column, "–")) for column in columns) + " |")
    read = evaluation(shapes[-1], data, context)
    click.echo(f"evaluation: {read}")
    saved = checkpointing(shapes[-1], data, sizes[-1], steps, rounds, context)
    click.echo(f"gradient checkpointing: {saved}")
    apart = losses(shapes[0], data, context)
    click.echo(f"losses against the CPU's in fp32: {apart}")
    return {
        "ratio": rows[0].get("ratio", "–"),
        "training": rows,
        "evaluation": read,
        "losses": apart,
        "checkpointing": saved,
    }


def _tests() -> str:
    """Run the tests marked gpu in a process of their own; their last line."""
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "tests/unit/gpu/test_gpu.py", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    if done.returncode:
        click.echo("\n".join(lines[-40:]), err=True)
    click.echo(f"pytest -m gpu: {lines[-1]}")
    return lines[-1]


if __name__ == "__main__":
    main()
