"""The last convolution in an exported graph: a product to taps with shifts and adds, and onnxruntime's own operator."""

from __future__ import annotations

import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bench.options import smoke_option
from bench.timing import cpu_seconds, report
from tablert_dist.heads.cnn.tap_conv import TapConv, gather_taps
from tablert_dist.inference.onnx_engine import import_onnxruntime


class Last(nn.Module):
    """TablERT-CNN's last layer in one of its forms."""

    def __init__(self, layer: TapConv, way: Callable[[TapConv, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.way = layer, way

    def forward(self, table: Tensor) -> Tensor:
        """[B, N, N, R]."""
        return self.way(self.layer, table)


def _conv(layer: TapConv, table: Tensor) -> Tensor:
    cells = F.conv2d(table.permute(0, 3, 1, 2), layer.dense_weight(), padding=layer.kernel_size // 2)
    return cells.permute(0, 2, 3, 1)


WAYS: dict[str, Callable[[TapConv, Tensor], Tensor]] = {
    "taps": lambda layer, table: gather_taps(F.linear(table, layer.weight), layer.kernel_size),
    "conv": _conv,
}


def session(way: str, layer: TapConv, folder: Path) -> Any:
    """An onnxruntime session with one thread."""
    dims = {0: torch.export.Dim("batch", min=1), 1: (words := torch.export.Dim("words", min=1)), 2: words}
    path = folder / f"{way}.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Last(layer, WAYS[way]).eval(), (torch.randn(2, 7, 7, layer.channels),), str(path), dynamo=True,
            opset_version=20, input_names=["table"], dynamic_shapes=(dims, ), external_data=False, verbose=False,
        )  # fmt: skip
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@click.command()
@smoke_option(channels="8", words="5", rounds=1)
@click.option("--channels", default="64,128,512", show_default=True)
@click.option("--words", default="12,29,80", show_default=True)
@click.option("--rounds", default=15, show_default=True)
def main(channels: str, words: str, rounds: int) -> None:
    """CPU milliseconds a sentence, kernel 3, 11 relation tags. `ratio`: taps over conv, geometric mean."""
    rows, ratios = [], []
    rng = np.random.default_rng(0)
    for count in map(int, channels.split(",")):
        torch.manual_seed(0)
        layer = TapConv(count, 11, 3)
        with tempfile.TemporaryDirectory() as folder:
            sessions = {way: session(way, layer, Path(folder)) for way in WAYS}
        for length in map(int, words.split(",")):
            table = rng.standard_normal((1, length, length, count)).astype(np.float32)
            works = [partial(sessions[way].run, None, {"table": table}) for way in WAYS]
            seconds = dict(zip(WAYS, cpu_seconds(works, rounds), strict=True))
            rows.append({"channels": count, "words": length, **{way: round(1000 * s, 3) for way, s in seconds.items()}})
            ratios.append(seconds["taps"] / seconds["conv"])
            print(rows[-1], flush=True)
    report("taps", {"ratio": round(statistics.geometric_mean(ratios), 2), "rows": rows})


if __name__ == "__main__":
    main()
