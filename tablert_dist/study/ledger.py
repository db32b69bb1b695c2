"""Published scores, and which of ours may stand beside them: only those of the same protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from tablert_dist.config.toml_files import read_toml

ENCODERS = {"bert-base-cased": "bert-base", "bert-base-uncased": "bert-base", "bert-large-cased": "bert-large"}
"""Hub ids as the paper names them."""


@dataclass(frozen=True)
class Ours:
    """The protocol of a score of ours, as far as the paper's has a counterpart."""

    dataset: str
    encoder: str
    trained_on: str
    selection: str
    averaging: str
    seeds: int
    epochs: int
    full_epochs: int
    """What the system's own setting says."""


@dataclass(frozen=True)
class Published:
    """One row of the paper's Table 2, in percent; None where it prints no score."""

    dataset: str
    system: str
    encoder: str
    by: str
    averaging: str
    ner: float | None
    re: float | None
    re_plus: float | None


@dataclass(frozen=True)
class Other:
    """One published row beyond the paper's table, in percent; None where its source prints no score."""

    dataset: str
    system: str
    encoder: str
    by: str
    runs: str
    """`mean`, `mean of 3`, `one` released model, `best of 5`, or `not said`."""
    traps: tuple[str, ...]
    """Keys of `traps()`: what makes it another measurement than ours."""
    source: str
    """What the numbers were read in."""
    averaging: str = "micro"
    ner: float | None = None
    re: float | None = None
    re_plus: float | None = None


@cache
def ledger() -> dict[str, Any]:
    """The shipped file of the paper's tables."""
    return read_toml("published", "tablert_dist.study", "ledger")


@cache
def _beyond() -> dict[str, Any]:
    return read_toml("others", "tablert_dist.study", "ledger")


def traps() -> Mapping[str, str]:
    """What makes published scores different measurements, by key, each a sentence."""
    return dict(_beyond()["traps"])


def others(dataset: str) -> list[Other]:
    """Published rows of a data set beyond the paper's table, each with its traps and its source."""
    names = {field.name for field in fields(Other)}
    found = []
    for row in _beyond()["rows"]:
        if unknown := {*row} - names | {*row["traps"]} - {*traps()}:
            raise ValueError(f"others.toml: {row['system']} on {row['dataset']} has unknown {sorted(unknown)}")
        if row["dataset"] == dataset:
            found.append(Other(**{**row, "traps": tuple(row["traps"])}))
    return found


def published(dataset: str) -> list[Published]:
    """Table 2's rows of a data set, in its order; none for one that it does not have."""
    averaging = ledger()["protocol"]["averaging"]
    return [
        Published(
            dataset,
            row["system"],
            row["encoder"],
            row["by"],
            averaging[dataset],
            row.get("ner"),
            row.get("re"),
            row.get("re_plus"),
        )
        for table in ledger()["table2"]
        if table["dataset"] == dataset
        for row in table["rows"]
    ]


def published_layers(level: str, system: str, frozen: bool) -> dict[int, float]:
    """F1 in percent by encoder layer, of Table 3 (`ner`) or 4 (`re`)."""
    tables = ledger()["layers"]
    row = tables[level][system]["frozen" if frozen else "updated"]
    return dict(zip(tables["layers"], row, strict=True))


def differences(ours: Ours, theirs: Mapping[str, Any] | Published | Other) -> list[str]:
    """How our protocol differs from a published score's, in words; empty: the two may stand side by side.

    What the paper does not say (trained on, selection) is no difference where ours is what its released configuration does.
    A row beyond the paper has its traps; that its split, its epochs and its selection are those of ours nobody has checked.
    """
    get = theirs.get if isinstance(theirs, Mapping) else lambda name: getattr(theirs, name)
    found = []
    if ours.dataset != get("dataset"):
        found.append(f"data: {ours.dataset}, not {get('dataset')}")
    if ENCODERS.get(ours.encoder, ours.encoder) != get("encoder"):
        found.append(f"encoder: {ours.encoder}, not {get('encoder')}")
    if ours.averaging != get("averaging"):
        found.append(f"averaging: {ours.averaging}, not {get('averaging')}")
    if ours.epochs != ours.full_epochs:
        found.append(f"epochs: {ours.epochs}, not {ours.full_epochs}")
    if isinstance(theirs, Other):
        told = [] if theirs.runs.startswith("mean") else [f"runs: {theirs.runs}, ours a mean over seeds"]
        return [*found, *told, *(traps()[key] for key in theirs.traps), "trained on and weights: not checked"]
    if ours.seeds != ledger()["protocol"]["seeds"]:
        found.append(f"seeds: {ours.seeds}, not {ledger()['protocol']['seeds']}")
    expected = get("trained_on") if isinstance(theirs, Mapping) else _released(ours.dataset)[0]
    if expected and ours.trained_on != expected:
        found.append(f"trained on {ours.trained_on}, not {expected}")
    selection = get("selection") if isinstance(theirs, Mapping) else _released(ours.dataset)[1]
    if selection and ours.selection != selection:
        found.append(f"weights: {ours.selection}, not {selection}")
    return found


def _released(dataset: str) -> tuple[str, str]:
    """What the authors' released configuration trains on and takes; empty where it is a matter of folds."""
    return ("train+dev", "last epoch") if dataset == "conll04" else ("", "")
