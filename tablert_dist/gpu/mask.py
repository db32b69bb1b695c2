"""The mask of padded attention made without looking at it: the host would wait for the card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tablert_dist.gpu.path import on_cpu_path

PADDED = "tablert_padded"
"""The name under which transformers finds its own SDPA with our mask."""


def attention_switched(
    transformer: Any, implementation: str, usual: Callable[[], Tensor], ours: Callable[[], Tensor], tolerance: float
) -> bool:
    """Set an attention implementation where `ours` under it gives what `usual` gave before; else change nothing.

    Both run in evaluation mode, without gradients. Returns whether it is set.
    """
    before, was_training = transformer.config._attn_implementation, transformer.training
    transformer.eval()
    with torch.no_grad():
        try:
            expected = usual()
            transformer.set_attn_implementation(implementation)
            same = torch.allclose(expected, ours(), atol=tolerance, rtol=tolerance)
        except (TypeError, ValueError, RuntimeError, IndexError, KeyError):
            same = False
    if not same:
        transformer.set_attn_implementation(before)
    transformer.train(was_training)
    return same


def enable_waitless_mask(transformer: nn.Module) -> bool:
    """Let an encoder that does not pack build its mask without looking at it; False, and nothing changed, where it cannot."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface

    config: Any = transformer.config
    if getattr(config, "_attn_implementation", None) != "sdpa":
        return False
    AttentionInterface.register(PADDED, sdpa_attention_forward)
    AttentionMaskInterface.register(PADDED, padding_mask)
    ids = (torch.arange(10) % int(config.vocab_size)).view(2, 5).to(next(transformer.parameters()).device)
    mask = torch.ones_like(ids)
    mask[1, 3:] = 0

    def padded() -> Tensor:
        states: Tensor = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    return attention_switched(transformer, PADDED, padded, padded, tolerance=1e-5)


def padding_mask(*args: Any, **kwargs: Any) -> Tensor | None:
    """transformers' mask for SDPA. It asks whether anything is padded at all, for which the host waits for a GPU: there
    the mask is always made (transformers 5.23, `masking_utils._ignore_bidirectional_mask_sdpa`, transformers#41265; delete
    when it can be told not to look)."""
    from transformers.masking_utils import sdpa_mask

    given = kwargs.get("attention_mask")
    if given is not None and not on_cpu_path(given):
        kwargs["allow_is_bidirectional_skip"] = False
    mask: Tensor | None = sdpa_mask(*args, **kwargs)
    return mask
