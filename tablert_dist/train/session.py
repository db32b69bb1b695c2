"""Rank 0's side of a training: its checkpoints, which are kept, the protocol of its scores, and its result."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tablert_dist.analysis.constrained import check_kept
from tablert_dist.analysis.errors import examine
from tablert_dist.analysis.fitting import NO_DEV, fit_temperatures
from tablert_dist.config import Config, public_config
from tablert_dist.data import Corpus
from tablert_dist.data.constraints import learn
from tablert_dist.errors import InputError, RunError, Stopped
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.temperatures import Fitted, Measured
from tablert_dist.inference.loading import of_model
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import TableModel
from tablert_dist.model import checkpoint as ckpt
from tablert_dist.model.encoder import EncoderParts
from tablert_dist.pages.errors.page import write_page
from tablert_dist.runs.job import Job
from tablert_dist.scoring import Protocol, best_epoch
from tablert_dist.storage.atomic import write_json
from tablert_dist.storage.checkpoint_folder import checkpoint_name, checkpoints, partial_name, partials
from tablert_dist.storage.mirror import RESULT
from tablert_dist.tags import TagSet
from tablert_dist.tracking import Tracker
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.evaluation import annotate, evaluate_unless
from tablert_dist.train.position import Position
from tablert_dist.train.stopping import NEVER, Stop, ended_after


class Session:
    """Rank 0's files; the other ranks only pass through."""

    def __init__(
        self,
        job: Job,
        config: Config,
        corpus: Corpus,
        model: TableModel,
        parts: EncoderParts,
        context: TrainContext,
        tracker: Tracker,
        stop: Stop = NEVER,
    ) -> None:
        self.job, self.config, self.corpus, self.model = job, config, corpus, model
        self.parts, self.context, self.tracker, self.stop = parts, context, tracker, stop
        self.folder, self.mirror = job.folder.path, job.folder.mirror

    def save(self, history: list[dict[str, float]], optimizer: Mapping[str, Any]) -> None:
        """Write this epoch's checkpoint, then thin out the older ones."""
        if self.context.rank:
            return
        row = history[-1]
        epoch = int(row["epoch"])
        newest = self.folder / checkpoint_name(epoch)
        ckpt.save_checkpoint(newest, self.model, self.card(history), {"epoch": epoch, "optimizer": dict(optimizer)})
        # Two that training can go on from: the newest may be damaged by what ends this process.
        older = [p for p in checkpoints(self.folder) if p != newest]
        keep = {older[-1].name if older else "", checkpoint_name(self.selected(history))}
        for folder in older:
            if folder.name not in keep:
                _remove(folder)
            elif folder != older[-1]:
                ckpt.drop_trainer(folder)
        for folder in partials(self.folder):
            _remove(folder)
        self.tracker.metrics({k: v for k, v in row.items() if k != "epoch"}, epoch)
        self.mirror.push()

    def stopped(self, history: list[dict[str, float]], position: Position | None = None) -> Stopped:
        """Save the position in an epoch, if the training is in one; return what to raise."""
        told = self.job.seed, len(history), self.config.train.epochs
        if position is None:
            return Stopped(ended_after(*told))
        if not self.context.rank:
            target = self.folder / partial_name(position.epoch + 1)
            ckpt.save_checkpoint(target, self.model, self.card(history, position), position.state())
            for folder in partials(self.folder):
                if folder != target:
                    _remove(folder)
            self.mirror.push()
        return Stopped(ended_after(*told, position.step, position.steps))

    def card(self, history: list[dict[str, float]], position: Position | None = None) -> ckpt.ModelCard:
        """What is saved beside the weights."""
        within = {"step": position.step, "steps": position.steps} if position else {}
        notes = {
            "epoch": int(history[-1]["epoch"]) if history else 0,
            **within,
            "seed": self.job.seed,
            "history": history,
            "protocol": self.protocol("dev").to_json(),
        }
        return ckpt.ModelCard(
            public_config(self.config),
            self.corpus.schema,
            self.parts.tokenizer,
            self.parts.pad_id,
            notes,
            constraints=self.constraints,
        )

    @cached_property
    def constraints(self) -> Constraints:
        """Those that the types file gives, else those that hold in the sentences trained on."""
        corpus = self.corpus
        named = f"{corpus.name} {self.config.data.train_on}"
        return corpus.constraints or learn(corpus.train, corpus.schema, named)

    def selected(self, history: list[dict[str, float]]) -> int:
        """The epoch whose weights are the result."""
        best = best_epoch(history) if self.config.train.select == "best_dev" else None
        return best or int(history[-1]["epoch"])

    def protocol(self, split: str, windowed: int = 0) -> Protocol:
        """The protocol of a score on `split`; `windowed` of its sentences were read by windows."""
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
            left_out=self.corpus.left_out.get(split, 0),
            windowed=windowed,
        )

    def finish(self, history: list[dict[str, float]], splits: Mapping[str, Examples], tags: TagSet) -> dict[str, Any]:
        """Score the selected weights on dev and, where the job says so, on test; write `result.json`."""
        chosen = self.selected(history)
        folder = self.folder / checkpoint_name(chosen)
        if chosen != int(history[-1]["epoch"]):
            # Rank 0 wrote it before the last epoch began, so every rank on this storage can read it.
            if self.context.rank:
                self.mirror.pull_checkpoint(folder.name)
            self._load_selected(folder)
        fitted = self._calibrated(folder)
        scores = {}
        for split in ("dev", "test"):
            if split in splits and (split == "dev" or self.job.score_test):
                cells = self.config.train.eval_cells
                counts = evaluate_unless(self.model, splits[split], tags, cells, self.context, self.stop)
                if counts is None:
                    raise self.stopped(history)
                found = counts.scores()
                scores[split] = {
                    "protocol": self.protocol(split, len(splits[split].windows)).to_json(),
                    "scores": found.to_json(),
                }
                if not self.context.rank:
                    self.tracker.metrics({f"final_{k}": v for k, v in found.flat(split).items()}, chosen)
                    if self.job.score_test:
                        # What was measured without temperatures was measured on dev.
                        before = fitted.before if fitted and split == "dev" else None
                        self._errors(splits[split], split, tags, before)
        result = {
            "seed": self.job.seed,
            "epoch": chosen,
            "epochs": int(history[-1]["epoch"]),
            "checkpoint": str(folder),
            "history": history,
            "scores": scores,
            **({"calibration": fitted.to_json()} if fitted else {}),
            "parameters": {
                "trained": sum(p.numel() for p in self.model.trainable.parameters() if p.requires_grad),
                "all": sum(p.numel() for p in self.model.parameters()),
            },
        }
        if not self.context.rank:
            # By its name: the file is logged, and goes with the folder wherever that goes (`read_result`).
            write_json(self.folder / RESULT, {**result, "checkpoint": folder.name})
            # Finished: nothing goes on from the optimiser's state, which is two thirds of a checkpoint.
            last = checkpoint_name(int(history[-1]["epoch"]))
            for left in partials(self.folder):
                _remove(left)
            for kept in checkpoints(self.folder):
                ckpt.drop_trainer(kept)
                if kept.name not in {last, folder.name}:
                    _remove(kept)
            self.tracker.artifact(self.folder / RESULT, "scores")
            if self.job.score_test:
                self.tracker.artifact(folder, "checkpoint")
            self.mirror.push()
        return result

    def _calibrated(self, folder: Path) -> Fitted | None:
        """Fit the temperatures of the selected weights on dev, in fp32 as prediction reads, and keep them in the checkpoint.
        None of a search's trials, of which the winner gets them, and on other ranks than 0."""
        if self.context.rank or not self.job.score_test:
            return None
        fitted = Fitted(note=NO_DEV)
        if gold := self.corpus.splits.get("dev"):
            predictor = Predictor.of(of_model(self.model, self.card([])))
            fitted = fit_temperatures(predictor, gold, f"{self.corpus.name} dev")
        ckpt.keep_calibration(folder, fitted)
        self.model.scheme.temperatures = fitted.temperatures
        return fitted

    def _load_selected(self, folder: Path) -> None:
        """Raise RunError where somebody removed the checkpoint while the training ran."""
        try:
            ckpt.load_weights(self.model, folder)
        except InputError as error:
            left = ", ".join(kept.name for kept in checkpoints(self.folder) if kept != folder) or "none"
            raise RunError(
                f"{error}. It was the best epoch's and was whole when it was saved: something removed or changed it while "
                f"the training ran. Other checkpoints that are there: {left}. Export one of them with tablert-export "
                f"--checkpoint, or train again under another name"
            ) from None

    def _errors(self, examples: Examples, split: str, tags: TagSet, before: Measured | None) -> None:
        """The page of the selected weights' errors on a split, kept with the run and logged. `before`: as `ErrorReport`'s."""
        alone = TrainContext(device=self.context.device, autocast=self.context.autocast)
        found = annotate(self.model, examples, tags, self.config.train.eval_cells, alone)
        said = [found[i] for i in range(len(found))]
        checked = check_kept(Rules.of(self.constraints, tags), said)
        report = examine(examples.sentences, said, tags.schema, before=before, constraints=checked)
        title = f"{self.corpus.name} {split}"
        page = write_page(
            report, self.folder / f"errors-{split}.html", title, str(self.protocol(split, len(examples.windows)))
        )
        self.tracker.artifact(page, "scores")


def _remove(folder: Path) -> None:
    """Delete a checkpoint so that a crash in the middle leaves none that looks whole."""

    gone = folder.with_name(f".{folder.name}.gone")
    folder.rename(gone)
    shutil.rmtree(gone)
