"""Spaces with ranges: what is drawn from them, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tablert_dist.config import load_config, with_overrides
from tablert_dist.errors import InputError
from tablert_dist.tune.ranges import Range
from tablert_dist.tune.search import plan
from tablert_dist.tune.space import Space, load_space

RANGES = """
[grid]
"model.cnn.hidden" = [[8], [16, 8]]
[range]
"optim.lr" = { low = 1e-4, high = 1e-2, log = true }
"model.cnn.kernel_size" = { low = 1, high = 7, step = 2 }
"model.dropout" = { low = 0, high = 0.5 }
"""


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "s.toml"
    file.write_text(text)
    return str(file)


def test_random_points_are_of_the_space_distinct_and_of_the_seed(tmp_path: Path) -> None:
    config = load_config("sample", {"tune.search": "random", "tune.trials": 60, "train.seeds": [5]})
    space = load_space(written(tmp_path, RANGES), config)
    how, points = plan(config, space)
    assert how == "random" and len(points) == 60
    for point in points:
        with_overrides(config, point)
        assert point["model.cnn.hidden"] in ([8], [16, 8])
        assert 1e-4 <= point["optim.lr"] <= 1e-2 and 0.0 <= point["model.dropout"] <= 0.5
    assert {p["model.cnn.kernel_size"] for p in points} == {1, 3, 5, 7}
    assert len({json.dumps(p) for p in points}) == 60
    below = sum(p["optim.lr"] < 1e-3 for p in points)
    assert 15 <= below <= 45, "half of a range that is uniform in the logarithm lies below its geometric mean"
    assert plan(config, space)[1] == points
    assert plan(with_overrides(config, {"train.seeds": [6]}), space)[1] != points


def test_a_space_smaller_than_the_trials_gives_each_point_once() -> None:
    space = Space("x", {"model.cnn.hidden": ((4,), (8,))}, {"model.cnn.kernel_size": Range(1, 5, step=2, whole=True)})
    found = {json.dumps(p) for p in space.draw(50, 1)}
    assert len(found) == 6


def test_whole_numbers_uniform_in_the_logarithm_come_to_both_ends() -> None:
    space = Space("x", {}, {"train.batch_size": Range(1, 4, log=True, whole=True)})
    assert sorted(p["train.batch_size"] for p in space.draw(50, 3)) == [1, 2, 3, 4]


def test_ends_that_are_whole_are_no_whole_numbers_where_the_key_is_continuous(tmp_path: Path) -> None:
    config = load_config("sample")
    space = load_space(written(tmp_path, '[range]\n"optim.weight_decay" = { low = 0, high = 1 }'), config)
    assert any(p["optim.weight_decay"] not in (0, 1) for p in space.draw(5, 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"optim.lrr" = { low = 1e-4, high = 1e-2 }', "did you mean 'optim.lr'"),
        ('"optim.lr" = { low = 0.0, high = 1e-2 }', "optim.lr = 0"),
        ('"model.dropout" = { low = 0.1, high = 1.0 }', "model.dropout = 1.0"),
        ('"model.cnn.kernel_size" = { low = 1, high = 7 }', "model.cnn.kernel_size = 2: must be odd"),
        ('"model.cnn.kernel_size" = { low = 1, high = 6, step = 2 }', "no step of 2 leads to high = 6"),
        ('"optim.lr" = { low = 1e-4, high = 1e-2, step = 2 }', "step is for whole numbers"),
        ('"optim.lr" = { low = 1e-2, high = 1e-4 }', "low = 0.01 must be below high = 0.0001"),
        ('"model.dropout" = { low = 0.0, high = 0.5, log = true }', "has no logarithm"),
        ('"optim.lr" = { low = 1e-4, high = 1e-2, logs = true }', "did you mean 'log'"),
        ('"optim.lr" = { low = "a", high = 1e-2 }', "low = 'a' must be a number"),
        ('"optim.lr" = { low = nan, high = 1e-2 }', "low = nan must be a number"),
        ('"optim.lr" = { low = 1e-4, high = 1e-2, log = 1 }', "log = 1 must be true or false"),
        ('"optim.lr" = [1e-4, 1e-2]', "must be a table with its ends"),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        load_space(written(tmp_path, f"[range]\n{text}"), load_config("sample"))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_key_in_both_tables_is_refused(tmp_path: Path) -> None:
    text = '[grid]\n"optim.lr" = [1e-3]\n[range]\n"optim.lr" = { low = 1e-4, high = 1e-2 }'
    with pytest.raises(InputError, match=r"in \[grid\] and in \[range\]"):
        load_space(written(tmp_path, text), load_config("sample"))
