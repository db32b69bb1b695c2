"""One redactor: whatever a password is made of, it is not shown; and what holds a login is refused, not written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.config import flatten, load_config, recorded_config
from tablert_dist.config.tree import ADDRESSES
from tablert_dist.errors import InputError
from tablert_dist.storage.secrets import holds_login, no_login, redact, without_login

SCHEMES = ("http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "s3", "gs", "abfs", "hdfs", "ray")
NAMES = (
    *("password", "passwd", "PWD", "token", "secret", "api_key", "apikey", "API-KEY", "access_key", "secret_key"),
    *("aws_secret_access_key", "AWS_ACCESS_KEY_ID", "X-Amz-Signature", "X-Amz-Security-Token", "sig", "odbc_connect"),
    *("account_key", "client_secret", "MLFLOW_TRACKING_PASSWORD", "private_key", "credential"),
)
anything = st.text(st.characters(min_codepoint=33, exclude_categories=("Z", "C")), min_size=6, max_size=30)
"""Of a login in an address: no space, and everything else, with slashes, colons, quotes and signs of its own."""
values = anything.filter(lambda text: "&" not in text)


@given(st.sampled_from(SCHEMES), anything, st.sampled_from(["host", "host:5000/x", "h/db?a=b", "[::1]:80"]))
def test_no_password_before_a_host_is_shown(scheme: str, password: str, host: str) -> None:
    uri = f"{scheme}://ann:/{password}@{host}"
    shown = redact(f"cannot reach '{uri}' now (status: 401)")
    assert password not in shown and "cannot reach" in shown and "now" in shown
    assert holds_login(uri)
    assert password not in without_login(uri)


@given(st.sampled_from(NAMES), values, st.sampled_from(["{0}={1}&a=b", "x=1&{0}={1}", "{0}={1}", '{{"{0}": "{1}"}}']))
def test_no_value_of_a_secrets_name_is_shown(name: str, value: str, form: str) -> None:
    text = form.format(name, value)
    assert value not in redact(text).replace(name, "")
    assert value not in redact(f"http://host/x?{text}")


@given(st.sampled_from([n for n in NAMES if "odbc" not in n]), values.filter(lambda v: "?" not in v and "#" not in v))
def test_a_secret_parameter_of_an_address_is_refused_and_can_be_left_out(name: str, value: str) -> None:
    uri = f"https://host:5000/x?a=b&{name}={value}"
    assert holds_login(uri)
    assert value not in without_login(uri)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:pa@ss/wo:rd@host:5000/x", "https://***@host:5000/x"),
        ("postgresql+psycopg://u:p@h/db?password=x&a=b", "postgresql+psycopg://***@h/db?password=***&a=b"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dy", "mssql+pyodbc:///?odbc_connect=***"),
        ("DRIVER=x;PWD={a b;c};UID=u", "DRIVER=x;PWD=***"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("sqlite:////tmp/a@b/mlflow.db", "sqlite:////tmp/a@b/mlflow.db"),
        ("no token at all in 3 tokens, passwords", "no token at all in 3 tokens, passwords"),
        ("s3://bucket/runs?endpoint_override=http://127.0.0.1:9000", "s3://bucket/runs?endpoint_override=http://127.0.0.1:9000"),
    ],
)  # fmt: skip
def test_what_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "sqlite:////tmp/a@b:c/mlflow.db",
            "http://host:5000/x",
            "postgresql://ann@host/db",
            "postgresql:///db?service=x",
        ),
        *(
            "s3://bucket/a@b",
            "abfs://container@account.dfs.core.windows.net/x",
            "models:/a@champion",
            "/home/a:b@c",
            "a@b:c",
        ),
        *("hdfs://ann@host:9000/x", "mysql://ann@host/db?read_default_file=/etc/my.cnf", "ray://host:10001"),
        "s3://bucket/runs?scheme=http&endpoint_override=127.0.0.1%3A9000&region=x",
    ],
)
def test_an_address_without_a_login_is_taken_as_it_is(uri: str) -> None:
    assert no_login(uri) == uri and without_login(uri) == uri


@pytest.mark.parametrize(
    ("uri", "instead"),
    [
        (
            "http://ann:hunter22@host:5000",
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
        ),
        ("https://hunter22@host", "MLFLOW_TRACKING_TOKEN"),
        ("http://ann:hunt/er22@host", "MLFLOW_TRACKING_PASSWORD"),
        ("postgresql://ann:hunter22@host/db", "PGPASSWORD"),
        ("postgresql://host/db?user=ann&password=hunter22", "PGPASSWORD"),
        ("mysql+pymysql://ann:hunter22@host/db", "read_default_file"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Dhunter22", "mssql+pyodbc://NAME"),
        ("s3://AKIA:hunter22@bucket/runs", "AWS_ACCESS_KEY_ID"),
        ("s3://bucket/runs?access_key=AKIA&secret_key=hunter22", "AWS_SECRET_ACCESS_KEY"),
        ("gs://hunter22@bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfs://c@a.dfs.core.windows.net/x?sig=hunter22", "AZURE_CLIENT_ID"),
        ("ftp://ann:hunter22@host/x", "the environment of its client"),
    ],
)
@pytest.mark.parametrize("key", ADDRESSES)
def test_a_login_is_refused_when_the_configuration_is_read(uri: str, instead: str, key: str) -> None:
    with pytest.raises(InputError) as refusal:
        load_config(None, {key: uri})
    told = str(refusal.value)
    assert key in told and instead in told and "hunt" not in told and "AKIA" not in told


def test_a_record_of_an_earlier_version_is_read_without_its_login() -> None:
    tree = json.loads(json.dumps(load_config(None).model_dump(mode="json")))
    tree["tracking"]["uri"] = "http://ann:hunter22@host:5000"
    tree["train"]["storage"] = "s3://bucket/runs?access_key=a&secret_key=hunter22&region=x"
    config = flatten(recorded_config(tree))
    assert (config["tracking.uri"], config["train.storage"]) == ("http://host:5000", "s3://bucket/runs?region=x")
