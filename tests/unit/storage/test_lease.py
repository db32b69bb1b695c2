"""A lease: one holder at a time, in a folder and at S3; a dead one's is taken over, a live one's is not."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tablert_dist.errors import InputError
from tablert_dist.storage import lease
from tablert_dist.storage.lease import Holder, Lease, LeaseFile
from tablert_dist.storage.remote import Remote
from tests.unit.storage.test_remote import s3_server

CHILD = """
import sys, time
from pathlib import Path
from tablert_dist.storage.lease import Lease, LeaseFile
from tablert_dist.storage.remote import Remote
Lease.take(LeaseFile(Path(sys.argv[1]), Remote(sys.argv[2]) if sys.argv[2] else None), "it", "wait")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    yield from s3_server()


@pytest.fixture(params=["folder", "S3"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> LeaseFile:
    if request.param == "folder":
        return LeaseFile(tmp_path / "lease.json")
    return LeaseFile(tmp_path / "lease.json", Remote(request.getfixturevalue("s3")) / f"t{time.monotonic_ns()}")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.2)


def elsewhere(age: float) -> Holder:
    """A holder on another machine whose last sign of life is so old."""
    now = time.time()
    return replace(Holder.me(), host="far", machine="another", since=now - age, beat=now - age)


def test_a_live_holder_is_not_disturbed_and_a_killed_one_is_taken_over_from(
    file: LeaseFile, caplog: pytest.LogCaptureFixture
) -> None:
    url = file.remote.url if file.remote else ""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(file.path), url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    try:
        with pytest.raises(InputError, match=rf"it is held by process {child.pid} on .*, since 20.*; wait"):
            Lease.take(file, "it", "wait")
    finally:
        child.kill()
        child.wait()
    with Lease.take(file, "it", "wait"):
        assert f"it was held by process {child.pid} on" in caplog.text and "taken over" in caplog.text
    assert file.read() is None


def test_it_is_renewed_while_it_is_held(file: LeaseFile) -> None:
    with Lease.take(file, "it", "wait") as held:
        first = file.read()
        assert first is not None and first.owner == held.holder.owner
        until = time.monotonic() + 30
        while (now := file.read()) is None or now.beat == first.beat:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_another_machines_is_told_dead_by_its_last_sign_of_life(
    file: LeaseFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file.write(elsewhere(lease.EXPIRES_S - 10))
    with pytest.raises(InputError, match=r"last sign of life 2. s ago"):
        Lease.take(file, "it", "wait")
    file.write(elsewhere(lease.EXPIRES_S + 10))
    Lease.take(file, "it", "wait").release()
    assert "waiting for a sign of life of process" in caplog.text and "taken over" in caplog.text


def test_a_clock_that_is_behind_does_not_make_a_holder_dead(file: LeaseFile) -> None:
    """Its beats look old, but they come."""
    holder, over = elsewhere(900), threading.Event()
    file.write(holder)

    def beat() -> None:
        while not over.wait(0.05):
            file.write(replace(holder, beat=time.time() - 900))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        # On a busy machine the next beat may come while the lease is being taken: refused all the same.
        with pytest.raises(InputError, match=r"it is held by|it was taken at the same moment by"):
            Lease.take(file, "it", "wait")
    finally:
        over.set()
        thread.join()


def test_of_several_that_begin_at_once_one_gets_it(file: LeaseFile, tmp_path: Path) -> None:
    got: list[Lease] = []
    refused: list[str] = []
    start = threading.Barrier(5)

    def take() -> None:
        start.wait()
        try:
            got.append(Lease.take(file, "it", "wait"))
        except InputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 4
    got[0].release()


def test_a_holder_that_was_taken_over_from_ends(tmp_path: Path) -> None:
    code = CHILD.replace(
        "import sys, time", "import sys, time\nfrom tablert_dist.storage import lease\nlease.BEAT_S = 0.2"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "l"), ""], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    LeaseFile(tmp_path / "l").write(elsewhere(0))
    try:
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 1 and "it was taken over by process" in told


def test_what_is_no_lease_holds_nothing(tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"owner": 1}', "null"):
        (tmp_path / "l").write_text(text)
        assert LeaseFile(tmp_path / "l").read() is None
