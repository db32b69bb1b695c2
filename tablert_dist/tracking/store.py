"""MLflow as this package uses it: loaded quietly and late, runs found by their uid, no password in a log."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tablert_dist.errors import InputError, first_line
from tablert_dist.storage.secrets import redact
from tablert_dist.tracking.sqlite_store import make_store, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

UID_TAG = "tablert.uid"
PARENT_TAG = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
"""The tag of a run's description, which its page shows."""
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""The experiment's page opens on its runs and not on traces (MLflow 3.17)."""

FINAL = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "INVALID_PARAMETER_VALUE", "FEATURE_DISABLED")
"""MLflow's codes of what does not pass by itself."""
_BROKEN = re.compile(
    r"out-of-date database schema|table \S+ already exists|no such (?:table|column)|file is not a database|"
    r"database disk image is malformed|Can't locate revision|error code (?:401|403)\b"
)
"""In the messages of a store that nobody can use as it is."""
_RACE = re.compile(r"\bIntegrityError\b|\bUniqueViolation\b|Duplicate entry")
"""In the message of a database that has the row already: another process wrote it in the same moment."""
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # Its own retries block for minutes, and a repeated POST may make a second run; the sender tries again itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # Its lines on stdout would show the password in a server's address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def default_uri(storage: Path) -> str:
    """The SQLite store in `storage`: `sqlite:///<absolute storage>/mlflow.db`."""
    return f"sqlite:///{storage.absolute()}/mlflow.db"


def reason(error: BaseException) -> str:
    """The error in one short line that shows no password."""
    return redact(first_line(error))[:300]


def connect(uri: str) -> MlflowClient:
    """A client of the store or server at `uri`; the first one in a process takes seconds (import, tables of SQLite).

    Raises mlflow.exceptions.MlflowException where the uri cannot be used, InputError where its SQLite file is half-made.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It logs a traceback at each try where the database is busy; the sender says it once, in a sentence.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    file = sqlite_file(uri)
    if file:
        make_store(file)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def code(error: BaseException) -> str:
    """MLflow's code of an error, such as `RESOURCE_DOES_NOT_EXIST`; empty for other errors."""
    return str(getattr(error, "error_code", ""))


def is_permanent(error: BaseException) -> bool:
    """Whether trying again is of no use: somebody has to put something right first."""
    return isinstance(error, InputError) or code(error) in FINAL or bool(_BROKEN.search(str(error)))


def is_race(error: BaseException) -> bool:
    """Whether another process wrote the same row in the same moment, so that the next try finds it.

    MLflow looks whether a row is there and then writes it, in two steps: the data sets of an experiment, which several
    trials name at once, and everything else that runs share.
    """
    return bool(_RACE.search(str(error)))


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment, made if missing; its artifacts go beside an SQLite file, else where the server says.

    Raises mlflow.exceptions.MlflowException.
    """
    from mlflow.exceptions import MlflowException

    known = client.get_experiment_by_name(name)
    if known is None:
        file = sqlite_file(uri)
        place = (file.parent / "mlartifacts").absolute().as_uri() if file else None
        try:
            return str(client.create_experiment(name, artifact_location=place, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            if code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
            known = client.get_experiment_by_name(name)  # another process was faster
            if known is None:
                raise
    return str(known.experiment_id)


def experiment_page(uri: str, name: str) -> str:
    """The part of the address after the server's where MLflow's page shows the runs of the experiment, made if missing.

    Raises InputError where the store or server cannot be used.
    """
    try:
        return f"#/experiments/{experiment_id(connect(uri), uri, name)}/runs"
    except Exception as error:
        if not code(error):
            raise
        raise InputError(f"MLflow at {redact(uri)} cannot be used: {reason(error)}") from error


def find_run(client: MlflowClient, uid: str, experiments: Sequence[str] | None = None) -> Run | None:
    """The run with this uid in these experiments (default: in all); None if there is none.

    Raises mlflow.exceptions.MlflowException.
    """
    from mlflow.entities import ViewType

    ids = list(experiments) if experiments is not None else [e.experiment_id for e in _all_experiments(client)]
    if not ids:
        return None
    runs = client.search_runs(ids, f"tags.`{UID_TAG}` = '{uid}'", run_view_type=ViewType.ALL)
    runs = sorted(runs, key=lambda run: (run.info.lifecycle_stage != "active", run.info.run_id))
    for twin in runs[1:]:
        # A creation that timed out here but went through there: every event goes to the first of them.
        if twin.info.lifecycle_stage == "active":
            logger.warning("MLflow had two runs for %s; the empty one, %s, is deleted.", uid, twin.info.run_id)
            client.delete_run(twin.info.run_id)
    return runs[0] if runs else None


def _all_experiments(client: MlflowClient) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        page = client.search_experiments(page_token=token)
        found += page
        token = page.token
        if not token:
            return found
