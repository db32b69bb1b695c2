"""`fit(config)`: check everything first, then train each seed in this process or under Ray Train, and sum up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tablert_dist.cluster import ScalingPlan, capacity, connect, room_for, scaling_plan
from tablert_dist.config import Config, with_overrides
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.errors import InputError, counted
from tablert_dist.heads import head_spec
from tablert_dist.runs.data import files_of
from tablert_dist.runs.flag import StopFlag
from tablert_dist.runs.folder import RunFolder, Tracked
from tablert_dist.runs.job import Job, read_result
from tablert_dist.runs.location import runs_folder, with_storage
from tablert_dist.runs.result import FitResult
from tablert_dist.runs.store import RunStore, new_name
from tablert_dist.storage.paths import PACKAGE
from tablert_dist.tags import TagSet
from tablert_dist.train.launch import run_under_ray
from tablert_dist.train.preflight import by_windows, cut_otherwise, drop_overflow, few_types, known_words, table_report
from tablert_dist.train.ray_train import Printer
from tablert_dist.train.stopping import NEVER, Stop
from tablert_dist.train.tracked import open_tracker, tracked
from tablert_dist.train.worker import choose_context, effective, run_worker
from tablert_dist.waiting import waiting

Say = Callable[[str], None]


def fit(
    config: Config,
    name: str | None = None,
    resume: bool = False,
    init_from: Path | None = None,
    say: Say = lambda line: None,
    parent: str | None = None,
    validate: bool = True,
    stop: Stop = NEVER,
    accept_changed: bool = False,
) -> FitResult:
    """Train every seed of the configuration and score the selected weights on dev and test.

    `validate` looks for mistakes in the data first; `accept_changed` goes on, with `resume`, on other data than before.
    Raises InputError, before anything is written, where the
    configuration, the data, the encoder or the cluster do not allow it; Stopped where `stop` asks for the end, with what
    was trained saved.
    """
    config = with_storage(absolute_data(config))
    # Refuses what RunStore.open would refuse only after the data were read.
    runs_folder(config)
    if name:
        RunStore.check(config, name, resume, "train")
    corpus = check(config, say, validate)
    if init_from is not None:
        check_init(init_from, corpus, config.model.trust_remote_code)
    scaling = None
    if config.cluster.num_workers:
        ray = connect(config, show_workers=True)
        scaling = scaling_plan(config, ray.cluster_resources(), trials=False)
        room_for(scaling, capacity(), config.cluster.max_workers)
    data = files_of(corpus)
    with RunStore.open(config, name or new_name("train"), resume, "train", data, accept_changed) as run:
        say(f"run {run.name} in {run.folder}")
        results = train_seeds(config, run.folder, corpus, scaling, init_from, parent, stop)
        run.update(results=results, status="finished")
    run.folder.drop_features()
    return FitResult(run.name, run.path, results)


def train_seeds(
    config: Config,
    folder: RunFolder,
    corpus: Corpus,
    scaling: ScalingPlan | None,
    init_from: Path | None = None,
    parent: str | None = None,
    stop: Stop = NEVER,
) -> list[dict[str, Any]]:
    """Train every seed in a folder of its own, under Ray where a scaling is given; seeds that are finished are read.

    Raises Stopped as `fit`.
    """
    results = []
    flag = StopFlag(folder)
    if scaling is not None:
        flag.put("no")
    for seed in config.train.seeds:
        tracked = Tracked(f"{folder.name}/seed-{seed}", parent)
        job = Job(config, folder.child(f"seed-{seed}"), seed, init_from, tracked=tracked, stop_in=folder)
        job.folder.mirror.pull_files()
        done = read_result(job.folder.path) or _train_one(job, corpus, scaling, stop)
        job.folder.mirror.pull_checkpoint(Path(done["checkpoint"]).name)
        results.append(done)
    flag.remove()
    return results


def _train_one(job: Job, corpus: Corpus, scaling: ScalingPlan | None, stop: Stop) -> dict[str, Any]:
    if scaling is None:
        return train_here(job, corpus, stop)
    import ray

    with tracked(job, corpus):
        return run_under_ray(job, scaling, corpus=ray.put(corpus), stop=stop)


def train_here(job: Job, corpus: Corpus, stop: Stop = NEVER) -> dict[str, Any]:
    """Train in this process; progress is printed as lines. Raises Stopped as `fit`."""
    job.folder.mirror.pull()
    with open_tracker(job, corpus) as tracker:
        show = Printer(job.config.train.epochs)
        return run_worker(job, choose_context(job.config), tracker, show.epoch, show.step, corpus, stop)


def absolute_data(config: Config) -> Config:
    """The configuration with local paths absolute, for workers in other folders."""
    changes = {}
    for key, value in (("data.path", config.data.path), ("model.encoder", config.model.encoder)):
        if value and not value.startswith(PACKAGE) and Path(value).expanduser().exists():
            changes[key] = str(Path(value).expanduser().resolve())
    return with_overrides(config, changes)


def check(config: Config, say: Say, validate: bool = False) -> Corpus:
    """Try the encoder, then read the data; say what was found. Raises InputError.

    `validate` also says what looks like a mistake in the data, and refuses what surely is one.
    """
    from tablert_dist.data.validation import corpus_case, quick_lines
    from tablert_dist.model.check import check_encoder

    choose_context(config) if not config.cluster.num_workers else None
    limits = check_encoder(config.model.encoder, config.model.layer, config.model.trust_remote_code)
    with waiting(f"reading the sentences in {config.data.path}"):
        corpus = load_corpus(config.data, config.model)
    for note in corpus.notes:
        say(note)
    known = known_words(corpus, limits.tokenizer, config.model.encoder)
    for line in (known, cut_otherwise(corpus, config.model), few_types(corpus, config.model)):
        if line:
            say(line)
    drop_overflow(corpus, limits, config)
    for line in by_windows(corpus, limits.tokenizer):
        say(line)
    form = head_spec(config.model).form
    with waiting("counting what the head can hold"):
        tables = table_report(corpus, TagSet(corpus.schema), config.model)
    for split, found in tables.items():
        lost = f"; {form} cannot hold {found['lost']}" if found["total"] else ""
        oracle = f": oracle RE+ F1 {100 * found['oracle_re_plus_f1']:.2f}" if found["total"] else ""
        say(f"{corpus.name} {split}: {counted(len(corpus.splits[split]), 'sentence')}{lost}{oracle}")
    if validate:
        with waiting("looking for mistakes in the data (--no-check leaves this out)"):
            lines = quick_lines(corpus_case(corpus, config.data, config.model, limits.tokenizer))
        for line in lines:
            say(line)
    if effective(config) is not config:
        say("trained on train+dev: there is no dev split, so the last epoch's weights are the result")
    return corpus


def check_init(folder: Path, corpus: Corpus, trusted: bool = False) -> None:
    """Refuse a checkpoint of another schema before anything starts. `trusted`: as `read_card`."""
    from tablert_dist.model.checkpoint import read_card

    card = read_card(folder, trusted=trusted)
    if card.schema != corpus.schema:
        raise InputError(
            f"--init-from {folder}: that checkpoint has the types {card.schema.to_json()}, "
            f"the data has {corpus.schema.to_json()}"
        )
