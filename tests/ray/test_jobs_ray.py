"""Jobs on a cluster with token authentication: who is let in, what fails how, what the log says, what travels."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.lines import told
from tests.support.ray_head import Head, clean_environment, started_head
from tests.support.tiny import tiny_records, write_corpus

# Beside another cluster on the machine Ray's own cleaner finds neither and fills the job's log (Ray 2.60, `ray status`
# asks for an address there too).
pytestmark = [pytest.mark.ray, pytest.mark.alone, pytest.mark.timeout(400)]
TOKEN = "0123456789abcdef0123456789abcdef"
RUNTIME_ENV = str(ROOT / "deploy" / "runtime_env.yaml")


def home_with(folder: Path, token: str | None) -> Path:
    (folder / ".ray").mkdir(parents=True)
    if token is not None:
        (folder / ".ray" / "auth_token").write_text(token)
    return folder


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that demands the token in its HOME, as cluster.yaml starts one."""
    folder = tmp_path_factory.mktemp("head")
    home = home_with(folder / "home", TOKEN)
    with started_head(folder / "head.log", clean_environment(home, RAY_AUTH_MODE="token")) as one:
        yield one


@pytest.fixture(scope="module")
def options(tiny_encoder: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    records = tiny_records(24)
    folder = write_corpus(tmp_path_factory.mktemp("corpus") / "tiny", {"train": records, "dev": records[:6]})
    settings = {"model.encoder": tiny_encoder, "model.cnn.hidden": "[8]", "train.epochs": "3"}
    return ["--data", str(folder), *(w for k, v in settings.items() for w in ("--set", f"{k}={v}"))]


def log_of(text: str) -> list[str]:
    """What the job itself wrote: without the lines of `ray job submit`, which have a time or ring the entrypoint."""
    own = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\s|Running entrypoint for job ")
    return [line for line in text.splitlines() if line.strip() and not own.match(line)]


def test_who_has_not_the_token_is_refused(head: Head, tmp_path: Path) -> None:
    (tmp_path / "mark.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    words = ("--working-dir", ".", "--", sys.executable, "mark.py")
    without = clean_environment(home_with(tmp_path / "none", None))
    wrong = clean_environment(home_with(tmp_path / "wrong", "f" * 32), RAY_AUTH_MODE="token")
    for environment in (without, wrong):
        done = head.submit(*words, cwd=tmp_path, environment=environment)
        assert done.returncode != 0 and re.search("(?i)token", done.stdout), done.stdout
    assert not (tmp_path / "ran").exists()
    assert head.status_of("/api/jobs/") in {401, 403} and head.status_of("/api/jobs/", "f" * 32) in {401, 403}
    assert head.status_of("/api/jobs/", TOKEN) == 200


def test_a_mistake_fails_the_job_with_its_sentence(head: Head, options: list[str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tablert_dist.train", *options, "--set", "model.kernel=3"]
    done = head.submit("--runtime-env", RUNTIME_ENV, "--", *words, cwd=ROOT)
    assert done.returncode != 0
    assert (
        "error: --set: there is no configuration key 'model.kernel'; did you mean 'model.cnn.kernel_size'?"
        in done.stdout
    )
    assert "Traceback" not in done.stdout, done.stdout


def test_the_log_of_a_job_says_what_happens_once(head: Head, options: list[str], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tablert_dist.train", *options, "--name", "job"]
    words += ["--set", f"train.storage={tmp_path / 'runs'}", "--set", "cluster.cpus_per_worker=1"]
    # Variables that the driver hands on itself, unless the job has them: Ray refuses one that is named twice.
    environment = tmp_path / "environment.yaml"
    environment.write_text(
        Path(RUNTIME_ENV).read_text() + "env_vars: {HF_HUB_OFFLINE: '1', TOKENIZERS_PARALLELISM: 'false'}\n"
    )
    done = head.submit("--runtime-env", str(environment), "--", *words, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:]
    log = log_of(done.stdout)
    lines = [line.split(") ", 1)[1] if line.startswith("(RayTrainWorker") else line for line in log]
    # On a slow machine an epoch also tells its steps.
    said = [line for line in told("\n".join(lines)) if line and not re.match(r"epoch \d+/\d+  step ", line)]
    expected = [
        r"no \*types\.json: .*",
        r"tiny dev: 6 sentences", r"tiny train: 24 sentences",
        r"warning: tiny_dev\.json: 4 sentences of dev are also in train .*",
        r"warning: tiny_dev\.json: 2 sentences of dev are nearly .*", r"checked in .*", r"run job in .*/runs/job",
        r"epoch 1/3  loss/sentence .*", r"epoch 2/3  loss/sentence .*", r"epoch 3/3  loss/sentence .*",
        r"dev: NER .*", r"protocol: tiny .*", r"checkpoint: .*", r"next: tablert-export .*",
    ]  # fmt: skip
    assert len(said) == len(expected), "\n".join(said)
    for line, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(pattern, line), line
    assert json.loads((tmp_path / "runs" / "job" / "run.json").read_text())["status"] == "finished"


def test_only_code_travels_to_the_cluster(head: Head, tmp_path: Path) -> None:
    names = "import pathlib; print('files:', *sorted(str(p) for p in pathlib.Path().rglob('*') if p.is_file()))"
    for name in ("code.py", "sub/more.py", "data/big.bin", "runs/a/run.json", "dist/x.whl", "m.safetensors", ".venv/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(names)
    done = head.submit("--runtime-env", RUNTIME_ENV, "--", sys.executable, "-B", "code.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("files:")]
    assert line.split()[1:] == ["code.py", "sub/more.py"]
