"""`--resume NAME` alone: what was not given on the command line comes from the run's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from tablert_dist.config import Config


def given(parameter: str) -> bool:
    """Whether the verb's parameter is on the command line."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source(parameter) is not ParameterSource.DEFAULT


def of_record(name: str, storage: str | None, overrides: Mapping[str, Any]) -> tuple[Config, Mapping[str, Any]] | None:
    """The configuration of the run `name` with `overrides`, and its record; None where there is no such run.

    Whoever goes on with the run then refuses its name, and says which there are.
    """
    from tablert_dist.config import Config, load_config, saved_config, with_overrides
    from tablert_dist.errors import InputError
    from tablert_dist.runs.location import with_storage
    from tablert_dist.runs.store import RunStore

    place = with_storage(load_config(None, {} if storage is None else {"train.storage": storage}))
    try:
        record = RunStore.find(place, name).record
    except InputError:
        return None
    config = Config.model_validate(saved_config(record["config"]), strict=False)
    # Where it was found: it may have been moved since it was written. That an encoder's code may run is said each time, and
    # not by a file that lies beside the model.
    kept = {"train.storage": place.train.storage, "model.trust_remote_code": False}
    return with_overrides(config, {**kept, **overrides}), record


def options_of(record: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The verb's `values`, with those that are not on the command line as the record's `options` have them."""
    context, words = click.get_current_context(), list(_words(record, click.get_current_context().command.name))
    found, _, _ = context.command.make_parser(context).parse_args(words)
    known = {p.name: p for p in context.command.params}
    asked = {k: v for k, v in found.items() if k in known and k != "trust_remote_code" and not given(k)}
    recorded = {k: known[k].type_cast_value(context, v) for k, v in asked.items()}
    return {k: recorded.get(k, v) for k, v in values.items()}


def _words(record: Mapping[str, Any], verb: str | None) -> Sequence[str]:
    kind, *words = record.get("options") or [None]
    return words if kind == verb else []
