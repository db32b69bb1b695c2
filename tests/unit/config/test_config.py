"""The configuration: presets as Table 5, overrides, and refusals that name the key and the nearest one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.config import (
    Config,
    flatten,
    load_config,
    parse_assignment,
    preset_names,
    public_config,
    with_overrides,
)
from tablert_dist.config.heads import RENAMED
from tablert_dist.config.toml_files import read_toml
from tablert_dist.errors import InputError
from tablert_dist.tune.space import load_space, spaces

TABLE_5 = {
    # kernel, hidden, batch size; the rest is the same in all three columns
    "conll04": (3, (512,), 8),
    "ace05": (5, (512,), 8),
    "ade": (3, (512, 256), 16),
}


@pytest.mark.parametrize("name", TABLE_5)
def test_presets_are_table_5(name: str) -> None:
    config = load_config(name)
    kernel, hidden, batch = TABLE_5[name]
    assert (config.model.cnn.kernel_size, config.model.cnn.hidden, config.train.batch_size) == (kernel, hidden, batch)
    assert (config.optim.encoder_lr, config.optim.lr, config.optim.warmup) == (5e-5, 1e-3, 0.2)
    assert (config.model.dropout, config.train.epochs, config.model.encoder) == (0.3, 30, "bert-base-cased")
    assert (config.optim.weight_decay, config.optim.clip_norm, config.optim.schedule) == (0.01, 1.0, "linear")


def test_conll04_plus_is_conll04_and_what_helped() -> None:
    plus, paper = (flatten(load_config(name)) for name in ("conll04-plus", "conll04"))
    changed = {key: value for key, value in plus.items() if paper[key] != value}
    assert changed == {
        "model.cnn.decoding": "viterbi",
        "model.cnn.bilinear": 64,
        "model.cnn.rotary": True,
        "model.cnn.label_width": 32,
    }
    system = read_toml("plus", "tablert_dist.study", "x")["plus"]
    assert {key: value for key, value in system.items() if key != "title"} == changed


def test_every_preset_and_space_loads() -> None:
    assert {"sample", *TABLE_5} <= set(preset_names())
    for name in spaces():
        assert load_space(name, load_config("sample")).draw(1, 1)


def test_the_papers_grid_has_ten_points_with_table_5s_winners() -> None:
    points = load_space("paper", load_config("conll04")).points()
    assert len(points) == 10
    for kernel, hidden, _ in TABLE_5.values():
        assert {"model.cnn.kernel_size": kernel, "model.cnn.hidden": list(hidden)} in points


def test_a_table_can_be_set_from_text() -> None:
    config = with_overrides(Config(), {"predict.thresholds": "{works_for = 0.5, Person = 0.3}"})
    assert config.predict.thresholds == {"works_for": 0.5, "Person": 0.3}


def test_overrides_from_text_and_from_values_are_the_same() -> None:
    base = load_config("sample")
    text = with_overrides(
        base, {"model.cnn.hidden": "[64, 32]", "train.epochs": "3", "model.frozen": "true", "data.path": "x"}
    )
    value = with_overrides(
        base, {"model.cnn.hidden": [64, 32], "train.epochs": 3, "model.frozen": True, "data.path": "x"}
    )
    assert text == value
    assert with_overrides(text, {"data.path": "none"}).data.path is None
    assert with_overrides(base, {"optim.lr": "1"}).optim.lr == 1.0


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("model.kernel_sise=3", "did you mean 'model.cnn.kernel_size'"),
        ("modle.hidden=[2]", "did you mean 'model.cnn.hidden'"),
        ("epochs=3", "did you mean 'train.epochs'"),
        ("model.cnn.kernel_size=4", "model.cnn.kernel_size = 4: must be odd"),
        ("model.cnn.kernel_size=0", "model.cnn.kernel_size = 0"),
        ("model.cnn.kernel_size=-1", "model.cnn.kernel_size = -1"),
        ("model.cnn.hidden=[0]", "model.cnn.hidden.0 = 0"),
        ("model.cnn.hidden=512", "model.cnn.hidden = 512"),
        ("model.layer=-1", "model.layer = -1"),
        ("model.dropout=1.0", "model.dropout = 1.0"),
        ("train.select=best", "train.select = 'best'"),
        ("train.batch_size=many", "train.batch_size = 'many'"),
        ("train.seeds=[]", "train.seeds"),
        ("optim.lr=0", "optim.lr = 0"),
    ],
)
def test_wrong_values_are_refused_with_a_sentence(assignment: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        with_overrides(load_config("sample"), dict([parse_assignment(assignment)]))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_files_and_keys_in_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'conll04'"):
        load_config("conll4")
    file = tmp_path / "x.toml"
    for text, expected in (("[model]\nlayers = 2", "'model.layers'"), ("[model", "not TOML"), ("x = 1", "key 'x'")):
        file.write_text(text)
        with pytest.raises(InputError, match=expected):
            load_config(str(file))
    with pytest.raises(InputError, match=r"write it as section\.key=value"):
        parse_assignment("model.cnn.kernel_size")


def test_spaces_are_checked_point_by_point(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    for text, expected in (
        ('[grid]\n"model.cnn.kernel_size" = [3, 4]', "model.cnn.kernel_size = 4"),
        ('[grid]\n"model.kernel" = [3]', "did you mean 'model.cnn.kernel_size'"),
        ('[grid]\n"model.cnn.kernel_size" = 3', "must list"),
        ("[other]", "one table"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=expected):
            load_space(str(file), load_config("sample"))
    with pytest.raises(InputError, match="neither a file nor shipped"):
        load_space("papre", load_config("sample"))


def test_what_leaves_the_machine_names_no_path() -> None:
    secret = {
        "data.path": "/home/me/data",
        "train.storage": "/mnt/x",
        "tracking.uri": "http://mlflow.example",
        "model.encoder": "/m/enc",
    }
    text = str(public_config(with_overrides(load_config("sample"), secret)))
    assert not any(word in text for word in ("/home", "/mnt", "mlflow.example", "/m/"))
    assert "'encoder': 'enc'" in text
    assert flatten(load_config("sample"))["model.cnn.hidden"] == [128]


@pytest.mark.parametrize("key", sorted(RENAMED))
def test_a_key_that_has_moved_into_its_heads_section_is_accepted_with_a_warning(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    value = next(v for v in (5, [64], True, "viterbi", 0.5) if _fits(RENAMED[key], v))
    text = json.dumps(value)
    (tmp_path / "old.toml").write_text(f"[model]\n{key.removeprefix('model.')} = {text}\n")
    (tmp_path / "space.toml").write_text(f'[grid]\n"{key}" = [{text}]\n')
    for source, found in {
        "--set": with_overrides(Config(), {key: _shell(value)}),
        str(tmp_path / "old.toml"): load_config(tmp_path / "old.toml"),
        f"space {tmp_path / 'space.toml'}": load_space(str(tmp_path / "space.toml"), Config()).grid[RENAMED[key]],
    }.items():
        if isinstance(found, Config):
            assert flatten(found)[RENAMED[key]] == value
        assert f"{source}: the configuration key '{key}' is now called '{RENAMED[key]}'" in caplog.text
    tree = Config().model_dump(mode="json")
    tree["model"] = {**tree["model"], key.removeprefix("model."): value}
    assert flatten(Config.model_validate(tree, strict=False))[RENAMED[key]] == value, "as an old run's record has it"


def _shell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _fits(key: str, value: Any) -> bool:
    try:
        return flatten(with_overrides(Config(), {key: _shell(value)}))[key] == value
    except InputError:
        return False
