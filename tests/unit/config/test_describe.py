"""Every key is explained, and a configuration that is printed is the same when it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tablert_dist.config import Config, flatten, load_config, preset_names, with_overrides
from tablert_dist.config.describe import about, all_keys, as_toml, choices, key_names, narrowed, section_names
from tablert_dist.config.load import preset_title
from tablert_dist.errors import InputError


def test_every_key_and_section_is_explained() -> None:
    assert [key.name for key in all_keys()] == key_names() and set(key_names()) == set(flatten(Config()))
    for key in all_keys():
        assert key.meaning and key.kind, key.name
    assert all(about(section) for section in section_names())
    schema = Config.model_json_schema()["$defs"]
    assert schema["CnnConfig"]["properties"]["kernel_size"]["description"].startswith("Side K")


def test_a_word_narrows_to_a_key_a_section_or_a_last_part() -> None:
    assert [key.name for key in narrowed("model.cnn.kernel_size")] == ["model.cnn.kernel_size"]
    assert [key.name for key in narrowed("batch_size")] == ["train.batch_size"]
    assert {key.name for key in narrowed("model.cnn")} == {f"model.cnn.{k}" for k in flatten_cnn()}
    with pytest.raises(InputError, match=r"did you mean 'train\.batch_size'"):
        narrowed("batchsize")
    with pytest.raises(InputError, match=r"did you mean 'optim\.warmup'"):
        narrowed("optim.warmpu")


def flatten_cnn() -> set[str]:
    return set(Config().model.cnn.model_dump())


@pytest.mark.parametrize("name", preset_names())
def test_a_printed_preset_is_the_same_configuration(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    text = as_toml(config)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "mine.toml") == config
    changed = {line.partition(" = ")[0] for line in text.splitlines() if "# default:" in line}
    default = flatten(Config())
    assert changed == {key.rpartition(".")[2] for key, value in flatten(config).items() if value != default[key]}
    assert preset_title(name)


def test_odd_values_are_toml() -> None:
    config = with_overrides(Config(), {"predict.thresholds": {'a "b"': 0.5}, "cluster.num_workers": [1, 4]})
    tree = tomllib.loads(as_toml(config))
    assert tree["predict"]["thresholds"] == {'a "b"': 0.5} and tree["cluster"]["num_workers"] == [1, 4]


def test_choices_are_those_of_the_key() -> None:
    assert choices("optim.schedule") == ["linear", "cosine"] and choices("model.frozen") == ["true", "false"]
    assert choices("optim.lr") == [] and choices("nothing") == []
