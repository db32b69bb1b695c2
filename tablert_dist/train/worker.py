"""What one worker does: data, model, resume, epochs, checkpoints, final scores. Knows nothing of Ray."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tablert_dist import checkpoint as ckpt
from tablert_dist.allocator import keep_pages
from tablert_dist.config import Config, public_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.encoding import TableLoss, fit_to_table
from tablert_dist.errors import InputError
from tablert_dist.features import Features, SubwordFeatures, WordFeatures
from tablert_dist.loop import Examples, Place, Progress, evaluate, train_epochs
from tablert_dist.model import TableModel, build_model
from tablert_dist.model.encoder import EncoderParts, TextParts, load_encoder
from tablert_dist.scoring import Protocol, count
from tablert_dist.tables import TagSet
from tablert_dist.tracking import NullTracker, Tracker
from tablert_dist.train import runs

log = logging.getLogger(__name__)
Report = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class Job:
    """One training of one seed, complete: it can be sent to any worker."""

    config: Config
    folder: Path
    seed: int
    init_from: Path | None = None
    score_test: bool = True


def choose_place(config: Config, rank: int = 0, world_size: int = 1) -> Place:
    """Device and precision of this worker. Raises InputError where CUDA is demanded and there is none."""
    usable = torch.cuda.is_available()
    if config.train.device == "cuda" and not usable:
        raise InputError("train.device = cuda: torch finds no usable CUDA device here; use auto or cpu")
    device = torch.device("cuda" if usable and config.train.device != "cpu" else "cpu")
    wanted = config.train.precision
    half = wanted == "bf16" or (wanted == "auto" and device.type == "cuda")
    return Place(rank, world_size, device, torch.bfloat16 if half else None)


def run_worker(
    job: Job,
    place: Place,
    tracker: Tracker | None = None,
    report: Report | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train `job` from its newest checkpoint, if it has one, to its end; the result as in `result.json`."""
    tracker = tracker or NullTracker()
    config = effective(job.config)
    keep_pages()
    corpus = load_corpus(config.data)
    tags = TagSet(corpus.schema)
    torch.manual_seed(job.seed)
    parts = load_encoder(config.model.encoder, config.model.layer)
    corpus = drop_overflow(corpus, parts, config)
    model = build_model(config.model, parts, tags)
    if job.init_from:
        start_from(model, job.init_from, tags)
    history, state = _resume(job.folder, model)
    model.to(place.device)
    splits = {name: _examples(sentences, model, parts, config, place) for name, sentences in corpus.splits.items()}
    session = _Session(job, config, corpus, model, parts, place, tracker)
    for epoch in train_epochs(
        model,
        splits["train"],
        tags,
        config,
        job.seed,
        place,
        state["optimizer"] if state else None,
        state["epoch"] if state else 0,
        progress,
    ):
        values = epoch.metrics()
        if "dev" in splits:
            started = time.perf_counter()
            counts = evaluate(model, splits["dev"], tags, config.train.eval_cells, place)
            values |= counts.scores().flat("dev")
            values["dev/sentences_per_second"] = len(splits["dev"].sentences) / (time.perf_counter() - started)
        row = {"epoch": float(epoch.epoch + 1), **values}
        history.append(row)
        session.save(history, epoch.optimizer_state())
        if report:
            report(row)
        if _stops_early(history, config):
            break
    return session.finish(history, splits, tags)


def effective(config: Config) -> Config:
    """The configuration as it is carried out: without a dev split the last epoch counts."""
    if config.data.train_on == "train+dev" and config.train.select != "last":
        return config.model_copy(update={"train": config.train.model_copy(update={"select": "last"})})
    return config


def drop_overflow(corpus: Corpus, parts: EncoderParts | TextParts, config: Config) -> Corpus:
    """Training sentences over the encoder's limit: refused, or with `data.on_overflow = drop` left out and counted."""
    long = [i for i, s in enumerate(corpus.train) if parts.tokenizer.overflows(s.words)]
    if not long:
        return corpus
    limit = parts.tokenizer.limit
    if config.data.on_overflow == "error":
        raise InputError(
            f"{corpus.name}: train: sentence {long[0]} (one of {len(long)}) is over the encoder's limit of {limit} "
            f"subwords; split it, or leave such sentences out with --set data.on_overflow=drop"
        )
    log.warning("%s: %d training sentences over %d subwords are left out", corpus.name, len(long), limit)
    kept = tuple(s for i, s in enumerate(corpus.train) if i not in set(long))
    return replace(corpus, splits={**corpus.splits, "train": kept})


def start_from(model: TableModel, folder: Path, tags: TagSet) -> None:
    """Take the weights of a checkpoint of the same schema."""
    card = ckpt.read_card(folder)
    if card.schema != tags.schema:
        raise InputError(
            f"checkpoint {folder} was trained on another schema: {card.schema.to_json()} against {tags.schema.to_json()}"
        )
    ckpt.load_weights(model, folder)


def table_report(corpus: Corpus, tags: TagSet) -> dict[str, dict[str, Any]]:
    """For each split what a table cannot hold, and the F1 that a perfect model would reach (the oracle)."""
    found = {}
    for split, sentences in corpus.splits.items():
        fitted = [fit_to_table(s, tags) for s in sentences]
        loss = sum((lost for _, lost in fitted), TableLoss())
        scores = count(((gold, fits) for gold, (fits, _) in zip(sentences, fitted, strict=True)), tags.schema).scores()
        found[split] = {
            "lost": str(loss),
            "total": loss.total,
            "oracle_re_plus_f1": scores.f1("re_plus"),
            "oracle_ner_f1": scores.f1("ner"),
        }
    return found


def _examples(sentences: Any, model: TableModel, parts: EncoderParts, config: Config, place: Place) -> Examples:
    subwords = SubwordFeatures(parts.tokenizer.encode([s.words for s in sentences]), parts.pad_id)
    features: Features = subwords
    if model.encoder.frozen:
        features = WordFeatures(model.encoder, subwords, config.train.eval_cells, place.device)
    return Examples(sentences, features)


def _resume(folder: Path, model: TableModel) -> tuple[list[dict[str, float]], dict[str, Any] | None]:
    newest = runs.resumable(folder)
    if newest is None:
        return [], None
    card = ckpt.read_card(newest)
    ckpt.load_weights(model, newest)
    state = ckpt.read_trainer(newest)
    log.info("resuming from %s", newest)
    return list(card.notes["history"]), state


def _stops_early(history: list[dict[str, float]], config: Config) -> bool:
    patience = config.train.early_stop
    return bool(patience and "dev/re_plus_f1" in history[0] and len(history) - runs.best_epoch(history) >= patience)


class _Session:
    """Rank 0's files; the other ranks only pass through."""

    def __init__(
        self,
        job: Job,
        config: Config,
        corpus: Corpus,
        model: TableModel,
        parts: EncoderParts,
        place: Place,
        tracker: Tracker,
    ) -> None:
        self.job, self.config, self.corpus, self.model = job, config, corpus, model
        self.parts, self.place, self.tracker = parts, place, tracker

    def save(self, history: list[dict[str, float]], optimizer: Mapping[str, Any]) -> None:
        """Write this epoch's checkpoint, then thin out the older ones."""
        if self.place.rank:
            return
        row = history[-1]
        epoch = int(row["epoch"])
        newest = self.job.folder / runs.checkpoint_name(epoch)
        ckpt.save_checkpoint(newest, self.model, self.card(history), {"epoch": epoch, "optimizer": dict(optimizer)})
        keep = {newest.name, runs.checkpoint_name(self.selected(history))}
        for older in runs.checkpoints(self.job.folder):
            if older.name not in keep:
                _remove(older)
            elif older != newest:
                ckpt.drop_trainer(older)
        self.tracker.metrics({k: v for k, v in row.items() if k != "epoch"}, epoch)

    def card(self, history: list[dict[str, float]]) -> ckpt.ModelCard:
        """What is saved beside the weights."""
        notes = {
            "epoch": int(history[-1]["epoch"]),
            "seed": self.job.seed,
            "history": history,
            "protocol": asdict(self.protocol("dev")),
        }
        return ckpt.ModelCard(
            public_config(self.config), self.corpus.schema, self.parts.tokenizer, self.parts.pad_id, notes
        )

    def selected(self, history: list[dict[str, float]]) -> int:
        """The epoch whose weights are the result."""
        by_dev = self.config.train.select == "best_dev" and "dev/re_plus_f1" in history[0]
        return runs.best_epoch(history) if by_dev else int(history[-1]["epoch"])

    def protocol(self, split: str) -> Protocol:
        """The protocol of a score on `split`."""
        config = self.config
        by_dev = config.train.select == "best_dev" and "dev" in self.corpus.splits
        return Protocol(
            self.corpus.name,
            self.corpus.hash,
            config.data.train_on,
            split,
            config.data.overlap,
            config.model.encoder,
            config.train.epochs,
            "best dev epoch by RE+" if by_dev else "last epoch",
            (self.job.seed,),
        )

    def finish(self, history: list[dict[str, float]], splits: Mapping[str, Examples], tags: TagSet) -> dict[str, Any]:
        """Score the selected weights on dev and, where the job says so, on test; write `result.json`."""
        chosen = self.selected(history)
        folder = self.job.folder / runs.checkpoint_name(chosen)
        if chosen != int(history[-1]["epoch"]):
            # Rank 0 wrote it before the last epoch began, so every rank on this storage can read it.
            ckpt.load_weights(self.model, folder)
        scores = {}
        for split in ("dev", "test"):
            if split in splits and (split == "dev" or self.job.score_test):
                found = evaluate(self.model, splits[split], tags, self.config.train.eval_cells, self.place).scores()
                scores[split] = {"protocol": asdict(self.protocol(split)), "scores": found.to_json()}
                if not self.place.rank:
                    self.tracker.metrics({f"final_{k}": v for k, v in found.flat(split).items()}, chosen)
        result = {
            "seed": self.job.seed,
            "epoch": chosen,
            "epochs": int(history[-1]["epoch"]),
            "checkpoint": str(folder),
            "history": history,
            "scores": scores,
        }
        if not self.place.rank:
            runs.write_json(self.job.folder / "result.json", result)
            self.tracker.artifact(self.job.folder / "result.json", "scores")
        return result


def read_result(folder: Path) -> dict[str, Any] | None:
    """The result of a finished training, or None."""
    path = folder / "result.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _remove(folder: Path) -> None:
    """Delete a checkpoint so that a crash in the middle leaves none that looks whole."""
    import shutil

    gone = folder.with_name(f".{folder.name}.gone")
    folder.rename(gone)
    shutil.rmtree(gone)
