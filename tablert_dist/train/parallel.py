"""A model behind DDP, with the word embeddings' gradient sent as the rows that the batch has touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tablert_dist.gpu import Gradients
from tablert_dist.model import TableModel
from tablert_dist.train.features import Features, to_device


class Parallel:
    """`module` is to be called in the place of `trainable`; `reduce` completes each step's gradients.

    Half of a small encoder's parameters are its vocabulary, of which a batch uses a few hundred rows; the rest of that
    gradient is zero on every worker and need not travel.

    Where passes are recorded there is no DDP around the module, whose hooks cannot be recorded with gloo or an older NCCL:
    the gradients lie in one buffer, which is added up after the pass.
    """

    def __init__(self, trainable: nn.Module, model: TableModel, world_size: int, recorded: bool = False) -> None:
        self.module, self.world_size = trainable, world_size
        self.apart: list[nn.Parameter] = []
        """Parameters whose gradient is sent by rows."""
        if world_size == 1:
            return
        if not model.encoder.frozen:
            embeddings = cast(Any, model.encoder.transformer).get_input_embeddings()
            self.apart = [cast(nn.Parameter, embeddings.weight)]
        if recorded:
            for tensor in (*trainable.parameters(), *trainable.buffers()):
                dist.broadcast(tensor.data, 0)
            return
        for rows in self.apart:
            dist.broadcast(rows.data, 0)
        names = [name for name, p in trainable.named_parameters() if any(p is rows for rows in self.apart)]
        ignore = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
        ignore(trainable, names)  # type: ignore[no-untyped-call]
        self.module = DistributedDataParallel(trainable, gradient_as_bucket_view=True)

    def rows_of(self, features: Features, batch: Sequence[int]) -> Tensor | None:
        """The rows that are sent of the embeddings' gradient, on the host; None where none are.

        `batch` is the global one, so that every worker names the same rows.
        """
        return torch.from_numpy(features.subword_ids(batch)) if self.apart else None

    def reduce(self, rows: Tensor | None, gradients: Gradients | None = None) -> None:
        """Average over the workers what DDP does not: the rows, and `gradients` where there is no DDP."""
        if self.world_size == 1:
            return
        if gradients is not None:
            dist.all_reduce(gradients.together)
            gradients.together /= self.world_size
        if rows is not None:
            (parameter,) = self.apart
            gradient = cast(Tensor, parameter.grad)
            rows = to_device(rows, gradient.device)
            values = gradient.index_select(0, rows)
            dist.all_reduce(values)
            gradient.index_copy_(0, rows, values / self.world_size)
