"""`--resume NAME` alone: the record's configuration, space and options; what is given wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tablert_dist.cli.common import config_options
from tablert_dist.cli.resumed import options_of
from tablert_dist.config import Config, load_config
from tablert_dist.runs.store import RunStore
from tablert_dist.tune.space import Space, load_space, spaces


@pytest.mark.parametrize("name", spaces())
def test_a_space_comes_back_from_its_record(name: str) -> None:
    config = load_config("conll04")
    space = load_space(name, config)
    again = Space.of_tree(space.tree())
    assert again.tree() == space.tree()
    assert again.draw(3, 1) == space.draw(3, 1)


@pytest.fixture
def verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a verb with the usual options receives, in a folder with the run `r` of the preset `scierc`."""
    monkeypatch.chdir(tmp_path)
    config = load_config("scierc", {"optim.lr": 0.5, "data.path": "/there"})
    with RunStore.open(config.model_copy(), "r", False, "train"):
        pass
    seen: list[tuple[Config, dict[str, Any]]] = []

    @click.command()
    @click.option("--resume", default=None)
    @config_options
    def command(config: Config, **rest: Any) -> None:
        seen.append((config, rest))

    def call(*words: str) -> Config:
        done = CliRunner().invoke(command, list(words), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return seen[-1][0]

    return call


def test_what_is_not_given_comes_from_the_record(verb: Any, tmp_path: Path) -> None:
    found = verb("--resume", "r")
    scierc = load_config("scierc")
    assert (found.optim.lr, found.data.path, found.data.overlap) == (0.5, "/there", scierc.data.overlap)
    assert found.train.storage == str(tmp_path / "runs"), "where it was found"
    assert verb("--resume", "r", "--set", "optim.lr=0.25").optim.lr == 0.25
    assert verb("--resume", "r", "--data", "/here").data.path == "/here"


def test_that_code_may_run_is_said_each_time(verb: Any, tmp_path: Path) -> None:
    config = load_config("scierc", {"model.trust_remote_code": True})
    with RunStore.open(config.model_copy(), "trusted", False, "train"):
        pass
    assert verb("--resume", "trusted").model.trust_remote_code is False
    assert verb("--resume", "trusted", "--set", "model.trust_remote_code=true").model.trust_remote_code is True


def test_a_named_configuration_is_taken_whole(verb: Any) -> None:
    assert verb("--resume", "r", "--config", "conll04").optim.lr == load_config("conll04").optim.lr
    assert verb("--resume", "unknown").optim.lr == load_config("sample").optim.lr, "refused later, with the names"


def test_a_studys_options_come_from_its_record() -> None:
    seen: dict[str, Any] = {}
    record = {"options": ["layers", "--layers", "0,2", "--seeds", "1,2", "--epochs", "3"]}

    @click.command("layers")
    @click.option("--layers", default="0,2,4,6")
    @click.option("--seeds", default="1")
    @click.option("--epochs", type=int, default=None)
    def command(**values: Any) -> None:
        seen.update(options_of(record, values))

    CliRunner().invoke(command, ["--seeds", "7"], catch_exceptions=False)
    assert seen == {"layers": "0,2", "seeds": "7", "epochs": 3}
