"""Events of a journal as requests to MLflow: which go together, and how each kind is sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist.tracking import journal, store
from tablert_dist.tracking.journal import ENDED, Event

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

BATCH = 500
"""Metric values in one request (MLflow takes 1000)."""
PARAM_BATCH = 100
"""Parameters or tags in one request (MLflow's limit)."""


def groups_of(folder: Path, start: int) -> Iterator[tuple[list[Event], int]]:
    """Events that fit in one request, with the byte where they end."""
    group: list[Event] = []
    values, sent, end = 0, start, start
    for event, line_end in journal.read_events(folder, start):
        count = len(event.get("values", ())) if event else 0
        alone = event is not None and event["kind"] in ("artifact", "dataset", "status")
        if group and (alone or values + count > BATCH):
            yield group, end
            group, values, sent = [], 0, end
        end = line_end
        values += count
        if event is None:
            logger.warning("%s has a line that is no event; it is passed over.", folder / journal.FILE)
        else:
            group.append(event)
        if alone:
            yield group, end
            group, values, sent = [], 0, end
    if end > sent:
        yield group, end


def send(client: MlflowClient, run_id: str, events: Sequence[Event]) -> None:
    """Send events that may come twice: the store keeps one of each. Raises what MLflow raises."""
    from mlflow.entities import Metric, Param, RunTag

    metrics: list[Any] = []
    params: dict[str, Any] = {}
    tags: dict[str, Any] = {}
    for event in events:
        values = event.get("values", {})
        match event["kind"]:
            case "metrics":
                metrics += [Metric(key, value, event["time"], event["step"]) for key, value in values.items()]
            case "params":
                params |= {key: Param(key, value) for key, value in values.items()}
            case "tags":
                tags |= {key: RunTag(key, value) for key, value in values.items()}
            case "artifact":
                _send_artifact(client, run_id, Path(event["path"]), event["folder"])
            case "dataset":
                client.log_inputs(run_id, datasets=[_dataset(event)])
            case "status" if event["status"] in ENDED:
                client.set_terminated(run_id, event["status"], end_time=event["time"])
            case "status":
                client.update_run(run_id, status=event["status"])
    _log_batches(client, run_id, "metrics", metrics, BATCH)
    _log_batches(client, run_id, "params", list(params.values()), PARAM_BATCH)
    _log_batches(client, run_id, "tags", list(tags.values()), PARAM_BATCH)


def _log_batches(client: MlflowClient, run_id: str, kind: str, entities: Sequence[Any], most: int) -> None:
    for first in range(0, len(entities), most):
        _log_batch(client, run_id, kind, entities[first : first + most])


def _log_batch(client: MlflowClient, run_id: str, kind: str, entities: Sequence[Any]) -> None:
    """One request; where MLflow refuses it for its content, one by one, so that only what it refuses is missing."""
    try:
        client.log_batch(run_id, **{kind: entities})
    except Exception as error:
        if store.code(error) != "INVALID_PARAMETER_VALUE":
            raise
        if len(entities) == 1:
            logger.warning("MLflow refuses '%s' of run %s: %s", entities[0].key, run_id, store.reason(error))
            return
        for entity in entities:
            _log_batch(client, run_id, kind, [entity])


def _dataset(event: Event) -> Any:
    """MLflow's form of a data set; the store keeps one of those with the same name, digest and context."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = Dataset(
        name=event["name"],
        digest=event["digest"],
        # Where it lies is not recorded: paths stay on their machine.
        source_type="tablert_dist",
        source=json.dumps({"name": event["name"]}),
        profile=json.dumps(event["profile"]),
    )
    return DatasetInput(data, [InputTag("mlflow.data.context", event["context"])])


def _send_artifact(client: MlflowClient, run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), folder or None)
    elif path.is_file():
        client.log_artifact(run_id, str(path), folder or None)
    else:
        logger.warning("%s is no longer there; MLflow run %s goes without it.", path, run_id)
