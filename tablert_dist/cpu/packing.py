"""Several sentences through an encoder as one row without padding: attention runs on each sentence alone.

Every other layer of an encoder works on single subwords, so a row of T subwords costs what its subwords cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu.gemm import spare_rows
from tablert_dist.gpu import attention_switched, padding_mask

RUNS = "tablert_runs"
"""The name under which transformers finds `_attention`."""
MODEL_TYPES = {"bert", "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "electra", "ernie", "data2vec-text"}
"""Absolute positions and full attention. Elsewhere a window or a bias of positions may act on long sentences only."""
_runs: ContextVar[list[int] | None] = ContextVar("tablert_runs", default=None)


def enable_packing(transformer: nn.Module, positions_from: int) -> bool:
    """Let the encoder take packed rows; False, and nothing changed, where it cannot (tried on two short sentences)."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    config: Any = transformer.config
    if getattr(config, "_attn_implementation", None) != "sdpa" or config.model_type not in MODEL_TYPES:
        return False
    AttentionInterface.register(RUNS, _attention)
    AttentionMaskInterface.register(RUNS, padding_mask)
    ids = (torch.arange(3, 17) % int(config.vocab_size)).to(next(transformer.parameters()).device)
    return attention_switched(
        transformer,
        RUNS,
        lambda: torch.cat([transformer(input_ids=part[None]).last_hidden_state[0] for part in (ids[:9], ids[9:])]),
        lambda: packed_states(transformer, ids, [9, 5], positions_from),
        tolerance=1e-4,
    )


def packed_states(transformer: nn.Module, ids_T: Tensor, lengths: Sequence[int], positions_from: int) -> Tensor:
    """Hidden states [T, H] of sentences laid end to end; positions restart at `positions_from` for each."""
    spare = spare_rows(len(ids_T))
    # Spare subwords are a sentence of their own at the end, which nobody reads.
    runs = [*lengths, spare] if spare else list(lengths)
    positions = torch.cat([torch.arange(positions_from, positions_from + n) for n in runs]).to(ids_T.device)
    with _splitting(runs):
        row = F.pad(ids_T, (0, spare))[None]
        states: Tensor = transformer(input_ids=row, position_ids=positions[None]).last_hidden_state[0]
    return states[: len(ids_T)]


def same_runs() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts for a layer's pass forward and its repetition in the backward pass, which must split the row as the first
    did: `context_fn` of `torch.utils.checkpoint`."""
    return nullcontext(), _splitting(_runs.get())


@contextmanager
def _splitting(lengths: list[int] | None) -> Iterator[None]:
    token = _runs.set(lengths)
    try:
        yield
    finally:
        _runs.reset(token)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **kwargs: Any
) -> tuple[Tensor, None]:
    """transformers' own SDPA, for each run of a packed row by itself. Axes: [1, heads, T, width of a head]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    lengths = _runs.get()
    if lengths is None:
        whole: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
        return whole
    if attention_mask is not None:
        raise ValueError("this encoder builds a mask of its own; it cannot take packed rows")
    parts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    return torch.cat([sdpa_attention_forward(module, q, k, v, None, **kwargs)[0] for q, k, v in parts], 1), None
