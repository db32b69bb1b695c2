"""The configuration tree: every key, its unit, its default and its range. Frozen and validated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from tablert_dist.config.heads import Head, HeadOptions
from tablert_dist.config.inference import ExportConfig, PredictConfig, ServeConfig
from tablert_dist.config.schedulers import known_scheduler
from tablert_dist.config.section import PositiveFloat, PositiveInt, Probability, Section
from tablert_dist.storage.secrets import no_login

Address = Annotated[str | None, AfterValidator(no_login)]
"""What may be a URL; one with a login is refused, since a configuration is written to files and sent to workers."""
ADDRESSES = ("data.path", "model.encoder", "train.storage", "cluster.address", "tracking.uri")


class DataConfig(Section):
    """Which sentences, and what happens to those that a table or the encoder cannot hold."""

    path: Address = None
    """Folder with `*train.json`, `*dev.json`, `*test.json`, `*types.json`, or other formats' files or sub-folders
    `train`, `dev`, `test` (docs/guides/formats.md); or `package:NAME/FOLDER`."""
    format: str = "auto"
    """A name of docs/guides/formats.md; `auto` looks at what is in each file."""
    train_on: Literal["train", "train+dev"] = "train"
    """`train+dev` leaves no development split: the last epoch's weights are kept."""
    overlap: Literal["error", "keep-gold", "drop-pair", "keep-longest"] = "error"
    """What to do with overlapping entities, which a table cannot hold: refuse them, train on what fits and score against all
    (`keep-gold`), leave out both (`drop-pair`), or keep the longest."""
    on_overflow: Literal["error", "drop"] = "error"
    """What to do with a training sentence that is longer than the encoder's limit. Of dev and test such sentences are read by
    windows, as in prediction."""
    strict: bool = False
    """Refuse a record that cannot be read, and relations, tokens or sentences at fault, which are left out and counted
    otherwise. Same as `--strict`."""
    text_field: str | None = None
    """The field of a task (Label Studio) that has the text; unset: the one that its regions quote."""


class ModelConfig(HeadOptions):
    """The encoder, the head, and what several heads share."""

    head: Head = "cnn"
    """`cnn`: TablERT-CNN (the paper). `tablert`: tags from word to word, bilinear relations. `spert`: spans and pairs of
    them."""
    encoder: Annotated[str, AfterValidator(no_login)] = "bert-base-cased"
    """A Hugging Face hub id, a local folder, or `package:NAME/FOLDER` for a folder inside an installed package."""
    layer: Annotated[int, Field(ge=0)] | None = None
    """Encoder layer whose hidden states are read: 0 = embedding output; unset = the last. Layers above it are not run."""
    words: Literal["script", "punctuation"] = "script"
    """How raw text is cut into words. `script`: at white space and punctuation, each Chinese or Japanese character by itself;
    Thai, Lao, Khmer and Burmese by ICU's dictionaries (extra [segment]). `punctuation`: the first alone, as models were
    trained that do not say."""
    trust_remote_code: bool = False
    """Let an encoder run its author's code, downloaded with it. Training and search only, on record; a checkpoint, a bundle
    or a served model never may."""
    frozen: bool = False
    """No gradient and no dropout inside the encoder."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time, the same gradient."""
    dropout: Probability = 0.3
    """Dropout of the head, on word vectors and hidden channels; the encoder has its own."""
    none_bias: Annotated[float, Field(ge=0.0, le=20.0)] = 6.0
    """`cnn`, `tablert`: bias of the relation tag `none` at the start, the others' being 0; 0 = as PyTorch starts a bias.
    Nearly every cell is `none`: starting from that, the first epoch learns relations and not the prior."""
    focal: Annotated[float, Field(ge=0.0, le=5.0)] = 0.0
    """`cnn`, `tablert`: exponent of the focal loss of relations; 0 = plain cross-entropy (the paper)."""
    relation_weight: PositiveFloat = 1.0
    """`cnn`, `tablert`: weight in the loss of the cells whose gold tag is a relation; 1 = as all others (the paper)."""


BEFORE: dict[str, Any] = {
    "words": "punctuation",
    "tablert": {"span": "open", "scaled": True},
    "spert": {"relation_loss": "sum"},
}
"""What versions meant that did not say."""


def saved_model(tree: Any) -> Any:
    """The section `model` as it was saved, with what the version that saved it meant."""
    if not isinstance(tree, Mapping):
        return tree
    found = dict(tree)
    for key, value in BEFORE.items():
        if not isinstance(value, dict):
            found.setdefault(key, value)
        elif isinstance(part := found.get(key, {}), Mapping):
            found[key] = {**value, **part}
    return found


def saved_config(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A whole configuration as it was saved, its section `model` as `saved_model`."""
    return {**tree, "model": saved_model(tree.get("model", {}))}


class OptimConfig(Section):
    """AdamW with two learning rates and a warm-up (paper appendix A)."""

    encoder_lr: PositiveFloat = 5e-5
    """Learning rate of the encoder; unused where it is frozen."""
    lr: PositiveFloat = 1e-3
    """Learning rate of everything but the encoder."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    """None on biases and layer norms."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the gradient over all parameters."""
    warmup: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Share of the steps over which the learning rate rises from 0."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How it decays to 0 afterwards."""


class TrainConfig(Section):
    """The training loop and where its runs live."""

    epochs: PositiveInt = 30
    """Passes over the training sentences."""
    batch_size: PositiveInt = 8
    """Sentences in one optimiser step, over all workers."""
    accumulation: PositiveInt = 1
    """Parts in which a worker passes its share of a batch through the model; more parts, less memory, same gradient."""
    bucket: bool = False
    """Draw batches from sentences of similar length (seeded shuffle): less padding on a GPU, but other batches. On a CPU
    a random batch is passed through in parts of similar length, which spares the padding and changes nothing."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    """One run for each; scores are reported as mean ± standard deviation. A search uses the first."""
    average: Probability = 0.0
    """Decay, at each step, of a running mean of the weights, which is scored and kept in their place; 0 = none (the
    paper). 0.99 averages over the last 100 steps or so."""
    select: Literal["best_dev", "last"] = "best_dev"
    """Which epoch's weights are the result: the best dev RE+ (ties: NER), or the last epoch's."""
    early_stop: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better dev RE+ after which training stops; 0 = never."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`: CUDA where torch finds a usable device, otherwise the CPU. `mps`: Apple's GPU, one worker, in fp32."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 autocast under CUDA, fp32 elsewhere."""
    cuda_graphs: bool = True
    """On a CUDA device, pad batches to a dozen shapes and launch a pass forward and back as one CUDA graph: the host no
    longer launches a thousand kernels a step. `false`: each kernel by itself, every batch with its own shape. Where the
    head's batches cannot be padded (`spert`), and with `model.gradient_checkpointing`, it is as `false`."""
    eval_cells: PositiveInt | None = None
    """Table cells (words squared, padded) in one batch of evaluation; unset: 20 000 on a CPU, on a GPU by its free memory.
    A batch that does not fit in memory is halved."""
    storage: Address = None
    """Folder that every node sees, or URL (`s3://bucket/runs`), of the runs. Unset: `./runs`, or `~/tablert_runs` inside
    a Ray job."""


class TuneConfig(Section):
    """The search."""

    search: Literal["auto", "grid", "random", "optuna"] = "auto"
    """Which points are tried: every one of a grid, ones drawn from `train.seeds[0]`, or ones that Optuna chooses by the
    scores so far. `auto`: the grid, or random where the space has ranges."""
    trials: PositiveInt = 20
    """Of a random or an Optuna search."""
    max_trials: PositiveInt | None = None
    """Points of a grid to use, from the first on; unset: all."""
    stages: Annotated[int, Field(ge=1, le=2)] = 1
    """2: all points with a frozen encoder, under ASHA unless `scheduler` says median; then the best of them trained to
    the end with the encoder."""
    finalists: PositiveInt = 3
    """Points of the first stage that go into the second."""
    scheduler: Annotated[str, AfterValidator(known_scheduler)] = "none"
    """Stop the worse trials early: by successive halving, or where a trial's best is below the median of the others'
    running means."""
    grace_epochs: PositiveInt = 2
    """Epochs that the scheduler lets every trial run."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """ASHA keeps one in this many trials."""
    min_samples: PositiveInt = 3
    """Other trials that must have come as far before the median rule stops one."""
    max_concurrent: PositiveInt | None = None
    """Trials at once; unset: as many as fit."""
    finish: Literal["checkpoint", "retrain"] = "checkpoint"
    """What is exported: the best trial's best checkpoint, or its configuration trained again with `train.seeds`."""


def _rising(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError("write the smaller number first: [1, 4]")
    return value


def _whole_or_share(value: float) -> float:
    if value > 1 and value % 1:
        raise ValueError("must be a whole number of cards, or a share of one: below 1")
    return value


class ClusterConfig(Section):
    """What a run asks of Ray."""

    num_workers: Annotated[int, Field(ge=0)] | Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_rising)] = 1
    """DDP ranks in one training; 0 = in this process, without Ray. A pair, `[1, 4]`, is elastic (training, not search):
    as many of them as the cluster has room for at the time; steps, batches and their order do not depend on it."""
    resize_seconds: PositiveFloat = 60.0
    """How often an elastic training looks for room for more workers."""
    cpus_per_worker: PositiveFloat | None = None
    """Unset: 1 in a search, an even share of the cluster's for a training; also the threads of a worker."""
    gpus_per_worker: Annotated[float, Field(ge=0.0), AfterValidator(_whole_or_share)] | None = None
    """Unset: 1 where `train.device` resolves to CUDA, otherwise 0. A share of a card, say 0.2, lets five trials of a search
    have one together."""
    max_workers: PositiveInt | None = None
    """Workers that an autoscaler may grow the cluster to; unset: what the cluster has now."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Restarts of the workers before a run is given up."""
    address: Address = None
    """A Ray cluster to connect to; unset: the one of this job or machine, or a new local one."""


class TrackingConfig(Section):
    """MLflow."""

    enabled: bool = True
    """Keep a journal of each run and send it to MLflow."""
    uri: Address = None
    """An MLflow server's address, without a login (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or
    MLFLOW_TRACKING_TOKEN, take that); unset: an SQLite file in `train.storage`."""
    experiment: str = "tablert"
    """The MLflow experiment that runs are in."""
    registered_model: str = "tablert"
    """The registry's name for the models that searches find: `models:/NAME@ALIAS`."""
    alias: str = "champion"
    """The registry's name for the version that a search has registered last."""


class Config(Section):
    """The whole tree. See each section."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()
    tune: TuneConfig = TuneConfig()
    cluster: ClusterConfig = ClusterConfig()
    tracking: TrackingConfig = TrackingConfig()
    export: ExportConfig = ExportConfig()
    predict: PredictConfig = PredictConfig()
    serve: ServeConfig = ServeConfig()
