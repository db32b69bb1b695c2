"""Training: one worker's step whatever the number of workers, schedule, resume bit for bit, learning at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tablert_dist.config import Config, load_config
from tablert_dist.data import formats
from tablert_dist.model import TableModel, build_model
from tablert_dist.model.encoder import load_encoder
from tablert_dist.schema import Schema
from tablert_dist.tags import TagSet
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.features import SubwordFeatures, WordFeatures
from tablert_dist.train.loop import rate_factor, train_epochs
from tablert_dist.train.step import backward
from tablert_dist.train.trainer import make_optimizer
from tests.support.tiny import tiny_records, write_corpus

SCHEMA = Schema(("Loc", "Org", "Per"), ("near", "works"))
TAGS = TagSet(SCHEMA)


def make(encoder: str, folder: Path, **overrides: Any) -> tuple[TableModel, Examples, Config]:
    config = load_config(
        None,
        {"model.encoder": encoder, "model.cnn.hidden": [8], "train.epochs": 3, "train.batch_size": 5, **overrides},
    )
    torch.manual_seed(0)
    parts = load_encoder(encoder)
    if not config.model.dropout:
        for module in parts.transformer.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        parts.transformer.config.attention_probs_dropout_prob = 0.0
        for name, module in parts.transformer.named_modules():
            if name.endswith("attention.self"):
                module.dropout_prob = 0.0
    model = build_model(config.model, parts, TAGS)
    path = write_corpus(folder, {"train": tiny_records(12)}) / "tiny_train.json"
    sentences = formats.read(path)
    subwords = SubwordFeatures(parts.tokenizer.encode([s.words for s in sentences]), parts.pad_id)
    if config.model.frozen:
        return model, Examples(sentences, WordFeatures(model.encoder, subwords, 1000, torch.device("cpu"))), config
    return model, Examples(sentences, subwords), config


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_accumulation_and_shares_give_the_same_gradient(tiny_encoder: str, tmp_path: Path, parts: int) -> None:
    model, train, _ = make(tiny_encoder, tmp_path, **{"model.dropout": 0.0})
    model.train()
    backward(model, train, [0, 1, 2, 3, 4], TAGS, 1, TrainContext())
    whole = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    for share in ([0, 2, 4], [1, 3], []):
        backward(model, train, share, TAGS, parts, TrainContext())
    for ours, theirs in zip((p.grad for p in model.parameters() if p.grad is not None), whole, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("frozen", "average"), [(False, 0.0), (True, 0.0), (False, 0.9), (True, 0.9)])
def test_a_resumed_training_ends_with_the_same_bits(
    tiny_encoder: str, tmp_path: Path, frozen: bool, average: float
) -> None:
    options = {"model.frozen": frozen, "train.average": average}
    through, train, config = make(tiny_encoder, tmp_path, **options)
    saved = {}
    for report in train_epochs(through, train, TAGS, config, 1):
        if report.epoch == 0:
            saved = {"weights": weights(through), "optimizer": torch_copy(report.optimizer_state())}
    resumed, train, config = make(tiny_encoder, tmp_path, **options)
    resumed.load_state_dict(saved["weights"])
    torch.manual_seed(99)
    list(train_epochs(resumed, train, TAGS, config, 1, optimizer_state=saved["optimizer"], first_epoch=1))
    for name, value in weights(through).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_the_model_holds_the_mean_of_its_weights_between_epochs(tiny_encoder: str, tmp_path: Path) -> None:
    """The mean by hand from the same training without it, which goes on as if nobody averaged."""
    options = {"train.epochs": 2, "train.batch_size": 12}  # one step an epoch
    plain, train, config = make(tiny_encoder, tmp_path, **options)
    steps = [weights(plain) for _ in train_epochs(plain, train, TAGS, config, 1)]
    averaged, train, config = make(tiny_encoder, tmp_path, **options, **{"train.average": 0.75})
    means = [weights(averaged) for _ in train_epochs(averaged, train, TAGS, config, 1)]
    assert all(torch.equal(value, steps[0][name]) for name, value in means[0].items()), "the mean of one step"
    for name, value in means[1].items():
        torch.testing.assert_close(value, 0.75 * steps[0][name] + 0.25 * steps[1][name])
        assert torch.equal(weights(averaged)[name], value), "the model ends with the mean"
    assert any(not torch.equal(value, steps[1][name]) for name, value in means[1].items())


def torch_copy(tree: Any) -> Any:
    import copy

    return copy.deepcopy(tree)


def test_a_frozen_encoder_does_not_move_and_caching_changes_nothing(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = make(tiny_encoder, tmp_path, **{"model.frozen": True})
    before = weights(model.encoder)
    list(train_epochs(model, train, TAGS, config, 1))
    assert all(torch.equal(v, before[k]) for k, v in weights(model.encoder).items())
    parts = load_encoder(tiny_encoder)
    subwords = SubwordFeatures(parts.tokenizer.encode([s.words for s in train.sentences]), parts.pad_id)
    cpu = torch.device("cpu")
    cached, mask = train.features.inputs([3, 0], cpu)
    fresh = model.encoder.train()(*subwords.inputs([3, 0], cpu))
    torch.testing.assert_close(cached * mask[..., None], fresh, atol=1e-6, rtol=1e-5)


def test_it_learns_the_tiny_corpus_by_heart(tiny_encoder: str, tmp_path: Path) -> None:
    model, train, config = make(
        tiny_encoder, tmp_path, **{"train.epochs": 60, "optim.encoder_lr": 5e-4, "model.dropout": 0.0}
    )
    losses = [report.loss_per_sentence for report in train_epochs(model, train, TAGS, config, 1)]
    assert losses[-1] < 0.1 * losses[0]
    assert evaluate(model, train, TAGS, 1000).scores().f1("re_plus") > 0.9


def test_schedule_and_groups(tiny_encoder: str, tmp_path: Path) -> None:
    config = load_config("conll04")
    factors = [rate_factor(step, 100, config.optim) for step in (0, 10, 20, 60, 100)]
    assert factors == pytest.approx([0, 0.5, 1, 0.5, 0])
    cosine = config.optim.model_copy(update={"schedule": "cosine"})
    assert [rate_factor(s, 100, cosine) for s in (20, 60, 100)] == pytest.approx([1, 0.5, 0])
    model, _, _ = make(tiny_encoder, tmp_path)
    groups = make_optimizer(model, model, config.optim, torch.device("cpu")).param_groups
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    encoder = {id(p) for p in model.encoder.parameters()}
    for group in groups:
        for p in group["params"]:
            assert group["lr"] == (5e-5 if id(p) in encoder else 1e-3)
            assert group["weight_decay"] == (0.01 if p.ndim > 1 else 0.0)
