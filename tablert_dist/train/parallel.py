"""A model behind DDP, with the word embeddings' gradient sent as the rows that the batch has touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tablert_dist.model import TableModel
from tablert_dist.train.features import Features, to_device


class Parallel:
    """`module` is to be called in the place of `trainable`; `reduce_rows` completes each step's gradients.

    Half of a small encoder's parameters are its vocabulary, of which a batch uses a few hundred rows; the rest of that
    gradient is zero on every worker and need not travel.
    """

    def __init__(self, trainable: nn.Module, model: TableModel, world_size: int) -> None:
        self.module, self.world_size = trainable, world_size
        self._rows: nn.Parameter | None = None
        if world_size == 1:
            return
        if not model.encoder.frozen:
            embeddings = cast(Any, model.encoder.transformer).get_input_embeddings()
            self._rows = cast(nn.Parameter, embeddings.weight)
            dist.broadcast(self._rows.data, 0)
            names = [name for name, parameter in trainable.named_parameters() if parameter is self._rows]
            ignore = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
            ignore(trainable, names)  # type: ignore[no-untyped-call]
        self.module = DistributedDataParallel(trainable, gradient_as_bucket_view=True)

    def reduce_rows(self, features: Features, batch: Sequence[int]) -> None:
        """Average the touched rows of the embeddings' gradient over the workers, as DDP does with the rest.

        `batch` is the global one, so that every worker names the same rows.
        """
        if self._rows is None:
            return
        gradient = cast(Tensor, self._rows.grad)
        rows = to_device(torch.from_numpy(features.subword_ids(batch)), gradient.device)
        values = gradient.index_select(0, rows)
        dist.all_reduce(values)
        gradient.index_copy_(0, rows, values / self.world_size)
