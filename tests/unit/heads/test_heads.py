"""TablERT's and SpERT's modules: span pooling, stages equal to the whole, training by any share, learning, export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from export.graph import export_bundle
from export.triton import write_repository
from tablert_dist.config import ExportConfig, ModelConfig, load_config, public_config, saved_model
from tablert_dist.data import formats
from tablert_dist.errors import InputError
from tablert_dist.heads import make_scheme
from tablert_dist.heads.spans import run_maxima, span_maxima
from tablert_dist.heads.spert.module import SpertHead
from tablert_dist.heads.tablert import scheme as tablert
from tablert_dist.heads.tablert.module import TablertHead
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import build_model
from tablert_dist.model.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from tablert_dist.model.encoder import load_encoder
from tablert_dist.schema import Sentence
from tablert_dist.scoring import count
from tablert_dist.train.context import TrainContext
from tablert_dist.train.evaluation import evaluate
from tablert_dist.train.fit import fit
from tablert_dist.train.loop import train_epochs
from tablert_dist.train.step import backward
from tests.support.paths import prepare
from tests.support.tiny import tiny_records, write_corpus
from tests.unit.train.test_loop import SCHEMA, TAGS, make

HEADS = ("tablert", "spert")


def test_span_maxima_are_those_of_plain_slices() -> None:
    torch.manual_seed(0)
    words = torch.randn(2, 37, 5)
    maxima = run_maxima(words)
    spans = [(a, b) for a in range(37) for b in range(a, 38)]
    start, end = (torch.tensor([s[i] for s in spans]).expand(2, -1) for i in range(2))
    found = span_maxima(maxima, start, end)
    for q, (a, b) in enumerate(spans):
        expected = words[:, a:b].amax(1) if b > a else torch.zeros(2, 5)
        assert torch.equal(found[:, q], expected), (a, b)


def test_span_maxima_pass_each_gradient_once() -> None:
    words = torch.randn(1, 11, 3, requires_grad=True)
    start, end = torch.tensor([[0, 2, 4]]), torch.tensor([[11, 7, 5]])
    span_maxima(run_maxima(words), start, end).sum().backward()
    found, words.grad = words.grad, None
    (words[0, 0:11].amax(0) + words[0, 2:7].amax(0) + words[0, 4]).sum().backward()
    torch.testing.assert_close(found, words.grad)


POOLED = {
    # Word by word of B I L O B L U O: what the authors pool, and the open entity alone.
    "previous": [None, (0, 1), (0, 2), (0, 3), (3, 4), (4, 5), (4, 6), (6, 7)],
    "open": [None, (0, 1), (0, 2), None, None, (4, 5), None, None],
}


@pytest.mark.parametrize("span", POOLED)
def test_tablerts_steps_give_what_training_gives(span: str) -> None:
    """Teacher forcing over the whole sentence at once is word after word with the gold tags, as decoding pools them."""
    torch.manual_seed(0)
    head = TablertHead(6, 9, 5, label_width=4, relation_width=3).eval()
    names = ("B", "I", "L", "O", "B", "L", "U", "O")
    words, mask = torch.randn(1, 8, 6), torch.ones(1, 8, dtype=torch.bool)
    tags = torch.tensor([[0 if n == "O" else 1 + "BILU".index(n) for n in names]])
    begins = tablert.open_from(tags.numpy()) if span == "open" else tablert.span_from(tags.numpy())
    whole, _ = head(words, mask, tags, torch.from_numpy(begins))
    pool = tablert._opened if span == "open" else tablert._spanned
    opened, previous = np.zeros((1, 1, 6), np.float32), np.zeros((1, 1), np.int64)
    for i, part in enumerate(POOLED[span]):
        pooled = torch.zeros(1, 6) if part is None else words[:, slice(*part)].amax(1)
        torch.testing.assert_close(torch.from_numpy(opened[0]), pooled)
        before = tags[:, i - 1] if i else torch.zeros(1, dtype=torch.int64)
        torch.testing.assert_close(head.tag_step(words[:, i], pooled, before), whole[:, i])
        tag = tags[:, i : i + 1].numpy()
        opened, previous = pool(opened, previous, tag, words[:, i : i + 1].numpy()), tag


def test_tablert_and_spert_as_they_were_saved_compute_what_they_did() -> None:
    """Absent options mean what a version did that had none; a new configuration has the authors' rules."""
    old = ModelConfig.model_validate(saved_model({"head": "tablert", "label_width": 7}), strict=False)
    assert (old.tablert.span, old.tablert.scaled, old.tablert.label_width) == ("open", True, 7)
    assert old.spert.relation_loss == "sum" and make_scheme(old).span == "open"  # type: ignore[attr-defined]
    new = ModelConfig(head="tablert")
    assert new.tablert.span == "previous" and new.spert.relation_loss == "mean"
    assert make_scheme(new).span == "previous"  # type: ignore[attr-defined]


def test_relations_of_tablert_may_be_unscaled() -> None:
    torch.manual_seed(0)
    scaled = TablertHead(6, 9, 5, label_width=4, relation_width=9).eval()
    plain = TablertHead(6, 9, 5, label_width=4, relation_width=9, scaled=False).eval()
    plain.load_state_dict(scaled.state_dict())
    words, tags = torch.randn(2, 4, 6), torch.randint(0, 9, (2, 4))
    torch.testing.assert_close(plain.relations(words, tags), 3 * scaled.relations(words, tags))


def test_tablerts_relations_are_bilinear() -> None:
    torch.manual_seed(0)
    head = TablertHead(6, 9, 5, label_width=4, relation_width=3, none_bias=2.0).eval()
    words, tags = torch.randn(2, 4, 6), torch.randint(0, 9, (2, 4))
    found = head.relations(words, tags)
    known = torch.cat([words, head.label(tags)], -1)
    for r in range(5):
        rows = slice(3 * r, 3 * r + 3)
        a = known @ head.pair.row.weight[rows].T + head.pair.row.bias[rows]
        b = known @ head.pair.column.weight[rows].T + head.pair.column.bias[rows]
        expected = torch.einsum("bid,bjd->bij", a, b) / 3**0.5 + (2.0 if r == 0 else 0.0)
        torch.testing.assert_close(found[..., r], expected)


def test_spert_reads_spans_widths_context_and_the_sentence() -> None:
    torch.manual_seed(0)
    head = SpertHead(4, 2, 3, width_embedding=2).eval()
    words = torch.randn(1, 9, 4)
    types, relations = head(words, None, torch.tensor([[[1, 4]]]), torch.tensor([[[1, 3, 6, 7], [6, 7, 1, 3]]]))
    width = head.width.weight
    x = torch.cat([words[0, 0], words[0, 1:4].amax(0), width[3]])
    torch.testing.assert_close(types[0, 0], head.entity(x))
    between, one, other = words[0, 3:6].amax(0), words[0, 1:3].amax(0), words[0, 6]
    torch.testing.assert_close(relations[0, 0], head.relation(torch.cat([between, one, other, width[2], width[1]])))
    torch.testing.assert_close(relations[0, 1], head.relation(torch.cat([between, other, one, width[1], width[2]])))
    touching = head(words, None, torch.tensor([[[1, 2]]]), torch.tensor([[[1, 3, 3, 5]]]))[1][0, 0]
    x = torch.cat([torch.zeros(4), one, words[0, 3:5].amax(0), width[2], width[2]])
    torch.testing.assert_close(touching, head.relation(x))


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("head", HEADS)
def test_shares_of_a_batch_add_up_to_its_gradient(head: str, tiny_encoder: str, tmp_path: Path) -> None:
    model, train, _ = make(tiny_encoder, tmp_path, **{"model.head": head, "model.dropout": 0.0})
    prepare(model, train)
    backward(model, train, [0, 1, 2, 3, 4], TAGS, 1, TrainContext(), rng_key=(1, 0))
    whole = gradients(model)
    model.zero_grad()
    for share in ([0, 3], [1, 2, 4]):
        backward(model, train, share, TAGS, 1, TrainContext(), rng_key=(1, 0))
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, whole[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("frozen", [pytest.param(False, marks=pytest.mark.long), True])
@pytest.mark.parametrize("head", HEADS)
def test_it_learns_a_small_corpus_by_heart(head: str, frozen: bool, tiny_encoder: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "data", {"train": tiny_records(12), "dev": tiny_records(12)})
    config = load_config(
        None,
        {
            "data.path": str(tmp_path / "data"),
            "model.encoder": tiny_encoder,
            "model.head": head,
            "model.dropout": 0.0,
            "model.frozen": frozen,
            "optim.lr": 1e-2,
            "optim.encoder_lr": 1e-3,
            "train.epochs": 80,
            "train.batch_size": 4,
            "train.storage": str(tmp_path / "runs"),
            "cluster.num_workers": 0,
            "tracking.enabled": False,
        },
    )
    done = fit(config, "r")
    # A frozen encoder of random weights does not tell all words apart.
    assert done.best["scores"]["dev"]["scores"]["re_plus"]["micro"]["f1"] > (0.6 if frozen else 0.9)
    model, _ = load_checkpoint(Path(done.best["checkpoint"]))
    assert model.scheme.stages.keys() == {"words", *(("tag_step",) if head == "tablert" else ("spans",)), "relations"}
    read_again = Predictor.load(done.best["checkpoint"])
    gold = formats.read(tmp_path / "data" / "tiny_dev.json")
    scores = count(
        zip(gold, read_again.annotate([s.words for s in gold]), strict=True), read_again.tags.schema
    ).scores()
    assert scores.f1("re_plus") == pytest.approx(done.best["scores"]["dev"]["scores"]["re_plus"]["micro"]["f1"])
    if frozen:
        return
    report = export_bundle(Path(done.best["checkpoint"]), tmp_path / "bundle", ExportConfig(), gold=gold)
    assert report.failures == [] and report.relations > 5 and report.max_difference < 1e-4
    bundle = Predictor.load(tmp_path / "bundle")
    text = "Ada works at Acme near Oslo ."
    assert bundle.predict([text])[0].triples() == read_again.predict([text])[0].triples() != []
    with pytest.raises(InputError, match="TablERT-CNN"):
        bundle.probabilities(["Ada"])
    with pytest.raises(InputError, match="only TablERT-CNN"):
        write_repository(tmp_path / "bundle", tmp_path / "triton")


def test_the_plus_head_exports_what_it_computes(tiny_encoder: str, tmp_path: Path) -> None:
    """conll04-plus, its additions not at zero: torch by sentence, torch by batch and the graph agree."""
    config = load_config(
        "conll04-plus", {"model.encoder": tiny_encoder, "model.cnn.hidden": [8], "model.none_bias": 0.0}
    )
    torch.manual_seed(3)
    parts = load_encoder(tiny_encoder)
    model = build_model(config.model, parts, TAGS).eval()
    with torch.no_grad():
        for parameter in model.head.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    card = ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {"epoch": 1})
    save_checkpoint(tmp_path / "checkpoint", model, card)
    gold = [Sentence(tuple(record["tokens"]), (), ()) for record in tiny_records(12)]
    report = export_bundle(tmp_path / "checkpoint", tmp_path / "bundle", ExportConfig(), gold=gold)
    assert report.failures == [] and report.relations > 5 and report.max_difference < 1e-4
    one, other = Predictor.load(tmp_path / "checkpoint"), Predictor.load(tmp_path / "bundle")
    text = "Ada works at Acme near Oslo ."
    assert one.predict([text])[0].triples() == other.predict([text])[0].triples()


@pytest.mark.parametrize("head", HEADS)
def test_the_same_seed_gives_the_same_weights(head: str, tiny_encoder: str, tmp_path: Path) -> None:
    found = []
    for run in ("a", "b"):
        model, train, config = make(tiny_encoder, tmp_path / run, **{"model.head": head})
        prepare(model, train)
        list(train_epochs(model, train, TAGS, config, 1))
        evaluate(model, train, TAGS, 1000)
        found.append({k: v.clone() for k, v in model.state_dict().items()})
    for name, weight in found[0].items():
        assert torch.equal(weight, found[1][name]), name
