"""One line in, one line out, whichever way a file is read: by itself, from standard input, in parts on a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tablert_dist.cli import main
from tablert_dist.config import PredictConfig, load_config
from tablert_dist.errors import InputError
from tablert_dist.inference import ray_data, ray_stages
from tablert_dist.inference.constraining import from_anywhere
from tablert_dist.inference.predictor import Predictor
from tests.support import GOLDEN

BUNDLE = GOLDEN / "bundle" / "cnn-fp32"
LINES = [
    *(b"Ada works at Acme .", b"Bo near\rOslo", b"\r", b"", b"a\x0bb\x0cc\x1cd\xc2\x85e\xe2\x80\xa8f", "déjà vu".encode()),
    *(b"Ada\r\r near Oslo\r", b'{"text": "Ada near Oslo"}', b'{"words": ["Ada",\r"near", "Oslo"]}', b"the last, with no end"),
]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Every kind of line; one of them ends as on Windows."""
    path = tmp_path / "in.txt"
    path.write_bytes(b"\n".join(LINES).replace(b"Acme .\n", b"Acme .\r\n"))
    return path


COLUMNS = ("offset", "first", "count")
BAD = {
    b"caf\xe9 near Oslo": "not UTF-8: the byte 0xe9 after 3 characters",
    b'{"text": "caf\xe9"}': "not UTF-8: the byte 0xe9 after 13 characters",
    b'{"text": "a \\ud800 b"}': r"expected a text, found half of a surrogate pair (\ud800) after 2 characters",
    b'{"words": ["a", "\\udc00"]}': r"expected a text, found half of a surrogate pair (\udc00) after 2 characters",
    b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}": "not JSON that can be read: it is nested too deeply",
    b'{"text": "a", "n": ' + b"9" * 5000 + b"}": "not JSON that can be read: a number has thousands of digits",
    b'{"text": {"a": 1}}': "expected an object with 'text' (a string)",
    b'{"text": null}': "expected an object with 'text' (a string)",
    b'{"words": ["a", 3]}': "expected an object with 'text' (a string)",
    b'{"text": "a"': "not JSON: Expecting",
}


def texts(output: str) -> list[str]:
    return [json.loads(line)["text"] for line in output.split("\n") if line]


def test_every_way_of_reading_gives_a_result_for_each_line(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = CliRunner().invoke(main, ["predict", "--model", str(BUNDLE), "--in", str(source)])
    from_stdin = CliRunner().invoke(main, ["predict", "--model", str(BUNDLE)], input=source.read_bytes())
    monkeypatch.setattr(ray_data, "BATCH", 3)  # so that a part begins in the middle of the file
    parts = list(ray_data._parts(source))
    columns = {key: np.asarray([part[key] for part in parts]) for key in ("offset", "first", "count")}
    settings = PredictConfig().model_dump(mode="json")
    on_a_cluster = ray_stages.Reader(str(BUNDLE), str(source), settings)(columns)
    cut = ray_stages.Cutter(str(BUNDLE), str(source), settings)(columns)
    in_stages = ray_stages.put_together(ray_stages.PieceReader(str(BUNDLE), settings)(cut))
    found = texts(from_file.stdout)
    assert len(found) == len(LINES) and len(parts) == 4
    assert found[:2] == ["Ada works at Acme .", "Bo near\rOslo"] and found[-1] == "the last, with no end"
    assert texts(from_stdin.stdout) == found == texts("\n".join(on_a_cluster["json"]))
    assert in_stages["json"] == on_a_cluster["json"]


def test_every_way_of_reading_keeps_the_rules_also_over_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster windows are put together by a process that has no model, and workers start in another folder."""
    long = "Ada works at Acme near Oslo near Oslo , " * 9
    (tmp_path / "in.txt").write_text(f"{long}\nAda works at Acme near Oslo .\n")
    (tmp_path / "rules.json").write_text(
        '{"relations": {"near": {"functional": true}, "works": {"allowed": [{"head": "Org", "tail": "Per"}]}}}'
    )
    monkeypatch.chdir(tmp_path)
    config = PredictConfig(constraints="rules.json")
    settings = ray_data._settings(load_config(None, {"predict.constraints": "rules.json"}))
    assert settings["constraints"] == str(tmp_path / "rules.json")
    assert from_anywhere(PredictConfig()) == PredictConfig()
    with pytest.raises(InputError, match=r"the types file 'x\.json' does not exist"):
        from_anywhere(PredictConfig(constraints="x.json"))
    predictor, plain = Predictor.load(BUNDLE, config), Predictor.load(BUNDLE)
    expected = [found.to_json() for found in predictor.predict([long, "Ada works at Acme near Oslo ."])]
    free = plain.predict([long, "Ada works at Acme near Oslo ."])
    assert expected[0]["windows"] > 1 and expected[0]["relations"] and predictor.scheme.rules is not None
    broken = predictor.scheme.rules.broken([found.sentence for found in free])
    assert broken.functional and broken.types
    assert predictor.scheme.rules.broken([predictor.predict(long).sentence]).triples == 0
    done = CliRunner().invoke(
        main, ["predict", "--model", str(BUNDLE), "--in", "in.txt", "--set", "predict.constraints=rules.json"]
    )
    columns = {key: np.asarray([part[key] for part in ray_data._parts(Path("in.txt"))]) for key in COLUMNS}
    cut = ray_stages.Cutter(str(BUNDLE), "in.txt", settings)(columns)
    whole = ray_stages.Reader(str(BUNDLE), "in.txt", settings)(columns)
    in_stages = ray_stages.put_together(ray_stages.PieceReader(str(BUNDLE), settings)(cut))
    for lines in (done.stdout.splitlines(), whole["json"], in_stages["json"]):
        assert [json.loads(line)["relations"] for line in lines] == [one["relations"] for one in expected]


def test_a_bad_line_is_one_error_and_the_rest_is_read(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(b"\n".join(line for bad in BAD for line in (bad, b"Ada works at Acme .")))
    done = CliRunner().invoke(main, ["predict", "--model", str(BUNDLE), "--in", str(source)])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 0
    assert [one["line"] for one in found[::2]] == list(range(1, 2 * len(BAD), 2))
    for one, said in zip(found[::2], BAD.values(), strict=True):
        assert one.keys() == {"line", "error"} and one["error"].startswith(said), one
    assert all(one["text"] == "Ada works at Acme ." and one["entities"] == found[1]["entities"] for one in found[1::2])
    settings = PredictConfig().model_dump(mode="json")
    columns = {key: np.asarray([part[key] for part in ray_data._parts(source)]) for key in ("offset", "first", "count")}
    on_a_cluster = ray_stages.Reader(str(BUNDLE), str(source), settings)(columns)
    assert [json.loads(line) for line in on_a_cluster["json"]] == found


@pytest.mark.parametrize("text", ["a \ud800 b", "\udfff", 3, None, {"text": "a"}])
def test_what_is_no_text_is_refused(text: object) -> None:
    predictor = Predictor.load(BUNDLE)
    with pytest.raises(InputError, match="expected a text, found"):
        predictor.predict([text])  # type: ignore[list-item]
