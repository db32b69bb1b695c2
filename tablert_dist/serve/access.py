"""Who may ask: the token, the names under which the server is asked, the sites whose pages may ask, and the refusal to
listen to other machines without a token."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response

from tablert_dist.config import ServeConfig
from tablert_dist.errors import InputError
from tablert_dist.serve.body import answer
from tablert_dist.serve.metrics import App, Message, Receive, Send

TOKEN_VARIABLE = "TABLERT_TOKEN"  # the name of the variable
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_GUARDED = ("/v1/", "/v2/models/", "/metrics")
"""Paths that need the token; the others tell nothing about the model or its requests."""
_POSTED = ("/v1/", "/v2/")
LABEL_STUDIO = frozenset({"/health", "/setup", "/predict"})
"""Label Studio knows no bearer tokens: there the token is the password of basic authentication, under any user's name."""
_SHORTEST = 16


def token_of(config: ServeConfig) -> str:
    """The token: `serve.token`, the first line of `serve.token_file`, or $TABLERT_TOKEN; empty where there is none.

    Raises InputError where the file cannot be read, or the token is shorter than 16 characters or not plain ASCII.
    """
    where, token = "serve.token", config.token
    if not token and config.token_file:
        where = f"serve.token_file = {config.token_file}"
        try:
            token = Path(config.token_file).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if not token:
            raise InputError(f"{where} is empty: its first line is to be the token")
    if not token:
        where, token = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and (len(token) < _SHORTEST or not token.isascii() or any(c.isspace() for c in token)):
        raise InputError(
            f"{where}: a token has {_SHORTEST} ASCII characters or more and no white space; make one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def check_exposure(config: ServeConfig, token: str) -> None:
    """Raise InputError where other machines could use the model without a token, and that is not said to be meant."""
    if not token and not config.insecure and not _is_loopback(config.host):
        raise InputError(
            f"serve.host = {config.host} lets other machines in, and there is no token: set {TOKEN_VARIABLE} or "
            "serve.token_file, or say --insecure if whoever reaches the port may use the model"
        )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # `bind` says that it is no address of this machine
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


class Access:
    """ASGI middleware: 400 for a host name that is not ours, 401 without the token, 415 for a body of another kind.

    A page of another site can make a browser ask a server on loopback: by a name that it points there (DNS rebinding),
    which the host names refuse, or by a form, which can send neither JSON nor bytes under their type. A script can send a
    body without a type; its browser then names the site as `Origin`, which clients of the protocol do not.
    """

    def __init__(self, app: App, token: str = "", hosts: Iterable[str] = ()) -> None:
        self.app = app
        self._token = f"Bearer {token}".encode() if token else b""
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, scope: Message) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts and (name := _name_in(headers.get("host", ""))) not in self._hosts:
            shown = "".join(c for c in name if c.isprintable())[:60]
            return answer(400, {"error": f"this server does not answer as '{shown}'; list the name in serve.hosts"})
        path, method = scope["path"], scope["method"]
        if method == "OPTIONS":
            return None
        if self._token and (path.startswith(_GUARDED) or path in LABEL_STUDIO):
            given = headers.get("authorization", "")
            if path in LABEL_STUDIO:
                given = _as_bearer(given)
            if not hmac.compare_digest(given.encode(), self._token):
                sentence = "a token is needed: send the header 'Authorization: Bearer TOKEN'"
                return answer(401, {"error": sentence}, {"WWW-Authenticate": "Bearer"})
        posted = path.startswith(_POSTED) or path in LABEL_STUDIO
        if method == "POST" and posted and (reason := _of_another_kind(path, headers)):
            return answer(415, {"error": reason})
        return None


def _as_bearer(given: str) -> str:
    """Basic authentication as the bearer token that its password is; what is none is left as it is."""
    kind, _, coded = given.partition(" ")
    if kind.lower() != "basic":
        return given
    try:
        return f"Bearer {base64.b64decode(coded, validate=True).decode().partition(':')[2]}"
    except ValueError:
        return given


def _of_another_kind(path: str, headers: Headers) -> str | None:
    """Why a body is not read."""
    if (coding := headers.get("content-encoding", "identity")) != "identity":
        return f"the body is compressed (content-encoding: {coding[:60]}), which this server does not read: send it as it is"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    # tritonclient (2.73) names no type, and KServe's client this one for a body with binary tensors.
    others = (
        () if not path.startswith("/v2/") else ("application/octet-stream", *(() if "origin" in headers else ("",)))
    )
    if kind == "application/json" or kind in others:
        return None
    shown = f"'{kind[:60]}'" if kind else "none"
    return f"the body must be JSON: content-type is {shown}, not application/json"


def allowed_hosts(config: ServeConfig, token: str) -> frozenset[str]:
    """The names that the server answers to; empty: to all of them.

    Without `serve.hosts` a server on loopback answers to loopback's names, and one with a token to any.
    """
    if config.hosts:
        return frozenset((*config.hosts, *LOOPBACK_NAMES))
    if token or not _is_loopback(config.host):
        return frozenset()
    return frozenset((*LOOPBACK_NAMES, config.host))


def _name_in(host: str) -> str:
    """The name in a Host header, without the port; empty where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
