"""Downloads from a real server on this machine: good, broken, slow, cut off and hostile answers."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tablert_dist.cli.data_download import command
from tablert_dist.data.ade_folds import rebuild
from tablert_dist.data.download.corpus import download
from tablert_dist.data.download.fetch import Patience, fetch
from tablert_dist.data.download.sources import DataSet, Source, data_set, data_sets
from tablert_dist.data.download.unpack import unpack
from tablert_dist.errors import InputError, RunError

BODY = b"".join(b"line %d of a file that is no corpus\n" % i for i in range(20_000))
SHORT = Patience(connect=2, read=0.5, attempts=4, pause=0.01, slowest=1000, window=0.3)
MOST = 10 * len(BODY)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Answers each path with what the test put there."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        answer = self.server.answers.get(self.path)
        self.close_connection = True
        try:
            if answer is None:
                self.send_error(404)
            else:
                answer(self)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *args: Any) -> None:
        pass

    def give(self, body: bytes, code: int = 200, **headers: Any) -> None:
        self.send_response(code)
        for name, value in {"Content_Length": len(body), "Connection": "close", **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)


Answer = Callable[[Handler], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def ranged(body: bytes) -> Answer:
    """A good server: ranges too."""

    def answer(request: Handler) -> None:
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(body) > 0:
            request.give(b"", 416, Content_Range=f"bytes */{len(body)}")
        elif asked:
            request.give(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            request.give(body)

    return answer


def then(*answers: Answer) -> Answer:
    """One after the other; the last again and again."""
    left = list(answers)

    def answer(request: Handler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def cut(body: bytes, after: int) -> Answer:
    """Announces the rest of the body and closes in its middle."""

    def answer(request: Handler) -> None:
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        extra = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if asked else {}
        request.give(body[start : start + after], 206 if asked else 200, Content_Length=len(body) - start, **extra)

    return answer


def status(code: int, **headers: Any) -> Answer:
    return lambda request: request.give(b"no", code, **headers)


def drip(body: bytes, seconds: float) -> Answer:
    """A byte at a time, so that no read times out."""

    def answer(request: Handler) -> None:
        request.give(b"", Content_Length=len(body))
        for i in range(len(body)):
            request.wfile.write(body[i : i + 1])
            request.wfile.flush()
            time.sleep(seconds)

    return answer


def hang(request: Handler) -> None:
    request.give(BODY[:100], Content_Length=len(BODY))
    time.sleep(1.5)


def endless(request: Handler) -> None:
    request.give(b"", Content_Length=None)
    for _ in range(10_000):
        request.wfile.write(bytes(1 << 16))


def get(server: Server, out: Path, answer: Answer, sha256: str = sha(BODY), patience: Patience = SHORT) -> None:
    server.answers["/x"] = answer
    fetch(f"{server.url}/x", out, sha256, MOST, patience)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# -- answers that end well ---------------------------------------------------------------------------------------------

GOOD = {
    "whole": ranged(BODY),
    "without a length": lambda request: request.give(BODY, Content_Length=None),
    "500, 503, then good": then(status(500), status(503), ranged(BODY)),
    "429, then good": then(status(429, Retry_After=0), ranged(BODY)),
    "cut in the middle, then the rest": then(cut(BODY, 1000), cut(BODY, 200_000), ranged(BODY)),
    "cut in the middle, then the range ignored": then(cut(BODY, 1000), lambda request: request.give(BODY)),
    "cut in the middle, then 503, then the rest": then(cut(BODY, 70_000), status(503), ranged(BODY)),
    "hangs, then good": then(hang, ranged(BODY)),
    "drips, then good": then(drip(BODY, 0.05), ranged(BODY)),
    "another range than asked for, then good": then(
        cut(BODY, 5000), lambda request: request.give(BODY[9:], 206, Content_Range=f"bytes 9-{len(BODY) - 1}/*"), ranged(BODY)
    ),
    "closes at once, then good": then(lambda request: request.wfile.close(), ranged(BODY)),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_what_another_attempt_mends(case: str, server: Server, tmp_path: Path) -> None:
    # Each case is a script that is played once.
    get(server, tmp_path / "file.json", GOOD[case])
    assert (tmp_path / "file.json").read_bytes() == BODY
    assert left(tmp_path) == ["file.json"]


def test_a_broken_transfer_goes_on_where_it_stopped_in_another_run(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"/x: .*4 attempts"):
        get(server, tmp_path / "f", then(cut(BODY, 50_000), status(503)))
    assert left(tmp_path) == [".f.part"] and (tmp_path / ".f.part").read_bytes() == BODY[:50_000]
    server.asked.clear()
    get(server, tmp_path / "f", ranged(BODY))
    assert server.asked == [("/x", "bytes=50000-")]
    assert (tmp_path / "f").read_bytes() == BODY


@pytest.mark.parametrize("size", [len(BODY), len(BODY) + 10])
def test_a_part_that_is_whole_or_too_long(size: int, server: Server, tmp_path: Path) -> None:
    (tmp_path / ".f.part").write_bytes((BODY + bytes(10))[:size])
    get(server, tmp_path / "f", ranged(BODY))
    assert (tmp_path / "f").read_bytes() == BODY and left(tmp_path) == ["f"]


def test_a_part_of_another_file_is_begun_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".f.part").write_bytes(b"something else")
    get(server, tmp_path / "f", ranged(BODY))
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in server.asked] == ["bytes=14-", None]


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.answers["/y"] = ranged(BODY)
    get(server, tmp_path / "f", then(status(302, Location="/y")))
    assert (tmp_path / "f").read_bytes() == BODY


def test_the_proxy_of_the_environment_is_used(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy is asked for the whole address; no such host exists.
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers["http://corpus.invalid/x"] = ranged(BODY)
    fetch("http://corpus.invalid/x", tmp_path / "f", sha(BODY), MOST, SHORT)
    assert (tmp_path / "f").read_bytes() == BODY
    monkeypatch.setenv("HTTP_PROXY", "gopher://nowhere")
    with pytest.raises(InputError, match="HTTP_PROXY"):
        fetch("http://corpus.invalid/x", tmp_path / "g", sha(BODY), MOST, SHORT)


# -- answers that end badly, and leave nothing -------------------------------------------------------------------------

BAD = {
    "wrong hash": (ranged(BODY[:-1] + b"!"), "its sha256 is [0-9a-f]{64}, expected [0-9a-f]{64}"),
    "shorter, and said so": (ranged(BODY[:-1]), "its sha256 is"),
    "an error page that says 200": (ranged(b"<html>log in first</html>"), "its sha256 is"),
    "empty": (ranged(b""), "its sha256 is"),
    "404": (status(404), "the server answers 404"),
    "403": (status(403), "the server answers 403"),
    "416 unasked": (status(416), "the server answers 416"),
    "always 503": (status(503), r"answers 503.*4 attempts"),
    "endless": (endless, f"does not end after {MOST} bytes"),
    "huge length": (lambda request: request.give(b"x", Content_Length=10**15), "announces 1000000000000000 bytes"),
    "redirect to a file": (status(302, Location="file:///etc/hostname"), "redirects to file:///etc/hostname, which is not"),
    "redirect to ftp": (status(301, Location="ftp://127.0.0.1/x"), "redirects to ftp:"),
    "redirect in a circle": (status(302, Location="/x"), "more than 5 redirects"),
    "redirect without a target": (status(302), "the server answers 302"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_no_attempt_mends(case: str, server: Server, tmp_path: Path) -> None:
    answer, reason = BAD[case]
    with pytest.raises(RunError, match=reason) as caught:
        get(server, tmp_path / "f", answer)
    assert str(caught.value).startswith(f"{server.url}/x: ") and "\n" not in str(caught.value)
    assert left(tmp_path) == []


def test_addresses_that_are_none(tmp_path: Path, server: Server) -> None:
    for url in ("file:///etc/hostname", "ftp://x/y", "hello", "http:///x"):
        with pytest.raises(RunError, match="not an http or https address"):
            fetch(url, tmp_path / "f", sha(BODY), MOST, SHORT)
    with pytest.raises(RunError, match="4 attempts"):
        fetch("http://127.0.0.1:9/x", tmp_path / "f", sha(BODY), MOST, SHORT)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        get(server, tmp_path / "file" / "f", ranged(BODY))


# -- archives ----------------------------------------------------------------------------------------------------------

WANTED = {"dygie/train.json": "json/train.json", "dygie/dev.json": "json/dev.json"}
CONTENT = {"processed/json/train.json": b"train " * 500, "processed/json/dev.json": b"dev " * 500}
HASHES = {"dygie/train.json": sha(b"train " * 500), "dygie/dev.json": sha(b"dev " * 500)}


def member(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar(path: Path, content: dict[str, bytes], *extra: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info in extra:
            archive.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
        for name, data in content.items():
            archive.addfile(member(name, size=len(data), mode=0o4777, uid=12345), io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode", ["w:gz", "w", "w:bz2"])
def test_only_what_is_wanted_is_unpacked(mode: str, tmp_path: Path) -> None:
    extra = member("processed/elmo/big.hdf5", size=300_000), member("processed", type=tarfile.DIRTYPE)
    archive = tar(tmp_path / "a.tar.gz", CONTENT, *extra, mode=mode)
    unpack(archive, tmp_path / "out", WANTED, HASHES, 10_000)
    assert left(tmp_path / "out") == ["dygie"] and left(tmp_path / "out" / "dygie") == ["dev.json", "train.json"]
    assert (tmp_path / "out/dygie/dev.json").read_bytes() == b"dev " * 500
    assert not (tmp_path / "out/dygie/dev.json").stat().st_mode & 0o7000, "its mode is not taken over"


HOSTILE = {
    "path upwards": ({}, [member("../../evil", size=3)], "written elsewhere"),
    "path upwards further in": ({}, [member("a/../../evil", size=3)], "written elsewhere"),
    "absolute path": ({}, [member("/tmp/evil", size=3)], "absolute path"),
    "link to outside": ({}, [member("a", type=tarfile.SYMTYPE, linkname="/etc/hostname")], "written elsewhere"),
    "link upwards": ({}, [member("a", type=tarfile.SYMTYPE, linkname="../../x")], "written elsewhere"),
    "hard link to outside": ({}, [member("a", type=tarfile.LNKTYPE, linkname="../../x")], "written elsewhere"),
    "device": ({}, [member("a", type=tarfile.CHRTYPE)], "written elsewhere"),
    "wanted file is a link": ({}, [member("json/train.json", type=tarfile.SYMTYPE, linkname="x")], "no plain file"),
    "wanted file is a folder": ({}, [member("json/train.json", type=tarfile.DIRTYPE)], "no plain file"),
    "too many members": ({}, [member(f"f{i}") for i in range(60)], "more than members|more members"),
    "too much inside": ({}, [member("zeros", size=2_000_000)], "more than bytes|more bytes"),
    "wanted file too large": ({}, [member("json/train.json", size=20_000)], "more than the 10000"),
    "wrong content": ({"processed/json/dev.json": b"other"}, [], "json/dev.json has the sha256"),
    "file missing": ({"processed/json/dev.json": None}, [], "has no member json/dev.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_write_nothing(case: str, tmp_path: Path) -> None:
    changes, extra, reason = HOSTILE[case]
    content = {name: data for name, data in (CONTENT | changes).items() if data is not None}  # type: ignore[operator]
    archive = tar(tmp_path / "a.tar.gz", content, *extra)
    with pytest.raises(RunError, match=reason) as caught:
        unpack(archive, tmp_path / "in" / "out", WANTED, HASHES, 10_000, most_bytes=1_000_000, most_members=50)
    assert str(caught.value).startswith("a.tar.gz: ")
    assert [p for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink()] == [archive]


@pytest.mark.parametrize("keep", [0, 10, 200, -20])
def test_broken_archives(keep: int, tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar.gz", CONTENT, member("noise", size=100_000)).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[:keep])
    with pytest.raises(RunError, match=r"a.tar.gz: (not a whole tar|has no member)"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", WANTED, HASHES, 10_000)
    (tmp_path / "a.tar.gz").write_bytes(b"<html>" + whole)
    with pytest.raises(RunError, match="not a whole tar"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", WANTED, HASHES, 10_000)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


# -- whole corpora -----------------------------------------------------------------------------------------------------


def made(server: Server) -> DataSet:
    """A small data set with a server, an archive and a source that has nothing to give."""
    files = {"a_train.json": sha(b"[1]"), "sub/a_dev.json": sha(b"[2]"), **HASHES}
    plain = Source("plain", f"{server.url}/plain/", {"a_train.json": "a_train.json", "sub/a_dev.json": "a_dev.json"})
    packed = Source("packed", f"{server.url}/all.tar.gz", WANTED, archive="", most_bytes=10**6, lacks="no a_*")
    return DataSet(
        "made", "Made", "Ours", files, (plain, packed, Source("none", "http://x/", {}, lacks="other form")), 10**4
    )


def test_a_corpus_from_its_server_then_from_there(server: Server, tmp_path: Path) -> None:
    what = made(server)
    server.answers |= {"/plain/a_train.json": ranged(b"[1]"), "/plain/a_dev.json": ranged(b"[2]")}
    said: list[str] = []
    done = download(what, tmp_path, None, SHORT, said.append)
    assert (tmp_path / "sub" / "a_dev.json").read_bytes() == b"[2]"
    assert done.source.name == "plain" and done.missing == tuple(sorted(HASHES))
    server.asked.clear()
    download(what, tmp_path, None, SHORT, said.append)
    assert server.asked == [] and said[-1].endswith("already there")
    (tmp_path / "a_train.json").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"a_train.json exists and is another file"):
        download(what, tmp_path, None, SHORT)
    assert (tmp_path / "a_train.json").read_bytes() == b"mine"


def test_the_next_source_is_tried_and_what_it_lacks_is_known(server: Server, tmp_path: Path) -> None:
    body = tar(tmp_path / "made.tar.gz", CONTENT).read_bytes()
    what = made(server)
    what = replace(what, sources=(what.sources[0], replace(what.sources[1], archive=sha(body)), what.sources[2]))
    server.answers |= {"/plain/a_train.json": status(503), "/all.tar.gz": then(cut(body, 100), ranged(body))}
    said: list[str] = []
    out = tmp_path / "out"
    done = download(what, out, None, SHORT, said.append)
    assert done.source.name == "packed" and any("plain did not give it" in line for line in said)
    assert left(out) == ["dygie"], "neither the archive nor a part is left"
    server.answers["/all.tar.gz"] = status(404)
    with pytest.raises(RunError, match=r"plain: .*503.*packed: .*404.*none: other form"):
        download(what, tmp_path / "other", None, SHORT)


def test_the_files_of_the_facts_are_consistent() -> None:
    assert set(data_sets()) == {"conll04", "ade", "scierc"}
    for what in data_sets().values():
        assert all(len(h) == 64 and set(h) <= set("0123456789abcdef") for h in what.files.values())
        for source in what.sources:
            assert set(source.paths) <= set(what.files) and source.url.startswith(("http://", "https://"))
            assert source.paths or source.lacks
    assert len([f for f in data_set("ade").files if f.startswith("folds/")]) == 20


@pytest.mark.parametrize("name", ["conll04", "ade", "scierc"])
def test_the_command_fetches_the_true_files(name: str, server: Server, data_root: Path, tmp_path: Path) -> None:
    folder = {"conll04": "conll04/spert", "ade": "ade", "scierc": "scierc/spert"}[name]
    files = {p.name: p.read_bytes() for p in (data_root / folder).glob("*.json")}
    if name == "ade":
        files |= rebuild(data_root / "ade" / "ade_full.json", data_root / "ade" / "ade_folds.json")
    server.answers = {f"/there/{file}": ranged(body) for file, body in files.items()}
    out = tmp_path / "out"
    done = CliRunner().invoke(command, [name, "--out", str(out), "--source", f"{server.url}/there"])
    assert done.exit_code == 0, done.output
    assert "licence" in done.output and "next: " in done.output and f" data check {out}" in done.output
    first = data_set(name).sources[0]
    assert {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()} == set(first.paths)


def test_a_download_that_gives_nothing_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    for words in ((str(tmp_path / "data" / "x"), "data"), (str(tmp_path / "there" / "x"), "x")):
        (tmp_path / "there").mkdir(exist_ok=True)
        done = CliRunner().invoke(command, ["conll04", "--out", words[0], "--source", server.url, "--timeout", "2"])
        assert done.exit_code == 1 and "could not be fetched" in done.stderr, done.output
    assert [p.name for p in tmp_path.rglob("*")] == ["there"], "what was there before stays"


def test_the_command_refuses_in_a_sentence(server: Server, tmp_path: Path) -> None:
    server.answers["/conll04_train.json"] = ranged(b"[]")
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "out")
    for words, code, reason in (
        (["ace05"], 2, "LDC2006T06.*DyGIE"),
        (["conll4"], 2, "did you mean 'conll04'"),
        (["conll04", "--out", out, "--source", server.url], 1, "expected 65c52d5b"),
        (["conll04", "--out", out, "--source", f"{server.url}/x.tar.gz"], 2, "not read from an archive"),
        (["conll04", "--out", out, "--source", "file:///etc"], 1, "not an http or https address"),
        (["conll04", "--out", str(tmp_path / "file")], 2, "is a file"),
    ):
        done = CliRunner().invoke(command, words)
        assert done.exit_code == code, done.output
        assert re.search(reason, done.output.splitlines()[-1]), done.output
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_the_hashes_are_those_of_the_files_that_the_tests_read(data_root: Path) -> None:
    known = json.loads((data_root / "ade" / "ade_folds.json").read_text())["sha256"]
    assert {f"folds/{k}": v for k, v in known.items()}.items() <= data_set("ade").files.items()
    for name in ("train", "dev", "test"):
        assert (
            sha((data_root / f"scierc/dygie/{name}.json").read_bytes())
            == data_set("scierc").files[f"dygie/{name}.json"]
        )
