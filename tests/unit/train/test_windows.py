"""Sentences of dev and test over the encoder's limit are read by windows in training, as prediction reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tablert_dist.config import Config, load_config, public_config, with_overrides
from tablert_dist.data import formats
from tablert_dist.errors import InputError
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import ModelCard, load_weights, save_checkpoint
from tablert_dist.model.encoder import load_encoder
from tablert_dist.runs.folder import RunFolder
from tablert_dist.runs.job import Job
from tablert_dist.schema import Sentence
from tablert_dist.scoring import count
from tablert_dist.train.context import ALONE, Examples, TrainContext
from tablert_dist.train.evaluation import annotate, evaluate
from tablert_dist.train.fit import fit
from tablert_dist.train.worker import Prepared, choose_context, examples_of, prepare, run_worker
from tests.support.tiny import tiny_records, write_corpus

PHRASE = "Ada works at Acme near Oslo , and Bo works at Acme ."
LIMIT = 64
HEADS = ["cnn", "tablert", "spert"]


def long(times: int) -> dict[str, Any]:
    """A sentence of that many phrases, with what two of them say marked."""
    tokens = (PHRASE.split() * times)[: -1 if times % 2 else None]
    last = 13 * (times - 1)
    spans = [(0, 1, "Per"), (3, 4, "Org"), (5, 6, "Loc"), (last, last + 1, "Per"), (last + 3, last + 4, "Org")]
    entities = [{"start": a, "end": b, "type": t} for a, b, t in spans]
    relations = [{"head": 0, "tail": 1, "type": "works"}, {"head": 3, "tail": 4, "type": "works"}]
    return {"tokens": tokens, "entities": entities, "relations": relations}


def config_of(encoder: str, folder: Path, dev: list[Any], test: list[Any] | None = None, **values: Any) -> Config:
    splits = {"train": tiny_records(12), "dev": dev} | ({} if test is None else {"test": test})
    data = write_corpus(folder / "data", splits)
    return load_config(
        None,
        {"data.path": str(data), "model.encoder": encoder, "model.cnn.hidden": [8], "train.epochs": 2,
         "optim.encoder_lr": 1e-3, "optim.lr": 3e-3, "train.storage": str(folder / "runs"), "train.device": "cpu",
         "cluster.num_workers": 0, "tracking.enabled": False, **values},
    )  # fmt: skip


def loud(config: Config) -> tuple[Prepared, Examples]:
    """A model whose random weights find many entities and relations, and the dev sentences as it reads them."""
    prepared = prepare(config, 1)
    with torch.no_grad():
        for name, weight in prepared.model.head.named_parameters():
            weight.mul_(1.0 if name.startswith("entity") else 2.5)
    return prepared, examples_of(prepared, config, ALONE)["dev"]


def learned(config: Config, folder: Path) -> tuple[Prepared, Examples]:
    """SpERT's, which finds nothing with random weights, after it has learnt the short sentences by heart."""
    values = {"train.epochs": 15, "optim.lr": 1e-2, "model.dropout": 0.0, "train.batch_size": 4}
    taught = with_overrides(config, values)
    write_corpus(folder / "data", {"train": tiny_records(12)})
    alone = with_overrides(taught, {"data.path": str(folder / "data")})
    result = run_worker(Job(alone, RunFolder(folder / "run"), 1), choose_context(alone))
    prepared = prepare(config, 1)
    load_weights(prepared.model, Path(result["checkpoint"]))
    return prepared, examples_of(prepared, config, ALONE)["dev"]


def plain(sentences: list[Sentence]) -> list[Any]:
    return [(s.words, sorted(s.entities), sorted(s.relations)) for s in sentences]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_training_scores_what_prediction_finds(head: str, frozen: bool, tiny_encoder: str, tmp_path: Path) -> None:
    dev = [*tiny_records(3), long(7), tiny_records(4)[3], long(12)]
    config = config_of(tiny_encoder, tmp_path, dev, **{"model.head": head, "model.frozen": frozen})
    result = run_worker(Job(config, RunFolder(tmp_path / "run"), 1), choose_context(config))
    assert result["scores"]["dev"]["protocol"]["windowed"] == 2
    gold = formats.read(tmp_path / "data" / "tiny_dev.json")
    predictor = Predictor.load(Path(result["checkpoint"]))
    predicted = predictor.annotate([s.words for s in gold])
    scores = count(zip(gold, predicted, strict=True), predictor.tags.schema).scores()
    assert result["scores"]["dev"]["scores"] == scores.to_json()
    assert result["history"][int(result["epoch"]) - 1]["dev/ner_f1"] == pytest.approx(scores.f1("ner"))


@pytest.mark.parametrize("head", HEADS)
def test_each_sentence_is_annotated_as_in_prediction(head: str, tiny_encoder: str, tmp_path: Path) -> None:
    """With a checkpoint whose weights find something in every window."""
    dev = [tiny_records(2)[1], long(6), long(8), tiny_records(4)[3], long(13)]
    config = config_of(tiny_encoder, tmp_path, dev, **{"model.head": head, "model.none_bias": 0.0})
    prepared, examples = learned(config, tmp_path / "run") if head == "spert" else loud(config)
    assert sorted(examples.windows) == [1, 2, 4] and all(len(w) > 1 for w in examples.windows.values())
    for cells in (None, 50):
        found = annotate(prepared.model, examples, prepared.tags, cells)
        assert sorted(found) == list(range(5))
        assert [found[i].words for i in range(5)] == [s.words for s in examples.sentences]
    late = [e for e in found[4].entities if e.start > LIMIT]
    assert late and found[4].relations, "the comparison is about something"
    parts = prepared.parts
    card = ModelCard(public_config(config), prepared.corpus.schema, parts.tokenizer, parts.pad_id, {"epoch": 1})
    save_checkpoint(tmp_path / "checkpoint", prepared.model, card)
    predicted = Predictor.load(tmp_path / "checkpoint").annotate([s.words for s in examples.sentences])
    assert plain([found[i] for i in range(5)]) == plain(predicted)


@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_share_sentences_and_not_windows(world: int, tiny_encoder: str, tmp_path: Path) -> None:
    dev = [long(9), *tiny_records(5), long(6), long(12)]
    config = config_of(tiny_encoder, tmp_path, dev, **{"model.none_bias": 0.0})
    prepared, examples = loud(config)
    alone = annotate(prepared.model, examples, prepared.tags, None)
    shares = [annotate(prepared.model, examples, prepared.tags, None, TrainContext(r, world)) for r in range(world)]
    assert all(shares) and sum(map(len, shares)) == len(alone), "no sentence is in two shares"
    together = {i: sentence for share in shares for i, sentence in share.items()}
    assert plain([together[i] for i in range(len(dev))]) == plain([alone[i] for i in range(len(dev))])
    assert sum(len(s.entities) for s in alone.values()) > 5
    words = [sum(len(s.words) for s in share.values()) for share in shares]
    assert max(words) - min(words) <= max(len(s.words) for s in examples.sentences)


def test_without_long_sentences_nothing_is_cut(tiny_encoder: str, tmp_path: Path) -> None:
    config = config_of(tiny_encoder, tmp_path, tiny_records(6))
    prepared, examples = loud(config)
    assert examples.windows == {} and [len(rows) for rows in examples.rows()] == [1] * 6
    scores = evaluate(prepared.model, examples, prepared.tags, None).scores()
    result = run_worker(Job(config, RunFolder(tmp_path / "run"), 1), choose_context(config))
    assert scores.to_json().keys() == result["scores"]["dev"]["scores"].keys()
    assert "windowed" not in result["scores"]["dev"]["protocol"]


def test_a_training_says_how_many_are_read_by_windows(tiny_encoder: str, tmp_path: Path) -> None:
    config = config_of(tiny_encoder, tmp_path, [*tiny_records(4), long(8)], [long(8), *tiny_records(2), long(9)])
    said: list[str] = []
    done = fit(config, "r", say=said.append, validate=True)
    lines = [line for line in said if "read by windows" in line]
    assert lines == [
        f"data dev: 1 sentence over the encoder's limit of {LIMIT} subwords: read by windows, as prediction does",
        f"data test: 2 sentences over the encoder's limit of {LIMIT} subwords: read by windows, as prediction does",
    ]
    scores = done.best["scores"]
    assert {split: scores[split]["protocol"]["windowed"] for split in scores} == {"dev": 1, "test": 2}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_word_over_the_limit_is_refused_before_anything_is_written(
    split: str, tiny_encoder: str, tmp_path: Path
) -> None:
    good, bad = tiny_records(3), [*tiny_records(2), {**long(6), "tokens": ["x" * 80, *long(6)["tokens"][1:]]}]
    config = config_of(tiny_encoder, tmp_path, *((bad, good) if split == "dev" else (good, bad)))
    assert load_encoder(tiny_encoder).tokenizer.limit == LIMIT
    with pytest.raises(InputError, match=rf"data {split} \(tiny_{split}\.json\): sentence 2: ") as caught:
        fit(config, "r")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
