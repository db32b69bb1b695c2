"""The bundle folder: what is in it, its hashes, and the checks on opening it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tablert_dist.config import ModelConfig, saved_model
from tablert_dist.errors import InputError
from tablert_dist.heads import make_scheme
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.temperatures import Fitted
from tablert_dist.schema import Schema
from tablert_dist.storage.checkpoint_folder import LONGEST
from tablert_dist.storage.records import (
    Digest,
    FileName,
    Record,
    altered,
    parsed,
    read_object,
    seal_is_broken,
)
from tablert_dist.tokenization import SubwordTokenizer, check_pad_id, read_tokenizer

MANIFEST = "manifest.json"
FORMAT = 1
REPORT = "report.json"
NEEDED = ("tokenizer.json", "schema.json", "config.json")
"""Files of every bundle, beside its graphs."""


class Manifest(Record):
    """What `manifest.json` holds."""

    format: Literal[1]
    graphs: Annotated[dict[str, FileName], Field(min_length=1)]
    """Stage to ONNX file."""
    files: dict[FileName, Digest]
    subword_limit: Annotated[int, Field(ge=3, le=LONGEST)]
    pad_id: Annotated[int, Field(ge=0)]
    opset: Annotated[int, Field(ge=20, le=24)] = 20
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    versions: dict[str, str] = Field(default={})
    calibration: Fitted | None = None
    """None of a bundle of an earlier version: its temperatures are 1."""
    constraints: Constraints | None = None
    """None of a bundle of an earlier version."""


class Verified(Record):
    """What is read of `report.json`: the scores that the export was verified with."""

    verified_on: str
    f1: dict[str, dict[str, Annotated[float, Field(ge=0.0, le=1.0)]]]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose every file has the hash that its manifest says."""

    folder: Path
    graphs: Mapping[str, Path]
    """Stage to ONNX file."""
    tokenizer: SubwordTokenizer
    schema: Schema
    pad_id: int
    config: Mapping[str, Any]
    """The public part of the configuration that it was trained with."""
    model: ModelConfig
    """`config["model"]`, checked."""
    verified: Verified | None
    """None in a bundle of an early version."""
    calibration: Fitted | None = None
    """The temperatures. That of cells is inside the graphs' answers too; their logits are as the network has them."""
    constraints: Constraints | None = None
    """Of its training data: what `predict.constraints=learned` keeps."""


def read_manifest(tree: Mapping[str, Any], what: str) -> Manifest:
    """Return a manifest, its types, ranges, names and seal checked. Raises InputError, beginning with `what`."""
    if tree.get("format") != FORMAT:
        raise InputError(f"{what}: its format is {tree.get('format')!r}, this version reads {FORMAT}")
    manifest = parsed(Manifest, tree, f"{what}: {MANIFEST}")
    if seal_is_broken(tree):
        raise InputError(f"{what}: {MANIFEST} was altered: its seal is not that of its content")
    for needed in (*NEEDED, *manifest.graphs.values()):
        if needed not in manifest.files:
            raise InputError(f"{what}: {MANIFEST} lists no {needed}")
    return manifest


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and check its files. Raises InputError where one is missing, altered or holds what it may not."""
    what = f"bundle {folder}"
    manifest = read_manifest(read_object(folder / MANIFEST, what), what)
    if wrong := altered(folder, manifest.files):
        raise InputError(f"{what}: {wrong}; take the bundle again from where it came, or export it again")
    try:
        schema = Schema.from_json(read_object(folder / "schema.json", what))
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(what) else f"{what}: schema.json: {error}") from None
    config = read_object(folder / "config.json", what)
    model = parsed(ModelConfig, saved_model(config.get("model")), f"{what}: config.json: model", strict=False)
    stages = make_scheme(model).stages
    if set(manifest.graphs) != set(stages):
        raise InputError(
            f"{what}: {MANIFEST} has the graphs {', '.join(manifest.graphs)}; a {model.head} model has {', '.join(stages)}"
        )
    tokenizer = read_tokenizer(folder / "tokenizer.json", manifest.subword_limit)
    check_pad_id(manifest.pad_id, tokenizer, f"{what}: {MANIFEST}")
    verified = None
    if REPORT in manifest.files:
        verified = parsed(Verified, read_object(folder / REPORT, what), f"{what}: {REPORT}")
    paths = {stage: folder / manifest.graphs[stage] for stage in stages}
    constraints = manifest.constraints and manifest.constraints.check(schema, f"{what}: {MANIFEST}: constraints")
    return Bundle(
        folder, paths, tokenizer, schema, manifest.pad_id, config, model, verified, manifest.calibration, constraints
    )
