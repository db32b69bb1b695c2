"""Which benches there are, and with which options `python -m bench` measures them."""

from __future__ import annotations

from pathlib import Path

COMMANDS = [
    "bench.pair_conv",
    "bench.pair_conv --backward",
    "bench.pair_conv --backward --batch 4",
    "bench.pair_conv --backward --words 100 --repeats 3",
    "bench.pair_conv --backward --kernel 5 --repeats 3",
    "bench.gemm",
    "bench.taps",
    "bench.ways",
    "bench.train_step",
    "bench.train_step --encoder bert-base-shape --batches 3",
    "bench.memory",
    "bench.long",
    "bench.frozen",
    "bench.plus",
    "bench.ddp",
    "bench.ddp --batch 32 --batches 6",
    "bench.growth",
    "bench.startup",
    "bench.gpu",
    "bench.read --sentences 100000",
]
"""Rows of the table in BENCHMARKS.md: minutes in all, and nothing to prepare."""
APART = {
    "bench.answers": "needs a trained checkpoint",
    "bench.calibration": "needs a trained checkpoint; its errors are no ratio of times",
    "bench.constraints": "trains a model on each corpus; its scores are no ratio of times",
    "bench.fused": "needs a trained checkpoint",
    "bench.initialisation": "three trainings on CoNLL04; its scores are no ratio of times",
    "bench.host": "needs a bundle of a trained model",
    "bench.int8": "needs a trained checkpoint",
    "bench.onnx": "needs a trained checkpoint",
    "bench.overhead": "starts Ray and takes a quarter of an hour",
    "bench.peers": "trains two models, one of them spaCy's, which has to be installed",
    "bench.pick": "a dozen trainings on CoNLL04; its scores are no ratio of times",
    "bench.scaling": "a model on paper that reads the table's own rows",
    "bench.serve": "needs a bundle of a trained model",
    "bench.beside": "needs a bundle of a trained model",
    "bench.soak": "twenty minutes, and needs a bundle: make soak",
}
"""Benches with a section of their own in BENCHMARKS.md or docs/, and why they have no row in its table."""


def discover() -> list[str]:
    """Return the modules of this package that are commands: those that end in `if __name__ == "__main__"`."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    commands = [f for f in files if '\nif __name__ == "__main__":' in f.read_text(encoding="utf-8")]
    return [f"bench.{file.stem}" for file in commands if file.stem != "__main__"]
