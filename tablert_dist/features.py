"""Where a batch's tensors come from: subwords for a model that trains its encoder, kept word vectors for a frozen one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from tablert_dist.batching import evaluation_batches
from tablert_dist.encoding import EncodedSentence, collate
from tablert_dist.model.encoder import WordEncoder


class Features(Protocol):
    """A list of sentences as inputs of a module."""

    lengths: list[int]

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """The module's positional inputs for one batch of them."""
        ...


class SubwordFeatures:
    """For `TableModel`: input_ids, attention_mask, word_subwords."""

    def __init__(self, encoded: Sequence[EncodedSentence], pad_id: int) -> None:
        self._encoded, self._pad_id = encoded, pad_id
        self.lengths = [e.words for e in encoded]

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """[B, S], [B, S], [B, N, P]."""
        arrays = collate([self._encoded[i] for i in indices], self._pad_id).arrays()
        return tuple(to_device(torch.from_numpy(array), device) for array in arrays.values())


class WordFeatures:
    """For `TableHead`: word vectors computed once, and the mask of words. Frozen encoders only."""

    def __init__(self, encoder: WordEncoder, source: SubwordFeatures, max_cells: int, device: torch.device) -> None:
        self.lengths = source.lengths
        self._vectors: list[Tensor] = [torch.empty(0)] * len(self.lengths)
        with torch.no_grad():
            for batch in evaluation_batches(self.lengths, max_cells):
                words = encoder(*source.inputs(batch, device)).cpu()
                for row, index in enumerate(batch):
                    self._vectors[index] = words[row, : self.lengths[index]].clone()

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """[B, N, H], [B, N]."""
        vectors = [self._vectors[i] for i in indices]
        words = torch.nn.utils.rnn.pad_sequence(vectors, batch_first=True)
        lengths = torch.tensor([len(v) for v in vectors])
        mask = torch.arange(words.shape[1])[None] < lengths[:, None]
        return to_device(words, device), to_device(mask, device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """On a GPU through pinned memory, so that the copy overlaps with computing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
