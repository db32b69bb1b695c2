"""What must not be written down: logins in addresses, and how a text is shown without them."""

from __future__ import annotations

import re

MASK = "***"
_NAMES = (
    "password|passwd|passphrase|pwd|pass|secret|token|bearer|api[_-]?key|access[_-]?key(?:[_-]?id)?|secret[_-]?key|"
    "account[_-]?key|private[_-]?key|shared[_-]?access[_-]?signature|signature|sig|sas|credentials?|authorization|odbc_connect"
)
_KEY = rf"(?<![A-Za-z0-9])(?:[\w.-]*[_.-])?(?:{_NAMES})(?![A-Za-z0-9])"
_PAIR = re.compile(
    rf"(?i)({_KEY}[\"']?\s*[=:]\s*)(?:(?:bearer|basic)\s+)?(?:\"[^\"]*\"|'[^']*'|\{{[^}}]*\}})?[^&\s]*",
)
# To the last @ before a space: a password may hold any other character, a slash and an @ too. No host comes before the
# path of sqlite:////tmp/a@b.
_LOGIN = re.compile(r"(\w[\w+.-]*://)(?!/)\S*@")
_PARAMETER = re.compile(rf"(?i)[?&;]{_KEY}=")
_DATABASES = ("postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle")
INSTEAD = {
    ("http", "https"): "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    (
        "postgresql",
        "postgres",
    ): "PGPASSWORD, or a file that libpq reads: ~/.pgpass, or a service file (add ?service=NAME)",
    ("mysql", "mariadb"): "an option file of the client's (add ?read_default_file=/path/my.cnf)",
    ("mssql",): "a data source of ODBC's own, by its name: mssql+pyodbc://NAME",
    ("s3",): "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    ("gs", "gcs"): "GOOGLE_APPLICATION_CREDENTIALS, the path of a key file",
    ("abfs", "abfss", "az"): "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
}
"""By scheme, what takes the login in the place of the address."""


def redact(text: str) -> str:
    """The text with every `user:password@` and the value of every `password=…`, `token=…` or `access_key=…` masked.

    Rather too much is masked than too little: what is shown is for people.
    """
    return _PAIR.sub(rf"\1{MASK}", _LOGIN.sub(rf"\1{MASK}@", text))


def without_login(uri: str) -> str:
    """The address without login and secret parameters: what may be written to a file."""
    if not holds_login(uri):
        return uri
    place, mark, query = _LOGIN.sub(r"\1", uri).partition("?")
    kept = [part for part in query.split("&") if part and not _PARAMETER.match(f"?{part}")]
    return f"{place}{mark if kept else ''}{'&'.join(kept)}"


def holds_login(uri: str) -> bool:
    """Whether an address holds a password, a key or a token. A user's name alone is none, but to a web server or a bucket."""
    scheme, mark, rest = uri.partition("://")
    if not mark or _PARAMETER.search(rest):
        return bool(mark)
    if rest.startswith("/") or "@" not in rest:
        return False
    return _is_login(scheme.lower().partition("+")[0], rest)


def _is_login(kind: str, rest: str) -> bool:
    """Whether there is one before an @ of `rest`."""
    host = rest.partition("/")[0]
    if kind in {"http", "https"}:
        return True
    if kind in _DATABASES:
        return ":" in rest.rpartition("@")[0]
    if "@" in host:
        return ":" in host.rpartition("@")[0] or kind in {"s3", "gs", "gcs"}
    # A colon that no port follows: the slash is a part of a password.
    return ":" in host and not host.partition(":")[2].isdigit()


def no_login(uri: str | None) -> str | None:
    """Return the address. Raises ValueError where it holds a login, with what takes it instead."""
    if uri is None or not holds_login(uri):
        return uri
    kind = uri.partition("://")[0].lower().partition("+")[0]
    instead = next((text for kinds, text in INSTEAD.items() if kind in kinds), "the environment of its client")
    raise ValueError(f"an address must not hold a login, since it is written to files; give it by {instead}")
