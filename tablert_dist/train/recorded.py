"""Passes forward and back that a GPU launches as one CUDA graph for each shape of a batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import chain, islice

import torch
from torch import Tensor, nn

from tablert_dist.batching import rank_share, training_batches
from tablert_dist.config import Config
from tablert_dist.errors import first_line, is_out_of_memory
from tablert_dist.gpu import Gradients, Ladder, Recorder, Recording, Sizes, Work, is_cpu_path
from tablert_dist.model import TableModel
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.step import Piece, loss_of, pass_piece, split_share

log = logging.getLogger(__name__)
Key = tuple[bool, tuple[tuple[int, ...], ...]]
"""Whether it is a step's first pass, and the shapes of its tensors."""
BATCHES = 200
"""Of a training's batches, those whose sizes are looked at to choose a few."""


def can_record(model: TableModel, config: Config, context: TrainContext) -> bool:
    """Return whether passes are recorded: by the GPU's path, for a head whose batches can be padded to a few shapes.

    Gradient checkpointing looks at the random state, which cannot be recorded; Apple's GPU has no graphs.
    """
    return (
        config.train.cuda_graphs
        and not is_cpu_path(context.device)
        and context.device.type != "mps"
        and model.scheme.has_room
        and not config.model.gradient_checkpointing
    )


def ladder_of(examples: Examples, config: Config, seed: int, world_size: int) -> Ladder:
    """The sizes that the batches of a training are padded to; the same for every worker, and after a resume."""
    lengths, train = examples.features.lengths, config.train
    epochs = range(math.ceil(BATCHES * train.batch_size / len(lengths)))
    batches = chain.from_iterable(
        training_batches(lengths, train.batch_size, train.bucket, seed, epoch) for epoch in epochs
    )
    found: list[Sizes] = []
    for batch in islice(batches, BATCHES):
        for share in (rank_share(batch, lengths, rank, world_size) for rank in range(world_size)):
            found += [examples.features.sizes(part) for part in split_share(share, lengths, train.accumulation)]
    rows = max(sizes.rows for sizes in found)
    whole = examples.features.sizes(range(len(lengths)))
    return Ladder(found, Sizes(whole.words, whole.subwords, whole.pieces, rows))


class RecordedPasses:
    """Adds pieces to the gradients of `module`, each shape recorded when it comes first.

    Where CUDA cannot record, a line is logged, and the passes are launched operator by operator from then on.
    """

    def __init__(self, module: nn.Module, context: TrainContext, apart: Sequence[nn.Parameter] = ()) -> None:
        self._module, self._context, self._apart = module, context, apart
        self._recorder = Recorder(context.device)
        self._recordings: dict[Key, Recording] = {}
        self._gives_up = False
        self.gradients: Gradients | None = None
        """There after the first pass."""

    def __call__(self, pieces: Sequence[Piece]) -> Tensor:
        """Put the gradients of these pieces in the place of those that are there; the loss as `pass_pieces` has it."""
        return torch.stack([self._pass(piece, first=not i) for i, piece in enumerate(pieces)]).sum()

    def warm_up(self, pieces: Sequence[Piece]) -> int:
        """Record the shapes of these pieces now; return how many are new. Gradients and random state stay as they are."""
        before = len(self._recordings)
        for i, piece in enumerate(pieces):
            self._recording(piece, first=not i)
        return len(self._recordings) - before

    def _pass(self, piece: Piece, first: bool) -> Tensor:
        recording = self._recording(piece, first)
        if recording is not None:
            return recording(piece.tensors())
        assert self.gradients is not None
        if first:
            self.gradients.clear()
        return pass_piece(self._module, piece.on(self._context.device), self._context)

    def _recording(self, piece: Piece, first: bool) -> Recording | None:
        """That of the piece's shapes; None where it is not to be recorded. The `first` of a step begins the gradients."""
        self._make_gradients(piece)
        if self._gives_up or piece.weight != 1.0:
            return None
        key = first, tuple(tuple(tensor.shape) for tensor in piece.tensors())
        if key not in self._recordings:
            self._record(piece, first, key)
        return self._recordings.get(key)

    def _record(self, piece: Piece, first: bool, key: Key) -> None:
        assert self.gradients is not None
        try:
            with self.gradients.kept():
                self._recordings[key] = self._recorder.record(self._work(piece, first), piece.tensors())
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._gives_up = True
            said = first_line(error)
            log.warning("CUDA cannot record a training step (%s): it is launched operator by operator", said)

    def _work(self, piece: Piece, first: bool) -> Work:
        gradients = self.gradients
        assert gradients is not None

        def work(tensors: Sequence[Tensor]) -> Tensor:
            loss = loss_of(self._module, piece.replaced(tensors), self._context)
            # Not .backward(), which would add parameter by parameter: 200 kernels.
            gradients.take(torch.autograd.grad(loss * self._context.world_size, gradients.parameters), add=not first)
            return loss.detach()

        return work

    def _make_gradients(self, piece: Piece) -> None:
        """Find out which parameters get a gradient, and give it a place that does not move."""
        if self.gradients is not None:
            return
        with self._recorder.drawing_nothing():
            pass_piece(self._module, piece.on(self._context.device), self._context)
        reached = [parameter for parameter in self._module.parameters() if parameter.grad is not None]
        self.gradients = Gradients(reached, self._apart)
