"""Files for other machines, checked without them: the cluster launcher's by Ray, the image's by its parser and linter."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

CLUSTER = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


# The cluster launcher


def clusters() -> dict[str, dict[str, Any]]:
    """cluster.yaml with each of its parts for a provider: as it stands, and with another one uncommented instead."""
    parts = re.findall(r"^# ---- .*?^# ---- end\n", CLUSTER, re.MULTILINE | re.DOTALL)
    assert len(parts) == 3
    found = {}
    for part in parts:
        text = CLUSTER
        for other in parts:
            text = text.replace(other, "")
        bare = (
            part if not part.split("\n")[1].startswith("# ") else re.sub(r"^# (?!----)", "", part, flags=re.MULTILINE)
        )
        tree = yaml.safe_load(text + bare)
        found[tree["provider"]["type"]] = tree
    return found


def test_the_parts_are_the_three_providers() -> None:
    found = clusters()
    assert set(found) == {"aws", "gcp", "local"}
    assert found["aws"] == yaml.safe_load(CLUSTER), "AWS is what the file says as it stands"


@pytest.mark.parametrize("provider", ["aws", "gcp", "local"])
def test_rays_launcher_takes_the_cluster_file(provider: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    tree = clusters()[provider]
    prepared = prepare_config(tree)
    validate_config(prepared)
    (starts,) = [command for command in prepared["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in starts, "Ray's default for AWS and GCP is every interface"
    assert prepared["max_workers"] == (2 if provider == "local" else 8)
    if provider != "local":
        workers = prepared["available_node_types"]["gpu_worker"]
        assert (workers["min_workers"], workers["max_workers"]) == (0, 8) and workers["resources"]["GPU"] == 1
        assert prepared["available_node_types"]["head"]["resources"] == {"CPU": 0}
    for wrong in ("max_wrokers", "provider_"):
        with pytest.raises(Exception, match=wrong):
            validate_config(prepare_config({**tree, wrong: 3}))


def test_every_node_gets_the_token_and_the_file_has_no_secret() -> None:
    tree = yaml.safe_load(CLUSTER)
    assert tree["file_mounts"][f"/home/{tree['auth']['ssh_user']}/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in tree["initialization_commands"])
    assert not re.search(r"(?i)(secret|password|access_key)\w*\s*[:=]\s*\S|AKIA[0-9A-Z]{12}|[0-9a-f]{32}", CLUSTER)


def test_the_nodes_install_what_the_cluster_file_sends() -> None:
    tree = yaml.safe_load(CLUSTER)
    home = f"/home/{tree['auth']['ssh_user']}"
    sent = {remote.replace(home, "~"): local for remote, local in tree["file_mounts"].items()}
    assert (ROOT / sent["~/tablert-files/constraints.txt"]).is_file()
    commands = "\n".join(tree["setup_commands"])
    for path in re.findall(r"~/tablert-files/[\w.]+", commands):
        assert path in sent, path
    for extra in re.search(r"\.whl\)\[([\w,]+)\]", commands)[1].split(","):  # type: ignore[index]
        assert extra in EXTRAS
    assert f"--wheel-dir {sent['~/tablert-files/dist']} ." in CLUSTER, "the header says how that folder is made"


def test_the_nodes_commands_are_shell_and_can_be_run_twice(tmp_path: Path) -> None:
    tree = yaml.safe_load(CLUSTER)
    commands = [c for key, part in tree.items() if key.endswith("_commands") for c in part]
    assert len(commands) > 8
    for command in commands:
        subprocess.run(["bash", "-n", "-c", command], check=True)
    profile = [command for command in commands if ">> ~/.bashrc" in command]
    (tmp_path / ".bashrc").touch()
    for command in [*profile, *profile]:
        subprocess.run(["bash", "-c", command], check=True, env={**os.environ, "HOME": str(tmp_path)})
    lines = (tmp_path / ".bashrc").read_text().splitlines()
    assert lines == ["export RAY_AUTH_MODE=token", "export PATH=$HOME/tablert/bin:$PATH"]


def test_the_package_of_a_job_is_small_and_rays_own_parser_takes_it() -> None:
    from ray.runtime_env import RuntimeEnv

    tree = yaml.safe_load((ROOT / "deploy" / "runtime_env.yaml").read_text())
    assert RuntimeEnv(excludes=tree["excludes"])["excludes"] == tree["excludes"]
    assert tree["working_dir"] == "." and {"/.venv/", "/data/", "/runs/"} <= set(tree["excludes"])


# The image


def stages() -> dict[str, list[dict[str, Any]]]:
    """The Dockerfile's instructions by stage, as the parser has them."""
    from io import BytesIO

    from dockerfile_parse import DockerfileParser

    parser = DockerfileParser(fileobj=BytesIO((ROOT / "Dockerfile").read_bytes()))
    found: dict[str, list[dict[str, Any]]] = {}
    for step in parser.structure:
        if step["instruction"] == "FROM":
            found[step["value"].split()[-1]] = []
        if found and step["instruction"] != "COMMENT":
            found[list(found)[-1]].append(step)
    return found


def lineage(name: str) -> list[dict[str, Any]]:
    """The instructions that make a stage's image, its base stages' first."""
    steps = stages()[name]
    base = steps[0]["value"].split()[0]
    return [*(lineage(base) if base in stages() else []), *steps]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a top-level path away from the builder (its last match decides)."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = False
    for rule in rules:
        if fnmatch.fnmatch(path, rule.lstrip("!")):
            kept = rule.startswith("!")
    return not kept


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_the_image_is_staged_and_not_roots(target: str) -> None:
    found = stages()
    assert list(found)[-2:] == ["cpu", "gpu"]
    users = [step["value"] for step in lineage(target) if step["instruction"] == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]), "by number, for runAsNonRoot"
    (copied,) = [s["value"] for s in found[target] if s["instruction"] == "COPY"]
    assert copied.startswith(f"--from=install-{target} ")
    install = "\n".join(step["value"] for step in found[f"install-{target}"] if step["instruction"] == "RUN")
    extras = re.search(r"\.whl\)\[([\w,]+)\]", install)[1].split(",")  # type: ignore[index]
    assert set(extras) <= set(EXTRAS) and target in extras and not {"cpu", "gpu"} - {target} & set(extras)
    assert install.index("^torch==") < install.index(".whl"), "torch comes first"
    for command in re.findall(r"pip (?:install|wheel)[^&]*", "\n".join(s["value"] for s in lineage(target))):
        assert "--no-cache-dir" in command
    assert "-c /tmp/constraints.txt" in install


def test_what_the_image_copies_is_there_and_builds_the_whole_package(tmp_path: Path) -> None:
    """The wheel made of exactly the copied files holds every package and data file of pyproject.toml."""
    (tmp_path / "src").mkdir()
    for name, steps in stages().items():
        for step in steps:
            if step["instruction"] != "COPY" or step["value"].startswith("--from="):
                continue
            *sources, target = step["value"].split()
            for source in sources:
                assert (ROOT / source).exists() and not ignored(source), source
                if name == "wheel" and (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, tmp_path / "src" / target)
                elif name == "wheel":
                    shutil.copy(ROOT / source, tmp_path / "src")
    for secret in (".venv", "runs", ".git", "tests", "cluster.yaml"):
        assert ignored(secret), secret
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    made = subprocess.run(
        [*words, "--wheel-dir", str(tmp_path), "."], cwd=tmp_path / "src", capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("tablert_dist", "export", "tune_spaces"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".toml", ".html", ".css", ".js", ".jinja", ".json"}:
                assert path.relative_to(ROOT).as_posix() in names, path


def test_a_jobs_working_folder_has_every_file_of_the_packages(tmp_path: Path) -> None:
    """Ray leaves out what .gitignore and .rayignore name: a pattern such as `data/` would take tablert_dist/data with it."""
    from ray._private.runtime_env.packaging import create_package

    out = tmp_path / "working_dir.zip"
    create_package(str(ROOT), out, include_gitignore=True)
    sent = set(zipfile.ZipFile(out).namelist())
    for package in ("tablert_dist", "export", "tune_spaces"):
        files = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*") if p.is_file()}
        assert not {f for f in files if "__pycache__" not in f} - sent
    assert not [name for name in sent if name.startswith((".venv", "runs/", ".git/"))]
    assert out.stat().st_size < 20e6, "Ray refuses 100 MB"


def test_the_linter_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(hadolint), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
