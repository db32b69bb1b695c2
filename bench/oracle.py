"""What the fast paths are measured against: the table of word pairs built whole, and plain convolutions over it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.heads.cnn.module import TableHead


class DenseHead(TableHead):
    """The head of the same weights as the authors compute it: padded to the batch, N × N × 2H, `nn.Conv2d`.

    A `TableHead` in everything but its layers and `forward`: what training asks of a head (scheme, teacher inputs,
    loss) is inherited, so a change to that contract reaches this class too. Cells outside a sentence are set to zero
    before every layer, so that its logits are the fast head's. Raise ValueError if the head has other additions.
    """

    def __init__(self, head: TableHead) -> None:
        if head.distance is not None or head.bilinear is not None or head.from_hidden:
            raise ValueError("the dense head has neither distances nor a bilinear part, and reads tags from relations")
        nn.Module.__init__(self)
        # Every setting of the fast head, such as its scheme, dropout and loss weights; none of its layers.
        vars(self).update({name: value for name, value in vars(head).items() if name not in vars(self)})
        convolutions = [(head.pair.dense_weight(), head.pair.bias)]
        convolutions += [(layer.weight, layer.bias) for layer in head.middle]  # type: ignore[misc]
        if head.last is not None:
            convolutions.append((head.last.dense_weight(), head.last.bias))
        self.layers = nn.ModuleList(_conv(weight, bias) for weight, bias in convolutions)
        self.entity = nn.Linear(head.entity.in_features, head.entity.out_features)
        self.entity.load_state_dict(head.entity.state_dict())
        self.train(head.training)

    def forward(self, words_BNH: Tensor, mask_BN: Tensor) -> tuple[Tensor, Tensor]:
        """As `TableHead.forward`."""
        B, N, H = words_BNH.shape
        cells = (mask_BN[:, None, :, None] & mask_BN[:, None, None, :]).to(words_BNH.dtype)
        row, column = (F.dropout(words_BNH, self.dropout, self.training) for _ in range(2))
        pairs = torch.cat([row[:, :, None].expand(B, N, N, H), column[:, None].expand(B, N, N, H)], -1)
        table = pairs.permute(0, 3, 1, 2) * cells
        for layer in self.layers[:-1]:
            table = F.dropout2d(F.relu(layer(table)), self.dropout, self.training) * cells
        table = self.layers[-1](table).permute(0, 2, 3, 1)
        return self.entity(torch.diagonal(table, dim1=1, dim2=2).transpose(1, 2)), table


def _conv(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    outputs, inputs, side, _ = weight.shape
    layer = nn.Conv2d(inputs, outputs, side, padding=side // 2)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def same_logits(fast: TableHead, dense: nn.Module, words_BNH: Tensor, lengths: Sequence[int]) -> None:
    """Stop where the two heads do not agree on cells i ≤ j: a fast wrong answer is not measured."""
    mask = torch.arange(words_BNH.shape[1])[None] < torch.tensor(lengths)[:, None]
    modes = fast.training, dense.training
    with torch.no_grad():
        found, expected = fast.eval()(words_BNH, mask)[1], dense.eval()(words_BNH, mask)[1]
    fast.train(modes[0])
    dense.train(modes[1])
    for b, n in enumerate(lengths):
        upper = torch.ones(n, n, dtype=torch.bool).triu()
        torch.testing.assert_close(found[b, :n, :n][upper], expected[b, :n, :n][upper], atol=1e-4, rtol=1e-4)
