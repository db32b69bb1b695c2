"""Who may ask the server: tokens, host names, sites, content types; and what is not listened to without a token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tablert_dist.config import Config, load_config
from tablert_dist.errors import InputError
from tablert_dist.serve.access import allowed_hosts, check_exposure, token_of
from tests.support.lines import told
from tests.support.ray_head import free_ports
from tests.support.serving import Server, running

TOKEN = "a-token-of-enough-characters"
JSON = {"content-type": "application/json"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def ask(server: Server, **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/extract", content=b'{"text": "Ada"}', headers=headers, trust_env=False)


def test_a_token_is_asked_for_wherever_the_model_answers(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\nanother line\n")
    with running(bundle, f"serve.token_file={file}") as server:
        get = server.client.get
        for wrong in (
            {},
            {"authorization": TOKEN},
            {"authorization": f"Bearer {TOKEN}x"},
            {"authorization": "Bearer é"},
        ):
            raw = {key: value.encode() for key, value in wrong.items()}
            found = server.client.post("/v1/extract", content=b'{"text": "Ada"}', headers=raw)
            assert found.status_code == 401 and found.headers["www-authenticate"] == "Bearer"
            assert "a token is needed" in found.json()["error"] and TOKEN not in found.text
            assert get("/v1/schema", headers=raw).status_code == get("/metrics", headers=raw).status_code == 401
            assert server.client.post("/v1/page", headers=raw, json={"text": "Ada"}).status_code == 401
        assert ask(server, **JSON, **BEARER).status_code == 200
        assert get("/v1/schema", headers=BEARER).status_code == get("/metrics", headers=BEARER).status_code == 200
        for path in ("/", "/healthz", "/readyz", "/docs"):
            assert get(path).status_code == 200, path
    assert TOKEN not in "".join(server.log)


def test_metrics_on_a_port_of_their_own(bundle: Path) -> None:
    (port,) = free_ports(1)
    with running(bundle, f"serve.metrics_port={port}", f"serve.token={TOKEN}") as server:
        assert "tablert_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        assert server.client.get("/metrics", headers=BEARER).status_code == 404


def test_only_json_under_our_own_names_and_for_no_other_site(bundle: Path) -> None:
    with running(bundle) as server:
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            found = ask(server, **({"content-type": kind} if kind else {}))
            assert found.status_code == 415 and "must be JSON" in found.json()["error"]
        assert ask(server, **{"content-type": "application/json; charset=utf-8"}).status_code == 200
        for name in ("evil.example", "127.0.0.1.evil.example", "", "[::2]", "localhost.", "127.0.0.1@evil.example"):
            found = ask(server, host=name, **JSON)
            assert found.status_code == 400, name
        for name in ("localhost", "127.0.0.1:9", "[::1]:80", "LOCALHOST"):
            assert ask(server, host=name, **JSON).status_code == 200, name
        other = ask(server, origin="https://example.org", **JSON)
        assert "access-control-allow-origin" not in other.headers
    with running(bundle, 'serve.origins=["https://example.org"]', 'serve.hosts=["model.example"]') as server:
        ours = ask(server, origin="https://example.org", host="model.example", **JSON)
        assert ours.status_code == 200 and ours.headers["access-control-allow-origin"] == "https://example.org"
        theirs = ask(server, origin="https://evil.example", **JSON)
        assert "access-control-allow-origin" not in theirs.headers
        asked = {"origin": "https://example.org", "access-control-request-method": "POST"}
        preflight = httpx.options(f"{server.url}/v1/extract", headers=asked, trust_env=False)
        assert preflight.status_code == 200 and "access-control-allow-methods" in preflight.headers


def test_other_machines_are_not_let_in_without_a_token_unless_that_is_meant(bundle: Path) -> None:
    words = [sys.executable, "-m", "tablert_dist.cli", "serve", "--model", str(bundle), "--set", "serve.host=0.0.0.0"]
    done = subprocess.run([*words, "--set", "serve.port=0"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and len(told(done.stderr)) == 1
    assert "lets other machines in, and there is no token" in done.stderr and "--insecure" in done.stderr


def config(**serve: object) -> Config:
    return load_config(None, {f"serve.{key}": value for key, value in serve.items()})


def test_where_the_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABLERT_TOKEN", TOKEN)
    assert token_of(config().serve) == TOKEN
    assert token_of(config(token="x" * 20).serve) == "x" * 20
    check_exposure(config(host="0.0.0.0").serve, TOKEN)
    monkeypatch.delenv("TABLERT_TOKEN")
    assert token_of(config().serve) == ""
    check_exposure(config(host="0.0.0.0", insecure=True).serve, "")
    check_exposure(config(host="localhost").serve, "")
    for host in ("0.0.0.0", "::"):
        with pytest.raises(InputError, match="lets other machines in"):
            check_exposure(config(host=host).serve, "")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        token_of(config(token_file=str(tmp_path / "nothing")).serve)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        token_of(config(token_file=str(tmp_path / "empty")).serve)
    for bad in ("short", "with white space in it", "ünïcödé-ünïcödé-ünïcödé"):
        with pytest.raises(InputError, match="16 ASCII characters"):
            token_of(config(token=bad).serve)


def test_the_names_that_are_answered_to() -> None:
    assert allowed_hosts(config().serve, "") == {"localhost", "127.0.0.1", "::1"}
    assert allowed_hosts(config().serve, TOKEN) == frozenset()
    assert allowed_hosts(config(host="0.0.0.0").serve, "") == frozenset()
    assert "model.example" in allowed_hosts(config(hosts=["model.example"]).serve, TOKEN)
