"""After a search: the winner's weights, its scores, the verified bundle, and its place in the registry."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export.gates import VerificationReport
from export.graph import export_bundle
from export.pyfunc import save_pyfunc
from tablert_dist.analysis.fitting import fit_temperatures
from tablert_dist.cluster import ScalingPlan
from tablert_dist.config import Config
from tablert_dist.data import Corpus
from tablert_dist.heads import head_spec
from tablert_dist.inference.loading import of_model
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model.checkpoint import keep_calibration, load_checkpoint, read_card
from tablert_dist.runs.folder import Tracked
from tablert_dist.runs.result import FitResult
from tablert_dist.schema import Sentence
from tablert_dist.scoring import Protocol, Scores, count
from tablert_dist.storage.checkpoint_folder import META
from tablert_dist.storage.mirror import JOURNAL, RESULT
from tablert_dist.tracking import promote, register
from tablert_dist.train.fit import train_seeds
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.tune.search import SearchResult
from tablert_dist.tune.trials import METRIC

log = logging.getLogger(__name__)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scored:
    """The winner's scores on a split, with the protocol that they were measured under."""

    scores: Scores
    protocol: Protocol

    def to_json(self) -> dict[str, Any]:
        """As a training's result has it."""
        return {"protocol": self.protocol.to_json(), "scores": self.scores.to_json()}


@dataclass(frozen=True)
class Finished:
    """What a search leaves behind."""

    checkpoint: Path
    bundle: Path
    report: VerificationReport
    scored: Mapping[str, Scored]
    """By split."""
    version: int | None
    """In the model registry."""
    not_champion: str | None
    """Why the alias stayed at another version."""
    retrained: FitResult | None


def finish(result: SearchResult, corpus: Corpus, scaling: ScalingPlan, say: Say, stop: Stop = NEVER) -> Finished:
    """Take the best trial's checkpoint, or train its configuration again; score, export, verify, register.

    Raises VerificationError where the exported graph does not compute what the model computes, or nothing shows that it does.
    """
    config, run = result.config, result.run
    checkpoint, retrained = result.best.checkpoint, None
    if config.tune.finish == "retrain":
        say(f"training the best configuration again with seeds {list(config.train.seeds)}")
        results = train_seeds(config, run.folder.child("best"), corpus, scaling, parent=result.uid, stop=stop)
        retrained = FitResult(run.name, run.path / "best", results)
        checkpoint = Path(retrained.best["checkpoint"])
    # In the training that was told to trust the encoder's own code, and nowhere else: the bundle needs none.
    code_from = config.model.encoder if config.model.trust_remote_code else None
    trials = len(result.earlier) + len(result.trials)
    if dev := corpus.splits.get("dev"):
        _calibrate(result, checkpoint, dev, f"{corpus.name} dev", code_from)
    scored = score_checkpoint(checkpoint, corpus, code_from, trials, len(retrained.results) if retrained else 1)
    bundle = run.path / "bundle"
    # A resumed search exports again: the winner may be another.
    shutil.rmtree(bundle, ignore_errors=True)
    split = "dev" if corpus.splits.get("dev") else "train"
    report = export_bundle(
        checkpoint,
        bundle,
        config.export,
        gold=corpus.splits[split],
        verified_on=f"{corpus.name} {split}",
        code_from=code_from,
    )
    version, not_champion = _publish(result, config, checkpoint, bundle, scored)
    found = {
        "trial": result.best.name,
        "point": dict(result.best.point),
        "checkpoint": str(checkpoint),
        "bundle": str(bundle),
        "scores": {split: one.to_json() for split, one in scored.items()},
        "report": report.to_json(),
        "model_version": version,
    }
    # The result last: it says that the rest is there.
    run.folder.publish(p for p in bundle.rglob("*") if p.is_file())
    run.folder.write(RESULT, found)
    run.update(status="finished")
    run.folder.mirror.push_files(JOURNAL)
    for folder in (run.folder, run.folder.child("best")):
        folder.drop_features()
    return Finished(checkpoint, bundle, report, scored, version, not_champion, retrained)


def score_checkpoint(
    checkpoint: Path, corpus: Corpus, code_from: str | None = None, trials: int = 0, seeds: int = 1
) -> dict[str, Scored]:
    """Score a checkpoint on dev and test, where there are such splits, as `tablert evaluate` does without options.

    Whatever `predict` says of thresholds, beams and batches: scores of two searches would differ by it. `trials`: that the
    checkpoint was chosen from; `seeds`: trained again, of which it is the best on dev. `code_from`: as `load_checkpoint`.
    """
    card = read_card(checkpoint, verified=True, trusted=code_from is not None)
    predictor = _predictor(checkpoint, code_from)
    trained = Protocol.of(card.notes["protocol"])
    selection = trained.selection if seeds == 1 else f"{trained.selection}, best of {seeds} seeds on dev"
    found = {}
    for split in ("dev", "test"):
        gold = corpus.splits.get(split)
        if not gold:
            continue
        read = predictor.predict_words([s.words for s in gold])
        pairs = zip(gold, (one.sentence for one in read), strict=True)
        protocol = replace(
            trained,
            scored_on=split,
            selection=selection,
            left_out=corpus.left_out.get(split, 0),
            windowed=sum(bool(one.read and one.read.windows) for one in read),
            chosen_from=trials,
            decoding=head_spec(card.model).decoding(card.model),
            precision="fp32",
        )
        found[split] = Scored(count(pairs, corpus.schema).scores(), protocol)
    return found


def _predictor(checkpoint: Path, code_from: str | None) -> Predictor:
    if code_from is None:
        return Predictor.load(checkpoint)
    return Predictor.of(of_model(*load_checkpoint(checkpoint, code_from=code_from)))


def _calibrate(
    result: SearchResult, checkpoint: Path, dev: Sequence[Sentence], named: str, code_from: str | None
) -> None:
    """Fit the winner's temperatures where its training has not: a trial's does not, a training of its own does."""
    if read_card(checkpoint, verified=True, trusted=code_from is not None).calibration is not None:
        return
    keep_calibration(checkpoint, fit_temperatures(_predictor(checkpoint, code_from), dev, named))
    if checkpoint == result.best.checkpoint:
        result.best.folder.mirror.push_files([f"{checkpoint.name}/{META}"])


def _publish(
    result: SearchResult, config: Config, checkpoint: Path, bundle: Path, scored: Mapping[str, Scored]
) -> tuple[int | None, str | None]:
    """Log the winner to the search's run, register it, and give it the alias where it is the best so far.

    Returns the version, None where tracking is off or unreachable, and the reason why it has not the alias.
    """
    run = result.run
    if run.folder.tracking is None or result.uid is None:
        return None, None
    tracker = run.folder.tracker(Tracked(run.name))
    for split, one in scored.items():
        tracker.metrics({f"best_{key}": value for key, value in one.scores.flat(split).items()}, 0)
    tracker.artifact(bundle / "report.json", "report")
    shutil.rmtree(run.path / "model", ignore_errors=True)
    tracker.artifact(save_pyfunc(bundle, run.path / "model"), "model")
    tracker.artifact(checkpoint, "model/checkpoint")
    if not tracker.close("FINISHED", timeout=120.0):
        log.warning("MLflow has not got everything yet, so the model is not registered")
        return None, None
    uri, name = run.folder.tracking.uri, config.tracking.registered_model
    protocol = read_card(checkpoint, verified=True, trusted=config.model.trust_remote_code).notes["protocol"]
    dev_f1 = scored["dev"].scores.f1("re_plus") if "dev" in scored else result.best.best(METRIC)
    tags = {
        "data.name": protocol["dataset"],
        "data.hash": protocol["data_hash"],
        "trained_on": protocol["trained_on"],
        "overlap": protocol["overlap"],
        METRIC: f"{dev_f1:.4f}",
    }
    note = f"Best of the search {run.name}: {dict(result.best.point)}"
    version = register(uri, name, result.uid, "model", tags=tags, description=note)
    return version, promote(uri, name, version, config.tracking.alias, METRIC, [key for key in tags if key != METRIC])
