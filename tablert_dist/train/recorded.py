"""Passes forward and back that a GPU launches as one CUDA graph for each shape of a batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from itertools import chain, islice

import torch
from torch import Tensor, nn

from tablert_dist.batching import rank_share, training_batches
from tablert_dist.config import Config
from tablert_dist.errors import is_out_of_memory
from tablert_dist.gpu import Gradients, Ladder, Recorder, Recording, Sizes, is_cpu_path
from tablert_dist.model import TableModel
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.step import Piece, pass_piece, split_share

log = logging.getLogger(__name__)
Shapes = tuple[tuple[int, ...], ...]
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
            parts = split_share(share, lengths, train.accumulation) if share else []
            found += [examples.features.sizes(part) for part in parts]
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
        self._recordings: dict[Shapes, Recording] = {}
        self._gives_up = False
        self.gradients: Gradients | None = None
        """There after the first pass."""

    def __call__(self, pieces: Sequence[Piece]) -> Tensor:
        """As `pass_pieces`."""
        return torch.stack([self._pass(piece) for piece in pieces]).sum()

    def warm_up(self, pieces: Sequence[Piece]) -> int:
        """Record the shapes of these pieces now; return how many are new. Gradients and random state stay as they are."""
        before = len(self._recordings)
        for piece in pieces:
            self._recording(piece)
        return len(self._recordings) - before

    def _pass(self, piece: Piece) -> Tensor:
        recording = self._recording(piece)
        if recording is None:
            return pass_piece(self._module, piece.on(self._context.device), self._context)
        return recording(piece.tensors())

    def _recording(self, piece: Piece) -> Recording | None:
        """That of the piece's shapes; None where it is not to be recorded."""
        self._make_gradients(piece)
        if self._gives_up or piece.weight != 1.0:
            return None
        shapes = tuple(tuple(tensor.shape) for tensor in piece.tensors())
        if shapes not in self._recordings:
            self._record(piece, shapes)
        return self._recordings.get(shapes)

    def _record(self, piece: Piece, shapes: Shapes) -> None:
        assert self.gradients is not None
        work = self._work(piece)
        try:
            with self.gradients.kept():
                self._recordings[shapes] = self._recorder.record(work, piece.tensors())
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            self._gives_up = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            log.warning("CUDA cannot record a training step (%s): it is launched operator by operator", reason)

    def _work(self, piece: Piece) -> Callable[[Sequence[Tensor]], Tensor]:
        return lambda tensors: pass_piece(self._module, piece.replaced(tensors), self._context)

    def _make_gradients(self, piece: Piece) -> None:
        """Find out which parameters get a gradient, and give it a place that does not move."""
        if self.gradients is not None:
            return
        with self._recorder.drawing_nothing():
            pass_piece(self._module, piece.on(self._context.device), self._context)
        reached = [parameter for parameter in self._module.parameters() if parameter.grad is not None]
        self.gradients = Gradients(reached, self._apart)
