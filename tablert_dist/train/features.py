"""Where a batch's tensors come from: subwords for a model that trains its encoder, kept word vectors for a frozen one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from tablert_dist.batching import evaluation_batches, halving
from tablert_dist.errors import InputError, RunError, counted
from tablert_dist.gpu import Sizes, cells_on, in_memory
from tablert_dist.heads.base import Arrays
from tablert_dist.model.encoder import WordEncoder
from tablert_dist.storage.atomic import whole_file, writing
from tablert_dist.tokenization import EncodedSentence, collate
from tablert_dist.waiting import waiting

log = logging.getLogger(__name__)


class Features(Protocol):
    """A list of sentences as inputs of a module."""

    lengths: list[int]

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """The module's positional inputs for one batch of them."""
        ...

    def host(self, indices: Sequence[int], sizes: Sizes | None = None) -> tuple[Tensor, ...]:
        """As `inputs`, on the host, and padded to `sizes`."""
        ...

    def sizes(self, indices: Sequence[int]) -> Sizes:
        """The axes of one batch without padding; 0 for those that the inputs have not."""
        ...

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[Arrays, tuple[Tensor, ...]]:
        """One batch as the scheme's first stage has it in prediction, and as `inputs`."""
        ...

    def subword_ids(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """The ids that the encoder looks up for them, each once, sorted; with the padding's."""
        ...


class SubwordFeatures:
    """For `TableModel`: input_ids, attention_mask, word_subwords."""

    def __init__(self, encoded: Sequence[EncodedSentence], pad_id: int) -> None:
        self._encoded, self._pad_id = encoded, pad_id
        self.lengths = [e.words for e in encoded]

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """[B, S], [B, S], [B, N, P]."""
        return self.batch(indices, device)[1]

    def host(self, indices: Sequence[int], sizes: Sizes | None = None) -> tuple[Tensor, ...]:
        """As `Features.host`. A row without a sentence has one subword, padding, for attention to look at."""
        ids, mask, words = (torch.from_numpy(array) for array in self.arrays(indices).values())
        if sizes is None:
            return ids, mask, words
        ids = padded(ids, (sizes.rows, sizes.subwords), self._pad_id)
        mask = padded(mask, (sizes.rows, sizes.subwords), 0)
        mask[len(indices) :, 0].fill_(1)
        return ids, mask, padded(words, (sizes.rows, sizes.words, sizes.pieces), -1)

    def sizes(self, indices: Sequence[int]) -> Sizes:
        """As `Features.sizes`."""
        batch = [self._encoded[i] for i in indices]
        subwords, pieces = max(len(e.ids) for e in batch), max(int(e.count.max()) for e in batch)
        return Sizes(max(e.words for e in batch), subwords, pieces, len(batch))

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[Arrays, tuple[Tensor, ...]]:
        """As `Features.batch`."""
        arrays = self.arrays(indices)
        return arrays, tuple(to_device(torch.from_numpy(array), device) for array in arrays.values())

    def arrays(self, indices: Sequence[int]) -> Arrays:
        """input_ids, attention_mask and word_subwords of one batch."""
        return collate([self._encoded[i] for i in indices], self._pad_id).arrays()

    def update(self, digest: Any) -> None:
        """Add all sentences' ids to a hash."""
        for encoded in self._encoded:
            digest.update(encoded.ids.tobytes())
            digest.update(encoded.count.tobytes())

    def subword_ids(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """As `Features.subword_ids`."""
        # 0 fills up packed rows (cpu/packing.py).
        return np.unique(np.concatenate([np.asarray([0, self._pad_id]), *(self._encoded[i].ids for i in indices)]))


class KeptFeatures:
    """A folder of word vectors, a file for each split, named after the encoder's weights and the sentences."""

    def __init__(self, encoder: WordEncoder, folder: Path) -> None:
        self._folder = folder
        self._digest = sha256(str(encoder.transformer.config.to_json_string()).encode())  # type: ignore[operator, union-attr]
        for name, tensor in sorted(encoder.state_dict().items()):
            self._digest.update(name.encode())
            self._digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)

    def path(self, source: SubwordFeatures) -> Path:
        """The file of these sentences."""
        digest = self._digest.copy()
        source.update(digest)
        return self._folder / f"{digest.hexdigest()[:32]}.safetensors"


class WordFeatures:
    """For `TableHead`: word vectors computed once, and the mask of words. Frozen encoders only.

    With `kept`, the vectors lie in a file, where the other trials of a search find them.
    """

    def __init__(
        self,
        encoder: WordEncoder,
        source: SubwordFeatures,
        max_cells: int | None,
        device: torch.device,
        kept: KeptFeatures | None = None,
    ) -> None:
        self.lengths, self._source = source.lengths, source
        path = kept.path(source) if kept else None
        if path is None or not path.is_file():
            with waiting(f"computing the frozen encoder's vectors of {counted(len(self.lengths), 'sentence')}"):
                vectors = torch.cat(_encode(encoder, source, max_cells, device))
            if path is not None and not _kept(vectors, path):
                path = None
        if path is not None:
            vectors = load_file(path)["words"]
        self._vectors = vectors.split(self.lengths)

    def inputs(self, indices: Sequence[int], device: torch.device) -> tuple[Tensor, ...]:
        """[B, N, H], [B, N]."""
        words, mask = self.host(indices)
        return to_device(words, device), to_device(mask, device)

    def host(self, indices: Sequence[int], sizes: Sizes | None = None) -> tuple[Tensor, ...]:
        """As `Features.host`."""
        vectors = [self._vectors[i] for i in indices]
        words = torch.nn.utils.rnn.pad_sequence(vectors, batch_first=True)
        lengths = torch.tensor([len(v) for v in vectors])
        mask = torch.arange(words.shape[1])[None] < lengths[:, None]
        if sizes is None:
            return words, mask
        return padded(words, (sizes.rows, sizes.words, words.shape[2]), 0), padded(mask, (sizes.rows, sizes.words), 0)

    def sizes(self, indices: Sequence[int]) -> Sizes:
        """As `Features.sizes`."""
        return Sizes(max(self.lengths[i] for i in indices), 0, 0, len(indices))

    def batch(self, indices: Sequence[int], device: torch.device) -> tuple[Arrays, tuple[Tensor, ...]]:
        """As `Features.batch`."""
        return self._source.arrays(indices), self.inputs(indices, device)

    def subword_ids(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """None: the encoder is not called any more."""
        return np.empty(0, np.int64)


def _kept(vectors: Tensor, path: Path) -> bool:
    """Write the file; False, and a line, where it cannot be: it only spares others the same work."""
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            save_file({"words": vectors.contiguous()}, part)
        return True
    except (RunError, InputError) as error:
        log.warning("%s; the vectors are kept in memory, and every trial computes its own", error)
        return False


def _encode(encoder: WordEncoder, source: SubwordFeatures, max_cells: int | None, device: torch.device) -> list[Tensor]:
    """[N, H] of each sentence."""

    def encode(batch: list[int]) -> list[Tensor]:
        with in_memory(device):
            words = encoder(*source.inputs(batch, device)).cpu()
        return [words[row, : source.lengths[index]] for row, index in enumerate(batch)]

    with torch.no_grad():
        batches = evaluation_batches(source.lengths, cells_on(device, max_cells))
        found = dict(halving(encode, batches, source.lengths))
    return [found[index] for index in range(len(found))]


def padded(tensor: Tensor, shape: Sequence[int], fill: float) -> Tensor:
    """The tensor at the beginning of a larger one; itself where that would not be larger."""
    if tuple(tensor.shape) == tuple(shape):
        return tensor
    larger = torch.full(tuple(shape), fill, dtype=tensor.dtype)
    larger[tuple(slice(n) for n in tensor.shape)] = tensor
    return larger


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """On a GPU through pinned memory, so that the copy overlaps with computing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
