"""`tablert predict` in threads and in processes: the same lines in the same order, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tablert_dist.cli import main
from tablert_dist.config import PredictConfig
from tablert_dist.inference.jsonl import predict_lines
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN
from tests.support.lines import told
from tests.support.tiny import WORDS

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
BAD = {100: "{bad", 255: '{"text": 3}', 256: '{"words": ["Ada", ""]}', 2999: "{"}
COMMAND = [sys.executable, "-m", "tablert_dist.cli", "predict", "--model", str(BUNDLE)]
pytestmark = pytest.mark.timeout(300)


def lines(count: int) -> list[str]:
    """Texts of differing length, sentences given as words, empty lines and bad ones."""
    made = [" ".join(WORDS[i % 7 : 2 + i % 11]) for i in range(count)]
    made[5::50] = [json.dumps({"words": WORDS[: 1 + i % 12]}) for i in range(len(made[5::50]))]
    made[7::40] = [json.dumps({"text": f"Ada works at Acme {i} near Oslo."}) for i in range(len(made[7::40]))]
    for number, line in BAD.items():
        made[number] = line
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`in.txt`, and in `expected.jsonl` what one reader finds that takes one part of 256 lines after the other."""
    path = tmp_path_factory.mktemp("lines")
    given = lines(3000)
    (path / "in.txt").write_text("\n".join(given), encoding="utf-8")
    predictor = Predictor.load(BUNDLE, PredictConfig(threads=1))
    found: list[Any] = []
    for start in range(0, len(given), 256):
        found += predict_lines(predictor, list(enumerate(given[start : start + 256], start + 1)))
    (path / "expected.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")
    return path


def predict(*words: object, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["predict", "--model", str(BUNDLE), *(str(w) for w in words)], input=stdin)


def same(found: str, expected: Path) -> bool:
    """Every key and value; probabilities within rounding, for batches of a pipe may be other ones."""
    pairs = zip(found.splitlines(), expected.read_text(encoding="utf-8").splitlines(), strict=True)
    return all(rounded(json.loads(a)) == rounded(json.loads(b)) for a, b in pairs)


def rounded(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: pytest.approx(v, abs=1e-5) if "probability" in key else rounded(v) for key, v in tree.items()}
    return [rounded(value) for value in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("processes", [1, 2])
def test_threads_and_processes_give_what_one_reader_gives(folder: Path, processes: int) -> None:
    words = ["--in", folder / "in.txt", "--processes", processes, "--set", "predict.threads=1"]
    done = predict(*words)
    assert done.exit_code == 0, done.output
    expected = (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in done.stdout.splitlines()] == [json.loads(line) for line in expected]
    errors = [line for line in told(done.stderr) if ": line " in line]
    assert [int(line.split(": line ")[1].split(":")[0]) for line in errors] == [number + 1 for number in BAD]
    assert f"{len(BAD)} of the lines could not be read" in done.stderr and "3000 lines, " in done.stderr
    by_pipe = predict("--processes", processes, stdin=(folder / "in.txt").read_bytes())
    assert by_pipe.exit_code == 0 and same(by_pipe.stdout, folder / "expected.jsonl")
    strict = predict(*words, "--strict", "--out", folder / f"strict-{processes}.jsonl")
    assert strict.exit_code == 2 and "line 101: not JSON" in strict.stderr
    assert not list(folder.glob("*strict*")), "nothing is written"


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_output_is_resumed(folder: Path, tmp_path: Path, processes: int) -> None:
    words = ["--in", str(folder / "in.txt"), "--out", str(tmp_path / "out.jsonl"), "--set", "predict.threads=1"]
    about = tmp_path / ".out.jsonl.part.json"
    child = subprocess.Popen([*COMMAND, *words], stderr=subprocess.DEVNULL)
    while not (about.exists() and "sha256" in about.read_text()):
        assert child.poll() is None, "it was killed in the middle"
        time.sleep(0.001)
    child.kill()
    child.wait()
    known = json.loads(about.read_text())["read"]
    written = (tmp_path / ".out.jsonl.part").read_bytes().count(b"\n")
    assert known["lines"] <= written + 256 and known["lines"] % 256 == 0, "of what was written, not of what was read"
    done = predict(*words, "--resume", "--processes", processes)
    assert done.exit_code == 0, done.output
    assert same((tmp_path / "out.jsonl").read_text(encoding="utf-8"), folder / "expected.jsonl")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_line_of_a_pipe_is_answered_before_the_next_is_given(processes: int) -> None:
    command = [*COMMAND, "--processes", str(processes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin and child.stdout and child.stderr
        for text in ("Ada works at Acme .", "{bad", "Bo near Oslo", ""):
            child.stdin.write(text.encode() + b"\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            assert answer.get("text", "{bad") == text
        child.stdin.close()
        assert child.wait(60) == 0, child.stderr.read()


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_their_parent(number: signal.Signals) -> None:
    command = [*COMMAND, "--processes", "2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdin.write(b"Ada works at Acme .\n")
        child.stdin.flush()
        assert child.stdout.readline(), "the processes have loaded the model"
        children = descendants(child.pid)
        assert len(children) >= 2
        if number == signal.SIGINT:
            os.killpg(child.pid, number)  # as a terminal sends it: to all of them
        else:
            child.send_signal(number)
        assert child.wait(60) == (130 if number == signal.SIGINT else -number)
        until = time.monotonic() + 60
        while any(map(alive, children)):
            assert time.monotonic() < until, "a process was left behind"
            time.sleep(0.02)
        said = child.stderr.read().decode()
    assert told(said) == (["interrupted"] if number == signal.SIGINT else [])


def test_what_goes_wrong_in_a_process_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("Ada works at Acme .\n" * 10)
    words = ["--in", tmp_path / "in.txt", "--processes", "2"]
    refused = predict(*words, "--set", "predict.thresholds={Perr = 0.5}")
    assert refused.exit_code == 2 and told(refused.stderr)[-1].startswith("error: predict.thresholds: the model has no")
    assert predict(*words, "--ray").exit_code == 2
    command = [*COMMAND, "--processes", "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin and child.stdout and child.stderr
        child.stdin.write(b"Ada works at Acme .\n")
        child.stdin.flush()
        assert child.stdout.readline()
        for process in descendants(child.pid):
            if b"resource_tracker" not in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGKILL)
        child.stdin.write(b"Bo near Oslo\n")
        child.stdin.close()
        assert child.wait(60) == 1
        (said,) = told(child.stderr.read().decode().strip())
    assert said.startswith("error: a reader process ended with code -9 while it read lines 2 to 2")
