"""Which rules a predictor keeps: none, those on record with its model, or those of a types file."""

from __future__ import annotations

from tablert_dist.config import PredictConfig
from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.rules import Rules
from tablert_dist.storage.paths import PACKAGE, locate
from tablert_dist.tags import TagSet

OFF, LEARNED = "off", "learned"
"""Values of `predict.constraints`; any other is a file."""


def find_rules(config: PredictConfig, on_record: Constraints | None, tags: TagSet) -> Rules | None:
    """Return the rules that `predict.constraints` asks for, None where it is `off`. `on_record`: the model's own.

    Raises InputError where the model has none, and where the file is missing, gives none, or names a type that the model
    does not know.
    """
    wanted = config.constraints
    if wanted == OFF:
        return None
    if wanted == LEARNED:
        if on_record is None:
            raise InputError(
                "predict.constraints = learned: the model has no constraints on record, as those of earlier versions; learn "
                "them from its training data with tablert data constraints DATA --out rules.json, and give that file: "
                "--set predict.constraints=rules.json"
            )
        return Rules.of(on_record, tags, "the model's constraints")
    from tablert_dist.data.formats import types_file

    path = locate(wanted, f"predict.constraints: not {OFF}, not {LEARNED}, and the types file")
    given = types_file.read_rules(path, tags.schema)
    if given is None:
        raise InputError(
            f"predict.constraints: {path} gives no rules: its relations have no 'allowed', 'functional' or "
            "'inverse_functional'"
        )
    return Rules.of(given, tags, str(path))


def from_anywhere(config: PredictConfig) -> PredictConfig:
    """The section with its file by an absolute path, for processes that start in another folder."""
    wanted = config.constraints
    if wanted in {OFF, LEARNED} or wanted.startswith(PACKAGE):
        return config
    return config.model_copy(
        update={"constraints": str(locate(wanted, "predict.constraints: the types file").resolve())}
    )
