"""The heads by name: what each is called, what it can hold, its scheme and its module. A new head is one entry here, its
name in `ModelConfig.head`, and the two files that it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tablert_dist.config import ModelConfig
from tablert_dist.errors import InputError
from tablert_dist.heads.base import Scheme
from tablert_dist.heads.cnn.scheme import TableScheme
from tablert_dist.heads.rules import Rules
from tablert_dist.heads.spert.scheme import SpertScheme
from tablert_dist.heads.tablert.scheme import TablertScheme
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.tags import TagSet


def _argmax(config: ModelConfig) -> str:
    return "argmax"


@dataclass(frozen=True)
class HeadSpec:
    """One head. Whatever differs between heads outside of their own files is asked of this."""

    name: str
    """Value of `model.head`."""
    title: str
    description: str
    """What it does, a sentence."""
    form: str
    """What holds its labels, in messages: "a table cannot hold …"."""
    limits: Callable[[ModelConfig], str]
    """What it never finds, a sentence."""
    colour: str
    """In figures."""
    scheme: Callable[[ModelConfig, int], Scheme]
    """From the configuration and the beam."""
    module: str
    """`package.module:Class`, imported where a model is built: who only predicts has no torch."""
    decoding: Callable[[ModelConfig], str] = _argmax
    """How its outputs become labels with the default settings of prediction, in a protocol: "decoded by …"."""

    def build(self, config: ModelConfig, width: int, tags: TagSet) -> Any:
        """Return the torch module for word vectors of `width`, its weights drawn from torch's current random state."""
        module, _, name = self.module.partition(":")
        return getattr(import_module(module), name).from_config(config, width, tags, self.scheme(config, 1))


def _table_limits(config: ModelConfig) -> str:
    return "One entity a word and one relation a pair of entities: nested or overlapping entities are not found."


HEADS = {
    spec.name: spec
    for spec in (
        HeadSpec(
            "cnn",
            "TablERT-CNN",
            "Reads a sentence as a table of word pairs and labels every cell.",
            "a table",
            _table_limits,
            "#1b6ca8",
            lambda config, beam: TableScheme(config.cnn.decoding == "viterbi"),
            "tablert_dist.heads.cnn.module:TableHead",
            lambda config: config.cnn.decoding,
        ),
        HeadSpec(
            "tablert",
            "TablERT",
            "Tags words from left to right, then scores every pair of them for each relation.",
            "a table",
            _table_limits,
            "#d1742a",
            lambda config, beam: TablertScheme(beam, config.tablert.span),
            "tablert_dist.heads.tablert.module:TablertHead",
            lambda config: "greedy tags from left to right",
        ),
        HeadSpec(
            "spert",
            "SpERT",
            "Judges every short span of words, then every ordered pair of those that are entities.",
            "SpERT",
            lambda config: f"Entities of more than {config.spert.max_span} words are not found; a span has one type.",
            "#4a8f3c",
            lambda config, beam: SpertScheme(
                config.spert.max_span, config.spert.negatives, config.spert.relation_threshold
            ),
            "tablert_dist.heads.spert.module:SpertHead",
            lambda config: f"argmax of spans, relations from a probability of {config.spert.relation_threshold:g} on",
        ),
    )
}


def head_spec(config: ModelConfig) -> HeadSpec:
    """Return the head that a configuration asks for. Raises InputError where nobody has declared it."""
    if config.head not in HEADS:
        raise InputError(
            f"model.head = {config.head}: no such head is declared in tablert_dist/heads/registry.py, which has "
            f"{', '.join(HEADS)}"
        )
    return HEADS[config.head]


def make_scheme(
    config: ModelConfig, beam: int = 1, temperatures: Temperatures = NEUTRAL, rules: Rules | None = None
) -> Scheme:
    """Return the scheme that a configuration asks for. `beam`: sequences of tags that TablERT keeps; 1 = greedy.
    `temperatures`: of the probabilities that it gives. `rules`: that the relations of a sentence keep."""
    scheme = head_spec(config).scheme(config, beam)
    scheme.temperatures, scheme.rules = temperatures, rules
    return scheme
