"""What several measurements start from: the preset on real sentences, its model, and memory read from the system."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.sources import PACKAGED, SHAPES, corpus_folder
from tablert_dist.config import Config, load_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.model import TableModel, build_model
from tablert_dist.model.check import check_encoder
from tablert_dist.model.encoder import EncoderParts, load_encoder
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import pad_id
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.step import backward
from tablert_dist.train.trainer import make_optimizer
from tablert_dist.train.worker import subwords_of


def bench_config(preset: str = "conll04", **overrides: Any) -> Config:
    """The preset with the packaged encoder and `overrides` (dots as double underscores)."""
    values = {"data.path": corpus_folder(), "model.encoder": PACKAGED}
    return load_config(preset, values | {key.replace("__", "."): value for key, value in overrides.items()})


def read_train(config: Config) -> tuple[Corpus, TagSet]:
    """The corpus and its tags."""
    corpus = load_corpus(config.data)
    return corpus, TagSet(corpus.schema)


def model_parts(encoder: str) -> EncoderParts:
    """The packaged encoder, or one of a given shape behind the packaged tokenizer."""
    if encoder not in SHAPES:
        return load_encoder(PACKAGED)
    from transformers import BertConfig, BertModel

    text = check_encoder(PACKAGED)
    torch.manual_seed(0)
    transformer = BertModel(BertConfig(vocab_size=text.config.vocab_size, **SHAPES[encoder]), add_pooling_layer=False)
    assert isinstance(transformer, nn.Module)
    return EncoderParts(transformer, text.tokenizer, pad_id(text.config))


def model_and_examples(config: Config, encoder: str, split: str = "train") -> tuple[TableModel, Examples, TagSet]:
    """A model with a fresh head, and one split as its inputs."""
    corpus, tags = read_train(config)
    torch.manual_seed(0)
    parts = model_parts(encoder)
    model = build_model(config.model, parts, tags)
    sentences = corpus.splits[split]
    return model, Examples(sentences, subwords_of(model, parts, sentences)), tags


def training_pass(
    module: nn.Module, model: TableModel, examples: Examples, tags: TagSet, config: Config, batches: list[list[int]]
) -> Callable[[], None]:
    """Steps of training through the same batches whenever it is called; `module` is the model or its head alone."""
    optimizer = make_optimizer(module, model, config.optim, TrainContext().device)

    def work() -> None:
        module.train()
        for batch in batches:
            backward(module, examples, batch, tags)
            torch.nn.utils.clip_grad_norm_(module.parameters(), config.optim.clip_norm)
            optimizer.step()
            optimizer.zero_grad()

    return work


def resident_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib(work: Callable[[], Any]) -> float:
    """How far resident memory rises above its start while `work` runs, read every millisecond."""
    start = resident_mib()
    peak = start
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident_mib())
            time.sleep(0.001)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        work()
        peak = max(peak, resident_mib())
    finally:
        done.set()
        thread.join()
    return peak - start
