"""What one worker does: data, model, resume, epochs, checkpoints, final scores. Knows nothing of Ray."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tablert_dist.config import Config
from tablert_dist.cpu import keep_pages
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.errors import InputError
from tablert_dist.model import TableModel, build_model
from tablert_dist.model import checkpoint as ckpt
from tablert_dist.model.encoder import EncoderParts, load_encoder
from tablert_dist.runs.folder import FEATURES
from tablert_dist.runs.job import Job
from tablert_dist.schema import Sentence
from tablert_dist.scoring import best_epoch
from tablert_dist.storage.checkpoint_folder import resumable
from tablert_dist.tags import TagSet
from tablert_dist.tokenization.windows import Windows, rows_of, windows_of
from tablert_dist.tracking import NullTracker, Tracker
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.evaluation import evaluate_unless
from tablert_dist.train.features import Features, KeptFeatures, SubwordFeatures, WordFeatures
from tablert_dist.train.loop import Progress, agreed, train_epochs
from tablert_dist.train.position import Position
from tablert_dist.train.preflight import drop_overflow
from tablert_dist.train.session import Session
from tablert_dist.train.stopping import NEVER, Stop

log = logging.getLogger(__name__)
ReportEpoch = Callable[[dict[str, float]], None]


def choose_context(config: Config, rank: int = 0, world_size: int = 1) -> TrainContext:
    """Device and precision of this worker. Raises InputError where a device is demanded and there is none."""
    usable = torch.cuda.is_available()
    asked = config.train.device
    if asked == "cuda" and not usable:
        raise InputError("train.device = cuda: torch finds no usable CUDA device here; use auto or cpu")
    if asked == "mps" and not torch.backends.mps.is_available():
        raise InputError("train.device = mps: torch finds no usable Apple GPU here; use auto or cpu")
    if asked == "mps" and world_size > 1:
        raise InputError("train.device = mps: Apple's GPU trains with one worker; set cluster.num_workers=1, or 0")
    device = torch.device("mps" if asked == "mps" else "cuda" if usable and asked != "cpu" else "cpu")
    wanted = config.train.precision
    half = wanted == "bf16" or (wanted == "auto" and device.type == "cuda")
    return TrainContext(rank, world_size, device, torch.bfloat16 if half else None)


def prepare_device(context: TrainContext) -> None:
    """Set what torch keeps for the whole process: in fp32 cuDNN would otherwise convolve in TF32, to three digits."""
    if context.device.type == "cuda" and context.autocast is None:
        torch.backends.cudnn.allow_tf32 = False


def run_worker(
    job: Job,
    context: TrainContext,
    tracker: Tracker | None = None,
    report: ReportEpoch | None = None,
    progress: Progress | None = None,
    corpus: Corpus | None = None,
    stop: Stop = NEVER,
) -> dict[str, Any]:
    """Train `job` from its newest checkpoint, if it has one, to its end; the result as in `result.json`.

    `corpus` unset: read from `data.path`. Raises Stopped where `stop` asks for the end, with what was trained saved.
    """
    tracker = tracker or NullTracker()
    prepare_device(context)
    config = effective(job.config)
    prepared = prepare(config, job.seed, corpus)
    model, tags = prepared.model, prepared.tags
    if job.init_from:
        start_from(model, job.init_from, tags, config.model.trust_remote_code)
    history, state = _resume(job.folder.path, model, context, config.model.trust_remote_code)
    # Beside the trials of a search, or the seeds of a training: what one of them has computed serves the others.
    splits = examples_of(prepared, config, context, job.folder.path.parent / FEATURES)
    session = Session(job, config, prepared.corpus, model, prepared.parts, context, tracker, stop)
    with stop.deferred():
        if not _stops_early(history, config):
            _train(session, splits, tags, history, state, report, progress)
        return session.finish(history, splits, tags)


def _train(
    session: Session,
    splits: dict[str, Examples],
    tags: TagSet,
    history: list[dict[str, float]],
    state: dict[str, Any] | None,
    report: ReportEpoch | None,
    progress: Progress | None,
) -> None:
    """Train epoch after epoch, save each and add its row to `history`. Raises Stopped where the end is asked for."""
    config, context, model, stop = session.config, session.context, session.model, session.stop
    optimizer, first = (state["optimizer"], state["epoch"]) if state else (None, 0)
    start = Position.of(state) if state else None
    for epoch in train_epochs(
        model, splits["train"], tags, config, session.job.seed, context, optimizer, first, progress, start, stop
    ):
        if isinstance(epoch, Position):
            raise session.stopped(history, epoch)
        values = epoch.metrics()
        if "dev" in splits:
            started = time.perf_counter()
            counts = evaluate_unless(model, splits["dev"], tags, config.train.eval_cells, context, stop)
            if counts is None:
                raise session.stopped(history, epoch.position())
            values |= counts.scores().flat("dev")
            values["dev/sentences_per_second"] = len(splits["dev"].sentences) / (time.perf_counter() - started)
        row = {"epoch": float(epoch.epoch + 1), **values}
        history.append(row)
        session.save(history, epoch.optimizer_state())
        if report:
            report(row)
        if _stops_early(history, config):
            break
        if agreed(stop, context):
            raise session.stopped(history)


@dataclass(frozen=True)
class Prepared:
    """What a training starts from."""

    corpus: Corpus
    tags: TagSet
    parts: EncoderParts
    model: TableModel


def prepare(config: Config, seed: int, corpus: Corpus | None = None) -> Prepared:
    """Data (read, where none are given), encoder and model, its head drawn from `seed`."""
    keep_pages()
    corpus = corpus or load_corpus(config.data, config.model)
    tags = TagSet(corpus.schema)
    torch.manual_seed(seed)
    parts = load_encoder(config.model.encoder, config.model.layer, config.model.trust_remote_code)
    corpus = drop_overflow(corpus, parts, config)
    return Prepared(corpus, tags, parts, build_model(config.model, parts, tags))


def examples_of(
    prepared: Prepared, config: Config, context: TrainContext, cache: Path | None = None
) -> dict[str, Examples]:
    """Each split as the inputs of what is trained, the model moved to its device. A frozen encoder's are computed now,
    with the weights that it has now, and kept in the folder `cache` where there is one."""
    model, parts = prepared.model.to(context.device), prepared.parts
    kept = KeptFeatures(model.encoder, cache) if model.encoder.frozen and cache else None
    found = {}
    for name, sentences in prepared.corpus.splits.items():
        # What is trained on fits; a sentence of dev or test that does not is read as prediction reads it.
        windows = {} if name == "train" else windows_of([s.words for s in sentences], parts.tokenizer)
        subwords = subwords_of(model, parts, sentences, windows)
        features: Features = subwords
        if model.encoder.frozen:
            features = WordFeatures(model.encoder, subwords, config.train.eval_cells, context.device, kept)
        found[name] = Examples(sentences, features, windows)
    return found


def subwords_of(
    model: TableModel,
    parts: EncoderParts,
    sentences: Sequence[Sentence],
    windows: Windows | None = None,
) -> SubwordFeatures:
    """The sentences' subwords, or their windows', as the model's scheme wants them."""
    words = rows_of([s.words for s in sentences], windows or {})
    return SubwordFeatures([model.scheme.prepare(e) for e in parts.tokenizer.encode(words)], parts.pad_id)


def effective(config: Config) -> Config:
    """The configuration as it is carried out: without a dev split the last epoch counts."""
    if config.data.train_on == "train+dev" and config.train.select != "last":
        return config.model_copy(update={"train": config.train.model_copy(update={"select": "last"})})
    return config


def start_from(model: TableModel, folder: Path, tags: TagSet, trusted: bool = False) -> None:
    """Take the weights of a checkpoint of the same schema. `trusted`: as `read_card`."""
    card = ckpt.read_card(folder, trusted=trusted)
    if card.schema != tags.schema:
        raise InputError(
            f"checkpoint {folder} was trained on another schema: {card.schema.to_json()} against {tags.schema.to_json()}"
        )
    ckpt.load_weights(model, folder)


def _resume(
    folder: Path, model: TableModel, context: TrainContext, trusted: bool
) -> tuple[list[dict[str, float]], dict[str, Any] | None]:
    """The history and the trainer's state that the training goes on from, their weights put into `model`."""
    newest = resumable(folder)
    if newest is None:
        return [], None
    state = ckpt.read_trainer(newest)
    position = Position.of(state)
    if position and (why := position.mismatch(context)):
        older = resumable(folder, partial=False)
        if not context.rank:
            log.warning("%s is passed over: %s; going on from %s", newest, why, older or "the beginning")
        if older is None:
            return [], None
        newest, state = older, ckpt.read_trainer(older)
    card = ckpt.read_card(newest, verified=True, trusted=trusted)
    ckpt.load_weights(model, newest)
    log.info("resuming from %s", newest)
    return list(card.notes["history"]), state


def _stops_early(history: list[dict[str, float]], config: Config) -> bool:
    """Whether early stopping ended, or ends, the training after these epochs."""
    patience, best = config.train.early_stop, best_epoch(history)
    return bool(patience and best and len(history) - best >= patience)
