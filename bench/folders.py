"""Encoder, checkpoint and bundle as folders, for benches that start from files; in a smoke with random weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import torch

from bench.parts import bench_config, model_parts
from bench.sources import PACKAGED, SAMPLE, SHAPES, TINY_SHAPE
from tablert_dist.config import ExportConfig, public_config
from tablert_dist.data import load_corpus
from tablert_dist.model import build_model
from tablert_dist.model.checkpoint import ModelCard, save_checkpoint
from tablert_dist.tags import TagSet


def encoder_source(encoder: str, folder: Path) -> str:
    """Return a value for `model.encoder`; an encoder of a given shape is written to `folder` first."""
    if encoder not in SHAPES:
        return PACKAGED
    parts = model_parts(encoder)
    # With the pooler that `parts` lacks: without one, loading warns of missing weights in every worker's log.
    type(parts.transformer)(parts.transformer.config).save_pretrained(folder)  # type: ignore[call-arg, operator]
    (folder / "tokenizer.json").write_text(parts.tokenizer.to_json(), encoding="utf-8")
    return str(folder)


def tiny_checkpoint() -> str:
    """Write a checkpoint with random weights for the sample's types; it is removed when the running command ends."""
    folder = Path(click.get_current_context().with_resource(tempfile.TemporaryDirectory())) / "checkpoint"
    config = bench_config(data__path=SAMPLE, model__cnn__hidden=[16])
    schema = load_corpus(config.data).schema
    torch.manual_seed(0)
    parts = model_parts(TINY_SHAPE)
    model = build_model(config.model, parts, TagSet(schema))
    save_checkpoint(
        folder, model, ModelCard(public_config(config), schema, parts.tokenizer, parts.pad_id, {"epoch": 1})
    )
    return str(folder)


def tiny_bundle() -> str:
    """Export `tiny_checkpoint`."""
    from export.graph import export_bundle

    checkpoint = Path(tiny_checkpoint())
    bundle = checkpoint.with_name("bundle")
    export_bundle(checkpoint, bundle, ExportConfig(allow="random weights"), [["A", "word"]])
    return str(bundle)
