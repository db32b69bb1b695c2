"""The first layer: nn.Conv2d over the table of word pairs against the factorised layer, same weights, same result."""

from __future__ import annotations

import click
import torch
from torch import nn

from bench.options import smoke_option
from bench.timing import interleaved, report
from tablert_dist.cpu import keep_pages
from tablert_dist.heads.cnn.pair_conv import PairConv


@click.command()
@smoke_option(hidden=32, channels=16, words=8, batch=2, backward=True, repeats=1)
@click.option("--hidden", default=768, show_default=True, help="Width of a word vector.")
@click.option("--channels", default=512, show_default=True)
@click.option("--kernel", default=3, show_default=True)
@click.option("--words", default=50, show_default=True)
@click.option("--batch", default=1, show_default=True)
@click.option("--backward", is_flag=True, help="Forward and backward.")
@click.option("--repeats", default=5, show_default=True)
def main(hidden: int, channels: int, kernel: int, words: int, batch: int, backward: bool, repeats: int) -> None:
    """Print both medians and their ratio."""
    keep_pages()
    torch.manual_seed(0)
    layer = PairConv(hidden, channels, kernel)
    dense = nn.Conv2d(2 * hidden, channels, kernel, padding=kernel // 2)
    with torch.no_grad():
        dense.weight.copy_(layer.dense_weight())
        dense.bias.copy_(layer.bias)
    vectors = torch.randn(batch, words, hidden, requires_grad=backward)
    mask = torch.ones(batch, words, dtype=torch.bool)
    probe = torch.randn(batch, words, words, channels)

    def run(factorised: bool) -> torch.Tensor:
        with torch.set_grad_enabled(backward):
            if factorised:
                table = layer(vectors, vectors, mask)
            else:
                shape = (batch, words, words, hidden)
                pairs = torch.cat([vectors[:, :, None].expand(shape), vectors[:, None].expand(shape)], -1)
                table = dense(pairs.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            if backward:
                table.backward(probe)
        return table.detach()

    torch.testing.assert_close(run(False), run(True), atol=1e-4, rtol=1e-4)
    shape = {"hidden": hidden, "channels": channels, "kernel": kernel, "words": words, "batch": batch}
    report("pair_conv", {**interleaved(lambda: run(False), lambda: run(True), repeats), **shape, "backward": backward})


if __name__ == "__main__":
    main()
