"""After a search: the winner's weights, its scores, the verified bundle, and its place in the registry."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.gates import VerificationReport
from export.graph import export_bundle
from export.pyfunc import save_pyfunc
from tablert_dist.cluster import ScalingPlan
from tablert_dist.config import Config
from tablert_dist.data import Corpus
from tablert_dist.inference.loading import LoadedModel
from tablert_dist.inference.predictor import Predictor
from tablert_dist.inference.torch_engine import TorchEngine
from tablert_dist.model.checkpoint import load_checkpoint, read_card
from tablert_dist.runs.folder import Tracked
from tablert_dist.runs.result import FitResult
from tablert_dist.scoring import Scores, count
from tablert_dist.storage.mirror import JOURNAL, RESULT
from tablert_dist.tracking import promote, register
from tablert_dist.train.fit import train_seeds
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.tune.search import SearchResult
from tablert_dist.tune.trials import METRIC

log = logging.getLogger(__name__)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """What a search leaves behind."""

    checkpoint: Path
    bundle: Path
    report: VerificationReport
    scores: Mapping[str, Scores]
    protocol: Mapping[str, Any]
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
    scores = score_checkpoint(checkpoint, corpus, config, code_from)
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
    protocol = dict(read_card(checkpoint, verified=True, trusted=code_from is not None).notes["protocol"])
    version, not_champion = _publish(result, config, checkpoint, bundle, scores)
    found = {
        "trial": result.best.name,
        "point": dict(result.best.point),
        "checkpoint": str(checkpoint),
        "bundle": str(bundle),
        "scores": {split: found.to_json() for split, found in scores.items()},
        "protocol": protocol,
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
    return Finished(checkpoint, bundle, report, scores, protocol, version, not_champion, retrained)


def score_checkpoint(
    checkpoint: Path, corpus: Corpus, config: Config, code_from: str | None = None
) -> dict[str, Scores]:
    """Scores on dev and test, where there are such splits. `code_from`: as `load_checkpoint`."""
    if code_from is None:
        predictor = Predictor.load(checkpoint, config.predict)
    else:
        model, card = load_checkpoint(checkpoint, code_from=code_from)
        loaded = LoadedModel(TorchEngine(model), card.tokenizer, card.schema, card.pad_id, card.model)
        predictor = Predictor.of(loaded, config.predict)
    found = {}
    for split in ("dev", "test"):
        gold = corpus.splits.get(split)
        if gold:
            predicted = predictor.annotate([s.words for s in gold])
            found[split] = count(zip(gold, predicted, strict=True), corpus.schema).scores()
    return found


def _publish(
    result: SearchResult, config: Config, checkpoint: Path, bundle: Path, scores: Mapping[str, Scores]
) -> tuple[int | None, str | None]:
    """Log the winner to the search's run, register it, and give it the alias where it is the best so far.

    Returns the version, None where tracking is off or unreachable, and the reason why it has not the alias.
    """
    run = result.run
    if run.folder.tracking is None or result.uid is None:
        return None, None
    tracker = run.folder.tracker(Tracked(run.name))
    for split, found in scores.items():
        tracker.metrics({f"best_{key}": value for key, value in found.flat(split).items()}, 0)
    tracker.artifact(bundle / "report.json", "report")
    shutil.rmtree(run.path / "model", ignore_errors=True)
    tracker.artifact(save_pyfunc(bundle, run.path / "model"), "model")
    tracker.artifact(checkpoint, "model/checkpoint")
    if not tracker.close("FINISHED", timeout=120.0):
        log.warning("MLflow has not got everything yet, so the model is not registered")
        return None, None
    uri, name = run.folder.tracking.uri, config.tracking.registered_model
    protocol = read_card(checkpoint, verified=True, trusted=config.model.trust_remote_code).notes["protocol"]
    dev_f1 = scores["dev"].f1("re_plus") if "dev" in scores else result.best.best(METRIC)
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
