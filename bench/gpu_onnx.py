"""The exported graph in onnxruntime on a card: the providers, whether it says what torch says, and its speed."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.gpu_setup import setup
from tablert_dist.config import ExportConfig, PredictConfig, public_config
from tablert_dist.errors import InputError
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import ModelCard, save_checkpoint
from tablert_dist.tokenization import collate


def onnx_on(
    provider: str, shape: str, data: str, folder: Path, sentences: int = 400, repeats: int = 3
) -> dict[str, Any]:
    """Return sentences a second end to end and of the engine alone, and how far its logits lie from torch's in fp32.

    Says why not where onnxruntime has no such provider here.
    """
    from export.graph import export_bundle

    made = setup(shape, data)
    with torch.no_grad():
        # Random heads find nothing, or everything; a little of each exercises the decoding.
        made.model.head.entity.weight.mul_(3.0)  # type: ignore[union-attr]
    card = ModelCard(
        public_config(made.config), made.corpus.schema, made.parts.tokenizer, made.parts.pad_id, {"epoch": 0}
    )
    checkpoint, bundle = folder / f"{shape}-checkpoint", folder / f"{shape}-bundle"
    save_checkpoint(checkpoint, made.model, card)
    words = [list(s.words) for s in made.train.sentences[:sentences]]
    export_bundle(checkpoint, bundle, ExportConfig(allow="random weights"), words[:20])
    try:
        fast = Predictor.load(bundle, PredictConfig(provider=provider))  # type: ignore[arg-type]
    except InputError as error:
        return {"refused": str(error)}
    slow = Predictor.load(checkpoint, PredictConfig())
    encoded = slow.tokenizer.encode(words[:32])
    inputs = collate(encoded, slow.pad_id).arrays()
    found, expected = (p.engine.run(TABLE, inputs)["relation_logits"] for p in (fast, slow))
    upper = [np.triu(np.ones((n, n), bool), 1) for n in (len(w) for w in words[:32])]
    apart = max(
        float(np.abs(found[b][: len(u), : len(u)][u] - expected[b][: len(u), : len(u)][u]).max(initial=0.0))
        for b, u in enumerate(upper)
    )
    fast.predict_words(words)
    whole = statistics.median(_seconds(lambda: fast.predict_words(words)) for _ in range(repeats))
    alone = statistics.median(_seconds(lambda: fast.engine.run(TABLE, inputs)) for _ in range(3 * repeats))
    return {
        "provider": fast.engine.provider,  # type: ignore[attr-defined]
        "max_cells": fast.max_cells,
        "logits_apart": float(f"{apart:.2g}"),
        "end_to_end_per_s": round(len(words) / whole, 1),
        "engine_alone_per_s": round(len(encoded) / alone, 1),
    }


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
