"""Any Hugging Face encoder as word vectors: hidden states of layer l, max-pooled over each word's subwords (eq. 1).

Axes: B batch, S subwords, P subwords of a word, N words, H encoder width.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tablert_dist.cpu import enable_packing, packed_states, same_runs, speed_up
from tablert_dist.errors import InputError
from tablert_dist.gpu import enable_waitless_mask, on_cpu_path
from tablert_dist.model.check import as_input_error, check_encoder
from tablert_dist.model.probe import positions_of
from tablert_dist.tokenization import SubwordTokenizer, pad_id
from tablert_dist.waiting import waiting

log = logging.getLogger(__name__)
LOWEST = -1e4
"""Below every hidden state, and representable in fp16, which −inf arithmetic is not."""


class WordEncoder(nn.Module):
    """Word vectors [B, N, H]; rows without a word are zero.

    Frozen means no gradient and no dropout inside, so that a sentence's vectors never change and can be kept.
    """

    def __init__(self, transformer: nn.Module, frozen: bool) -> None:
        super().__init__()
        self.transformer = transformer
        self.frozen = frozen
        self.positions_from = positions_of(transformer).first
        speed_up(transformer)
        self.packs = enable_packing(transformer, self.positions_from)
        if not self.packs:
            enable_waitless_mask(transformer)
        if frozen:
            self.transformer.requires_grad_(False)
            self.transformer.eval()

    def keep_less(self) -> None:
        """Compute each layer again in the backward pass instead of keeping its activations.

        Raises InputError where the architecture cannot.
        """
        transformer: Any = self.transformer
        if not getattr(transformer, "supports_gradient_checkpointing", False):
            raise InputError(
                f"model.gradient_checkpointing: the encoder's architecture ({transformer.config.model_type}) has none in "
                f"transformers; leave it false, and raise train.accumulation to save memory"
            )
        # An encoder keeps no keys for a next token; transformers would say so at every step.
        transformer.config.use_cache = False
        transformer.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": same_runs})

    @property
    def width(self) -> int:
        """H."""
        return int(self.transformer.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def train(self, mode: bool = True) -> WordEncoder:
        """As `nn.Module.train`, but a frozen encoder stays without dropout."""
        super().train(mode)
        if self.frozen:
            self.transformer.eval()
        return self

    def forward(self, input_ids_BS: Tensor, attention_mask_BS: Tensor, word_subwords_BNP: Tensor) -> Tensor:
        """[B, N, H]. On a CPU without padding, as one row, where the encoder can (cpu/packing.py)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.packs and on_cpu_path(input_ids_BS):
                return self._packed(input_ids_BS, attention_mask_BS, word_subwords_BNP)
            states = self.transformer(input_ids=input_ids_BS, attention_mask=attention_mask_BS).last_hidden_state
        return pool_words(states, word_subwords_BNP)

    def _packed(self, input_ids_BS: Tensor, attention_mask_BS: Tensor, word_subwords_BNP: Tensor) -> Tensor:
        lengths: list[int] = attention_mask_BS.sum(1).tolist()
        ids = input_ids_BS[attention_mask_BS.bool()]
        states = packed_states(self.transformer, ids, lengths, self.positions_from)
        starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)[:, None, None]
        in_the_row = torch.where(word_subwords_BNP >= 0, word_subwords_BNP + starts, -1)
        B, N, P = word_subwords_BNP.shape
        return pool_words(states[None], in_the_row.view(1, B * N, P)).view(B, N, -1)


def pool_words(states_BSH: Tensor, word_subwords_BNP: Tensor) -> Tensor:
    """Max over each word's subwords, [B, N, H]; zero where there is no word."""
    B, N, P = word_subwords_BNP.shape
    there = word_subwords_BNP >= 0
    index = word_subwords_BNP.clamp(min=0).view(B, N * P, 1).expand(-1, -1, states_BSH.shape[2])
    pieces = states_BSH.gather(1, index).view(B, N, P, -1)
    pooled = pieces.masked_fill(~there[..., None], LOWEST).amax(2)
    return pooled * there.any(-1)[..., None].to(pooled.dtype)


@dataclass(frozen=True)
class EncoderParts:
    """A transformer with the tokenizer, the padding id and the limit that belong to it."""

    transformer: nn.Module
    tokenizer: SubwordTokenizer
    pad_id: int


def load_encoder(source: str, layer: int | None = None, trust_remote_code: bool = False) -> EncoderParts:
    """Load an encoder without the layers above `layer`.

    Raises InputError as `check_encoder`, and where its hidden state l is not what its first l layers give.
    """
    text = check_encoder(source, layer, trust_remote_code)
    kept: dict[str, Any] = {} if layer is None else {"num_hidden_layers": layer}
    with as_input_error(source), waiting(_loading(source, text.place)):
        transformer = _pretrained(text.place, trust_remote_code=trust_remote_code, **kept)
        if layer is not None and layer < text.config.num_hidden_layers:
            _check_truncation(text.place, transformer, layer, source, trust_remote_code)
    return EncoderParts(transformer, text.tokenizer, pad_id(text.config))


def _loading(source: str, place: str) -> str:
    return f"loading the encoder {source}" + ("" if Path(place).exists() else " (the first time it is downloaded)")


def _pretrained(place: str, *, trust_remote_code: bool, **kept: Any) -> nn.Module:
    """The weights, without a progress bar of their own."""
    from transformers import AutoModel
    from transformers.utils import logging as noise

    noise.disable_progress_bar()
    # A file of weights in half precision would make a model in it, whose products with the head's torch refuses.
    return _without_pooler(
        AutoModel.from_pretrained(place, trust_remote_code=trust_remote_code, dtype=torch.float32, **kept)
    )


def build_encoder(config_folder: Path) -> nn.Module:
    """The architecture of a saved encoder, weights not loaded; never with code of its own."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(str(config_folder), trust_remote_code=False)
    return _without_pooler(AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32))


def _without_pooler(transformer: Any) -> nn.Module:
    if getattr(transformer, "pooler", None) is not None:
        # Its output is never read, and DDP refuses parameters that get no gradient. Some architectures call it all the same.
        transformer.pooler = _NoPooler()
    assert isinstance(transformer, nn.Module)
    return transformer


class _NoPooler(nn.Module):
    def forward(self, states: Tensor, *_: Any, **__: Any) -> Tensor:
        """As it came."""
        return states


def _check_truncation(place: str, transformer: nn.Module, layer: int, source: str, trusted: bool) -> None:
    """An architecture with a final norm gives another hidden state when it is cut; say so instead of training on it."""
    whole = _pretrained(place, trust_remote_code=trusted).eval()
    ids = torch.arange(1, 9)[None] % int(whole.config.vocab_size)  # type: ignore[union-attr, arg-type]
    was_training = transformer.training
    with torch.no_grad():
        expected = whole(input_ids=ids, output_hidden_states=True).hidden_states[layer]
        found = transformer.eval()(input_ids=ids).last_hidden_state
    transformer.train(was_training)
    if not torch.allclose(expected, found, atol=1e-5, rtol=1e-4):
        raise InputError(
            f"model.layer = {layer}: cut to {layer} layers, the encoder '{source}' does not "
            f"give its hidden state {layer}; leave model.layer unset for this architecture"
        )
