"""What a path holds (a bundle, a zipped bundle, a checkpoint), opened as a model behind an engine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist.config import ModelConfig, PredictConfig
from tablert_dist.errors import InputError, missing_extra
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import DeviceEngine
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures, temperatures_of
from tablert_dist.inference.bundle import MANIFEST, open_bundle
from tablert_dist.inference.constraining import find_rules
from tablert_dist.inference.pieces import Planner
from tablert_dist.schema import Schema
from tablert_dist.scoring import LEVELS, TITLES
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer
from tablert_dist.waiting import waiting

if TYPE_CHECKING:
    from tablert_dist.model import TableModel
    from tablert_dist.model.checkpoint import ModelCard


@dataclass(frozen=True)
class LoadedModel:
    """A model behind its engine, with what belongs to it."""

    engine: DeviceEngine
    tokenizer: SubwordTokenizer
    schema: Schema
    pad_id: int
    config: ModelConfig
    scores: str = ""
    """What is on record of its quality: "dev NER 85.0  RE 60.1  RE+ 58.9", micro F1 in percent."""
    temperatures: Temperatures = NEUTRAL
    """Of its probabilities; the engine's answers have been computed with them."""
    constraints: Constraints | None = None
    """On record with it; None of a model of an earlier version."""


def load_model(path: Path, config: PredictConfig) -> LoadedModel:
    """Open an exported bundle (onnxruntime, no torch) or a checkpoint (torch).

    Raises InputError where the path is neither, a file is missing or altered, or a provider cannot be had.
    """
    read = _reader(path)
    if read is not None:
        with waiting(f"loading the model {path.name}"):
            return read(path, config)
    if not path.exists():
        raise InputError(f"{path} does not exist: give the folder or .zip of a bundle, or the folder of a checkpoint")
    raise not_a_model(path)


def _reader(path: Path) -> Callable[[Path, PredictConfig], LoadedModel] | None:
    if (path / MANIFEST).is_file():
        return _of_bundle
    if (path / META).is_file():
        return _of_checkpoint
    return _of_archive if path.suffix == ".zip" and path.is_file() else None


def not_a_model(path: Path) -> InputError:
    """The refusal of a path that holds something else."""
    return InputError(
        f"{path} is neither a bundle (manifest.json, from tablert-export --onnx) nor a checkpoint (checkpoint.json)"
    )


@dataclass(frozen=True)
class _Told:
    """What a model is without its weights."""

    tokenizer: SubwordTokenizer
    config: ModelConfig
    schema: Schema
    constraints: Constraints | None


def load_planner(path: Path, config: PredictConfig) -> Planner:
    """What cuts texts into pieces for the model that `load_model` opens, without its weights. Raises InputError as it does."""
    told = _without_weights(path)
    return Planner(told.tokenizer, config, told.config.words)


def symmetric_of(path: Path, config: PredictConfig) -> frozenset[str]:
    """The relation types whose two directions are one: the model's, and those of the rules that `config` has it keep.

    Without the model's weights. Raises InputError as `load_model` and `find_rules` do.
    """
    told = _without_weights(path)
    rules = find_rules(config, told.constraints, TagSet(told.schema))
    return told.schema.symmetric | (rules.symmetric if rules else frozenset())


def _without_weights(path: Path) -> _Told:
    if (path / MANIFEST).is_file():
        bundle = open_bundle(path)
        return _Told(bundle.tokenizer, bundle.model, bundle.schema, bundle.constraints)
    if (path / META).is_file():
        from tablert_dist.model.checkpoint import read_card

        card = read_card(path)
        return _Told(card.tokenizer, card.model, card.schema, card.constraints)
    loaded = load_model(path, PredictConfig(threads=1))
    return _Told(loaded.tokenizer, loaded.config, loaded.schema, loaded.constraints)


def _of_bundle(folder: Path, config: PredictConfig) -> LoadedModel:
    from tablert_dist.inference.onnx_engine import OnnxEngine

    bundle = open_bundle(folder)
    engine = OnnxEngine(bundle.graphs, config.provider, config.threads, config.spinning, config.tf32)
    engine.check(make_scheme(bundle.model), TagSet(bundle.schema))
    scores = (
        "" if bundle.verified is None else _in_words(bundle.verified.verified_on, bundle.verified.f1.get("onnx", {}))
    )
    temperatures = temperatures_of(bundle.calibration)
    return LoadedModel(
        engine,
        bundle.tokenizer,
        bundle.schema,
        bundle.pad_id,
        bundle.model,
        scores,
        temperatures,
        bundle.constraints,
    )


def _of_archive(archive: Path, config: PredictConfig) -> LoadedModel:
    from tablert_dist.inference.archive import unpack

    folder = Path(tempfile.mkdtemp(prefix="tablert-bundle-"))
    try:
        return _of_bundle(unpack(archive, folder / "bundle"), config)
    finally:
        # The sessions have read their graphs by now.
        shutil.rmtree(folder, ignore_errors=True)


def _of_checkpoint(folder: Path, config: PredictConfig) -> LoadedModel:
    try:
        import torch

        from tablert_dist.model.checkpoint import load_checkpoint
    except ModuleNotFoundError as error:
        raise InputError(f"{folder} is a checkpoint: {missing_extra(error) or error}; or export a bundle") from None
    if config.provider == "cuda" and not torch.cuda.is_available():
        raise InputError("predict.provider = cuda: torch finds no usable CUDA device here; use cpu or auto")
    device = "cuda" if config.provider != "cpu" and torch.cuda.is_available() else "cpu"
    if config.threads:
        torch.set_num_threads(config.threads)
    return of_model(*load_checkpoint(folder, device))


def of_model(model: TableModel, card: ModelCard) -> LoadedModel:
    """A torch model that is in memory, with the card of its checkpoint."""
    from tablert_dist.inference.torch_engine import TorchEngine

    return LoadedModel(
        TorchEngine(model),
        card.tokenizer,
        card.schema,
        card.pad_id,
        card.model,
        _in_words("dev", _dev_scores(card.notes)),
        temperatures_of(card.calibration),
        card.constraints,
    )


def _dev_scores(notes: Mapping[str, Any]) -> dict[str, float]:
    """Those of the last epoch on record; nothing where there are none."""
    history = notes.get("history")
    row = history[-1] if isinstance(history, list) and history and isinstance(history[-1], dict) else {}
    found = {level: row.get(f"dev/{level}_f1") for level in LEVELS}
    return {level: value for level, value in found.items() if isinstance(value, int | float)}


def _in_words(split: str, f1: Mapping[str, float]) -> str:
    scores = "  ".join(f"{TITLES[level]} {100 * f1[level]:.1f}" for level in LEVELS if level in f1)
    return f"{split} {scores}" if scores else ""
