"""Every package that comes with an installation has a tested version in constraints.txt, and that is the one here."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement

from tests.support import ROOT
from tests.support.lock import locked, wanted

EXTRAS = {"cpu", "gpu", "train", "minilm", "dev"}
"""What `make install` asks for; the one of [cpu] and [gpu] that is not installed is passed over."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", line) for line in lines), (
        "one exact version a line, and no hash: see docs"
    )
    return {normal(line.split("==")[0]): line.split("==")[1] for line in lines}


def installed() -> dict[str, str]:
    """Our dependencies and theirs, as they are here, with their versions."""
    found: dict[str, str] = {}
    asked: dict[str, set[str]] = {}

    def visit(name: str, extras: set[str]) -> None:
        key = normal(name)
        if key in asked and extras <= asked[key]:
            return
        asked[key] = asked.get(key, set()) | extras
        try:
            package = distribution(name)
        except PackageNotFoundError:
            return
        found[key] = package.version
        for text in package.requires or []:
            wanted = Requirement(text)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": e}) for e in (*asked[key], "")):
                visit(wanted.name, set(wanted.extras))

    visit("tablert-dist", EXTRAS)
    return found


def test_every_installed_package_is_constrained_to_the_tested_version() -> None:
    versions, here = pinned(), installed()
    del here["tablert-dist"]
    assert len(here) > 100, "the walk through the dependencies finds them"
    here.pop("pip", None)
    assert sorted(set(here) - set(versions)) == []
    # A local version, such as +cpu, is the same release from another index.
    assert {n: v for n, v in here.items() if v.partition("+")[0] != versions[n].partition("+")[0]} == {}


def test_a_lock_has_the_hash_of_every_package_but_torch() -> None:
    def item(name: str, **hashes: str) -> dict[str, object]:
        return {"metadata": {"name": name, "version": "1.0"}, "download_info": {"archive_info": {"hashes": hashes}}}

    lines = list(locked({"install": [item("b", sha256="22"), item("A_c", sha256="11", md5="x")]}))
    assert lines == ["A_c==1.0 --hash=sha256:11", "b==1.0 --hash=sha256:22"]
    with pytest.raises(ValueError, match=r"no sha256 of b 1\.0"):
        list(locked({"install": [item("b", md5="x")]}))
    names = [normal(line.split("==")[0]) for line in wanted()]
    assert "numpy" in names and "torch" not in names
    assert set(installed()) - set(names) == {"tablert-dist", "torch"}
