"""The bundle folder: what is in it, its hashes, and the checks on opening it. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.errors import InputError
from tablert_dist.schema import Schema
from tablert_dist.storage.atomic import sha256
from tablert_dist.tokenization import SubwordTokenizer, read_tokenizer

MANIFEST = "manifest.json"
FORMAT = 1


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
    manifest: Mapping[str, Any]


def open_bundle(folder: Path) -> Bundle:
    """Read a bundle and check its files. Raises InputError where one is missing or altered."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, graphs = manifest["files"], manifest["graphs"]
        limit, pad_id, written = manifest["subword_limit"], manifest["pad_id"], manifest["format"]
    except FileNotFoundError:
        raise InputError(f"bundle {folder}: {MANIFEST} is missing") from None
    except (KeyError, ValueError) as error:
        raise InputError(f"bundle {folder}: {MANIFEST} is damaged ({error})") from None
    if written != FORMAT:
        raise InputError(f"bundle {folder}: its format is {written}, this version reads {FORMAT}")
    for name, expected in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"bundle {folder}: {MANIFEST} names a file outside it: {name}")
        if not path.is_file():
            raise InputError(f"bundle {folder}: {name} is missing")
        if sha256(path) != expected:
            raise InputError(f"bundle {folder}: {name} was altered: its sha256 is not the manifest's")
    for needed in ("tokenizer.json", "schema.json", "config.json", *graphs.values()):
        if needed not in files:
            raise InputError(f"bundle {folder}: {MANIFEST} lists no {needed}")
    schema = Schema.from_json(json.loads((folder / "schema.json").read_text(encoding="utf-8")))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = read_tokenizer(folder / "tokenizer.json", limit)
    paths = {stage: folder / name for stage, name in graphs.items()}
    return Bundle(folder, paths, tokenizer, schema, pad_id, config, manifest)
