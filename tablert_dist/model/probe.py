"""What an encoder's architecture can do, asked of a small twin: one layer of random weights and few subwords, before any data
are read."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from tablert_dist.errors import InputError, first_line
from tablert_dist.tokenization import first_position, pad_id, subword_limit

log = logging.getLogger(__name__)
ANOTHER = "take another, such as BERT, RoBERTa, DeBERTa or ModernBERT"
NO_GRAPH = {
    "gpt2": "torch.onnx writes a product that onnxruntime refuses",
    "longformer": "torch.onnx cannot follow the number of its windows",
    "xlnet": "torch.onnx cannot follow the arithmetic on its mask",
}
"""Architectures whose graph torch.onnx refuses (torch 2.13)."""
WITHOUT_TABLE = 512
"""Limit of an encoder that has no table of positions and states none."""
ROW = 24
"""Subwords of the longer row of the probe's batch."""
PROBED = 1024
"""Positions counted as a function of place have no row that could be missing: longer rows of such encoders are not run."""
MOVED_A_LITTLE, MOVED = 1e-3, 0.5
"""How far a sentence's states, about 1 large, move by the padding beside it: what is said, and what is refused."""
HIGHEST = 500
"""Ids of special tokens above this are made smaller: a twin's vocabulary need not reach them."""


@dataclass(frozen=True)
class Positions:
    """Subwords with the special tokens of the longest input, and the position of its first one."""

    limit: int
    first: int


def probe(source: str, config: Any, trusted: bool = False) -> Positions:
    """Return the positions that an encoder of this configuration has.

    `source`: its name, for messages. `trusted`: code of its author's may run. Raises InputError where it gives no states of
    subwords, or other ones when there is padding beside them.
    """
    kind = config.model_type
    if kind in NO_GRAPH:
        raise InputError(
            f"encoder '{source}' ({kind}) would train and could not be exported: {NO_GRAPH[kind]}; {ANOTHER}"
        )
    if getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"encoder '{source}' ({kind}) is an encoder with a decoder, which reads a second text; {ANOTHER}"
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad(), _refused(source, kind):
        torch.manual_seed(0)
        try:
            twin = _twin(config, trusted)
        except Exception:
            if not trusted:
                raise
            # Code of its author's may know one size alone.
            return Positions(subword_limit(config), first_position(config))
        positions = positions_of(twin)
        first = 1 + max(_special(config).values(), default=0)
        longest = positions.limit if position_table(twin) is not None else min(positions.limit, PROBED)
        ids = first + torch.arange(max(ROW, longest)) % (int(twin.config.vocab_size) - first)
        row = min(ROW, positions.limit)
        states = _states(twin, ids[None, :row])
        width = int(getattr(config, "hidden_size", 0))
        if states.shape[-1] != width:
            raise ValueError(f"its states are {states.shape[-1]} wide, its configuration says {width}")
        moved = _moved_by_padding(twin, ids[:row])
        if not moved < MOVED:
            raise ValueError(f"the padding beside a sentence changes its states (by {moved:.2g})")
        _states(twin, ids[None, :longest])
    if moved > MOVED_A_LITTLE:
        log.warning(
            "encoder '%s' (%s): the padding beside a sentence moves its states (by %.2g), so that probabilities depend on what "
            "is read with it", source, kind, moved,
        )  # fmt: skip
    return positions


def positions_of(transformer: nn.Module) -> Positions:
    """The positions of an encoder, as its own table of them says; without one, as its configuration does."""
    config: Any = transformer.config
    stated = int(getattr(config, "max_position_embeddings", 0) or 0)
    table: Any = position_table(transformer)
    if table is None:
        return Positions(stated if stated > 0 else WITHOUT_TABLE, 0)
    # RoBERTa's kind: the padding has a position, and the first subword the one behind it.
    first = 0 if table.padding_idx is None else int(table.padding_idx) + 1
    rows = len(table.weight) - first
    return Positions(min(rows, stated) if stated > 0 else rows, first)


def position_table(transformer: nn.Module) -> nn.Module | None:
    """The learned table of absolute positions; None where positions are relative or computed."""
    for name, module in transformer.named_modules():
        if name.rpartition(".")[2] in {"position_embeddings", "wpe"} and hasattr(module, "padding_idx"):
            return cast(nn.Module, module)
    return None


def freeze_unread(transformer: nn.Module) -> None:
    """Take the gradient off parameters that a text reaches nothing of, such as LUKE's of entities: DDP refuses them."""
    ids = 1 + torch.arange(ROW)[None] % (int(cast(Any, transformer.config).vocab_size) - 1)
    training = transformer.training
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        _states(transformer.eval(), ids).sum().backward()
    for parameter in transformer.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    transformer.train(training)


def _twin(config: Any, trusted: bool) -> Any:
    """The smallest model of this architecture that can be made."""
    from transformers import AutoModel

    special = _special(config)
    small = {**special, "vocab_size": max(special.values(), default=0) + ROW}

    depth = getattr(config, "num_hidden_layers", None)
    one = {k: v[:1] for k, v in config.to_dict().items() if isinstance(v, list) and len(v) == depth}

    def made(sizes: Mapping[str, Any]) -> Any:
        changed = type(config).from_dict({**config.to_dict(), **sizes})
        return AutoModel.from_config(changed, trust_remote_code=trusted, dtype=torch.float32).eval()

    try:
        return made({**small, **one, "num_hidden_layers": 1})
    except Exception:
        # Some divide by layers − 1.
        return made(small)


def _special(config: Any) -> dict[str, int]:
    """Ids of the special tokens, which architectures want inside the vocabulary, for a small one."""
    ids = {k: v for k, v in config.to_dict().items() if k.endswith("token_id") and type(v) is int}
    return {key: value if value <= HIGHEST else value % HIGHEST for key, value in ids.items()}


def _states(transformer: Any, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    mask = torch.ones_like(ids) if mask is None else mask
    found = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
    if found is None or found.shape[:2] != ids.shape:
        raise ValueError("it has no state for each subword")
    return cast(Tensor, found)


def _moved_by_padding(transformer: Any, ids: Tensor) -> float:
    short = max(1, len(ids) // 3)
    alone = _states(transformer, ids[None, :short])
    there = torch.arange(len(ids)) < short
    rows = torch.stack([ids, ids.where(there, pad_id(transformer.config))])
    masks = torch.stack([torch.ones_like(ids), there.long()])
    return float((_states(transformer, rows, masks)[1, :short] - alone[0]).abs().max())


@contextmanager
def _refused(source: str, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Whatever an architecture raises that wants other inputs.
        raise InputError(f"encoder '{source}' ({kind}) cannot be used: {first_line(error)}; {ANOTHER}") from None
