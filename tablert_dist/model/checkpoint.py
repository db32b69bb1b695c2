"""One folder = one model: weights, configuration, schema, tokenizer, encoder's architecture, and the trainer's state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tablert_dist import __version__
from tablert_dist.config import ModelConfig
from tablert_dist.errors import InputError
from tablert_dist.model import TableModel
from tablert_dist.model.encoder import WordEncoder, build_encoder
from tablert_dist.model.model import assemble
from tablert_dist.schema import Schema
from tablert_dist.storage.atomic import sha256, whole_folder, write_json, write_text
from tablert_dist.storage.checkpoint_folder import META, TRAINER, WEIGHTS
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer, read_tokenizer


@dataclass(frozen=True)
class ModelCard:
    """What belongs to the weights: the public configuration, the schema, the tokenizer, and how they were made."""

    config: Mapping[str, Any]
    schema: Schema
    tokenizer: SubwordTokenizer
    pad_id: int
    notes: Mapping[str, Any]
    """Epoch, scores, protocol: whatever describes the training, as JSON."""

    @property
    def model(self) -> ModelConfig:
        """The part of the configuration that the weights are of."""
        return ModelConfig.model_validate(self.config["model"], strict=False)


def save_checkpoint(folder: Path, model: TableModel, card: ModelCard, trainer: Mapping[str, Any] | None = None) -> None:
    """Write the folder whole or not at all; an older one of that name is replaced.

    `trainer` (epoch and optimiser state) makes it one that training can go on from. Raises RunError where the disk is
    full, with what was written so far removed.
    """
    advice = "the older checkpoints there are whole: make room and go on with --resume"
    with whole_folder(folder, advice) as part:
        (part / "encoder").mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, part / WEIGHTS)
        model.encoder.transformer.config.save_pretrained(part / "encoder")  # type: ignore[union-attr, operator]
        write_text(part / "tokenizer.json", card.tokenizer.to_json())
        if trainer is not None:
            torch.save(dict(trainer), part / TRAINER)
        files = sorted(p for p in part.rglob("*") if p.is_file())
        meta = {
            "format": 1,
            "version": __version__,
            "config": dict(card.config),
            "schema": card.schema.to_json(),
            "subword_limit": card.tokenizer.limit,
            "pad_id": card.pad_id,
            "notes": dict(card.notes),
            "files": {p.relative_to(part).as_posix(): sha256(p) for p in files},
        }
        write_json(part / META, meta)


def load_checkpoint(folder: Path, device: str = "cpu") -> tuple[TableModel, ModelCard]:
    """The model in evaluation mode. Raises InputError where a file is missing or damaged."""
    card = read_card(folder)
    encoder = WordEncoder(build_encoder(folder / "encoder"), card.model.frozen)
    model = assemble(card.model, encoder, TagSet(card.schema))
    load_weights(model, folder)
    return model.to(device).eval(), card


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put the folder's weights into the model. Raises InputError where they do not fit."""
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"checkpoint {folder}: its weights cannot be loaded: {reason}") from None


def read_card(folder: Path) -> ModelCard:
    """Everything but the weights. Raises InputError where a file is missing or damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        return ModelCard(
            meta["config"],
            Schema.from_json(meta["schema"]),
            read_tokenizer(folder / "tokenizer.json", meta["subword_limit"]),
            meta["pad_id"],
            meta["notes"],
        )
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"checkpoint {folder}: {Path(error.filename).name} is missing") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"checkpoint {folder}: {META} is damaged ({error})") from None


def read_trainer(folder: Path) -> dict[str, Any]:
    """The trainer's state: `epoch` and `optimizer`."""
    return dict(torch.load(folder / TRAINER, map_location="cpu", weights_only=True))


def drop_trainer(folder: Path) -> None:
    """Remove the optimiser state, two thirds of the folder, from a checkpoint that is no longer the newest."""
    (folder / TRAINER).unlink(missing_ok=True)
