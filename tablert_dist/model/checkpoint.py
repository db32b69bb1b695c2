"""One folder = one model: weights, configuration, schema, tokenizer, encoder's architecture, and the trainer's state."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from tablert_dist import __version__
from tablert_dist.config import ModelConfig, saved_model
from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Constraints, read_constraints
from tablert_dist.heads.temperatures import Fitted, read_fitted, temperatures_of
from tablert_dist.model import TableModel
from tablert_dist.model.encoder import WordEncoder, build_encoder, load_encoder
from tablert_dist.model.model import assemble
from tablert_dist.schema import Schema
from tablert_dist.storage.atomic import sha256, whole_folder, write_json, write_text
from tablert_dist.storage.checkpoint_folder import (
    ENCODER,
    META,
    TOKENIZER,
    TRAINER,
    WEIGHTS,
    CheckpointRecord,
    checked_record,
    read_record,
    refuse_code,
)
from tablert_dist.storage.records import SEAL, parsed, read_object, sealed
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer, check_pad_id, read_tokenizer


@dataclass(frozen=True)
class ModelCard:
    """What belongs to the weights: the public configuration, the schema, the tokenizer, and how they were made."""

    config: Mapping[str, Any]
    schema: Schema
    tokenizer: SubwordTokenizer
    pad_id: int
    notes: Mapping[str, Any]
    """Epoch, scores, protocol: whatever describes the training, as JSON."""
    calibration: Fitted | None = None
    """None where no temperatures were fitted: they are 1 then."""
    constraints: Constraints | None = None
    """Of the training data; None of a checkpoint of an earlier version."""

    @property
    def model(self) -> ModelConfig:
        """The part of the configuration that the weights are of."""
        return ModelConfig.model_validate(saved_model(self.config["model"]), strict=False)


def save_checkpoint(folder: Path, model: TableModel, card: ModelCard, trainer: Mapping[str, Any] | None = None) -> None:
    """Write the folder whole or not at all; an older one of that name is replaced.

    `trainer` (epoch and optimiser state) makes it one that training can go on from. Raises RunError where the disk is
    full, with what was written so far removed.
    """
    advice = "the older checkpoints there are whole: make room and go on with --resume"
    with whole_folder(folder, advice) as part:
        (part / "encoder").mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, part / WEIGHTS)
        _save_encoder_config(model.encoder, part / "encoder")
        write_text(part / TOKENIZER, card.tokenizer.to_json())
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
            **({"calibration": card.calibration.to_json()} if card.calibration else {}),
            **({"constraints": card.constraints.to_json()} if card.constraints else {}),
            "files": {p.relative_to(part).as_posix(): sha256(p) for p in files},
        }
        write_json(part / META, sealed(meta))


def keep_calibration(folder: Path, fitted: Fitted) -> None:
    """Put temperatures into a checkpoint's record; its weights stay as they are. Raises InputError where it has none."""
    tree = read_object(folder / META, f"checkpoint {folder}")
    rest = {key: value for key, value in tree.items() if key not in {SEAL, "calibration"}}
    write_json(folder / META, sealed({**rest, "calibration": fitted.to_json()}))


def copy_calibrated(source: Path, target: Path, fitted: Fitted) -> None:
    """Write the checkpoint `source` with these temperatures as `target`, whole or not at all, without the trainer's state."""
    with whole_folder(target) as part:
        shutil.copytree(source, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(TRAINER))
        keep_calibration(part, fitted)


def _save_encoder_config(encoder: WordEncoder, folder: Path) -> None:
    """Write the architecture. Where transformers has it built in, the names of its author's own code are left out."""
    transformer: Any = encoder.transformer
    transformer.config.save_pretrained(folder)
    if type(transformer).__module__.startswith("transformers."):
        tree = read_object(folder / "config.json", "the encoder")
        if tree.pop("auto_map", None):
            write_json(folder / "config.json", tree)


def load_checkpoint(folder: Path, device: str = "cpu", code_from: str | None = None) -> tuple[TableModel, ModelCard]:
    """The model in evaluation mode. Raises InputError where a file is missing, altered or damaged, or wants to run code.

    `code_from`: the encoder, a folder or hub id, whose own code may run; given by a training that was told so, only.
    """
    card = read_card(folder, trusted=code_from is not None)
    if code_from is None:
        check_shapes(folder, card)
        made = build_encoder(folder / "encoder")
    else:
        made = load_encoder(code_from, card.model.layer, trust_remote_code=True).transformer
    model = assemble(card.model, WordEncoder(made, card.model.frozen), TagSet(card.schema))
    load_weights(model, folder)
    model.scheme.temperatures = temperatures_of(card.calibration)
    return model.to(device).eval(), card


def check_shapes(folder: Path, card: ModelCard) -> None:
    """Raise InputError where the weights are not those of a model of this configuration.

    Told from the weights' header and a model without memory: an altered width must not ask for terabytes first.
    """
    what = f"checkpoint {folder}"
    tree = read_object(folder / ENCODER, what)
    shapes = _shapes(folder / WEIGHTS, what)
    for key, value in tree.items():
        if "layer" in key and isinstance(value, int) and value > len(shapes):
            raise InputError(f"{what}: {ENCODER}: {key} = {value}, but {WEIGHTS} has only {len(shapes)} tensors")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{what}: {ENCODER}: {key} = {value} is no number to compute with")
    try:
        with torch.device("meta"):
            encoder = WordEncoder(build_encoder(folder / "encoder"), card.model.frozen)
            expected = {
                k: tuple(v.shape) for k, v in assemble(card.model, encoder, TagSet(card.schema)).state_dict().items()
            }
    except Exception as error:  # whatever a configuration makes transformers and torch stumble over
        raise InputError(f"{what}: {ENCODER}: no model can be built of it: {_reason(error)}") from None
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise InputError(
                f"{what}: {WEIGHTS} does not fit its configuration: {name} has the shape {shapes.get(name, 'nothing')}, "
                f"expected {expected.get(name, 'nothing')}"
            )


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put the folder's weights into the model. Raises InputError where they do not fit."""
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:
        raise InputError(f"checkpoint {folder}: its weights cannot be loaded: {_reason(error)}") from None


def read_card(folder: Path, verified: bool = False, trusted: bool = False) -> ModelCard:
    """Everything but the weights, which are compared with their hash, as every file is.

    `verified`: this process has just done that. `trusted`: its encoder may name code of its own, as training may be told
    to allow. Raises InputError where a file is missing, altered or damaged, or wants to run code.
    """
    what = f"checkpoint {folder}"
    record = read_record(folder) if verified else checked_record(folder)
    if not trusted:
        refuse_code(folder)
    tokenizer = read_tokenizer(folder / TOKENIZER, record.subword_limit)
    check_pad_id(record.pad_id, tokenizer, f"{what}: {META}")
    fitted = read_fitted(record.calibration, f"{what}: {META}: calibration")
    schema = _schema(record, what)
    constraints = read_constraints(record.constraints, schema, f"{what}: {META}: constraints")
    card = ModelCard(record.config, schema, tokenizer, record.pad_id, record.notes, fitted, constraints)
    parsed(ModelConfig, saved_model(record.config.get("model")), f"{what}: {META}: config.model", strict=False)
    return card


def _schema(record: CheckpointRecord, what: str) -> Schema:
    try:
        return Schema.from_json(record.types)
    except InputError as error:
        raise InputError(f"{what}: {META}: {error}") from None


def read_trainer(folder: Path) -> dict[str, Any]:
    """The trainer's state: `epoch` and `optimizer`. Raises InputError where it cannot be read."""
    try:
        state = dict(torch.load(folder / TRAINER, map_location="cpu", weights_only=True))
    except Exception as error:  # zipfile's, pickle's and torch's own
        raise InputError(f"checkpoint {folder}: {TRAINER} cannot be read: {_reason(error)}") from None
    if not isinstance(state.get("epoch"), int) or not isinstance(state.get("optimizer"), dict):
        raise InputError(f"checkpoint {folder}: {TRAINER} is damaged: it has no epoch and optimizer")
    return state


def _shapes(weights: Path, what: str) -> dict[str, tuple[int, ...]]:
    """Of every tensor in the file, read from its header."""
    try:
        with safe_open(weights, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no mapping
    except Exception as error:  # safetensors has several
        raise InputError(f"{what}: {weights.name} cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """An error's last line, where torch says what is wrong."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()[:300]


def drop_trainer(folder: Path) -> None:
    """Remove the optimiser state, two thirds of the folder, from a checkpoint that is no longer the newest."""
    (folder / TRAINER).unlink(missing_ok=True)
