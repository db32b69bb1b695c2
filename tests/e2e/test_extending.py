"""A stranger adds one of each to a copy of the sources: a head, a format, a score level, a scheduler, an option.

Each edit is what CONTRIBUTING.md says, file by file; leaving one of the files out has to fail with a sentence.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.tiny import tiny_records, write_corpus

HEAD_SCHEME = '''"""Echo: TablERT-CNN's scheme under another name."""

from tablert_dist.heads.cnn.scheme import TableScheme


class EchoScheme(TableScheme):
    """As its parent."""
'''
HEAD_MODULE = '''"""Echo: TablERT-CNN's layers, as wide as its own option says."""

from tablert_dist.heads.cnn.module import TableHead


class EchoHead(TableHead):
    """As its parent."""

    @classmethod
    def from_config(cls, config, width, tags, scheme):
        return cls(width, len(tags.entity_tags), len(tags.relation_tags), [config.echo.channels], scheme=scheme)
'''
HEAD_SPEC = """        HeadSpec(
            "echo",
            "Echo",
            "Repeats TablERT-CNN.",
            "a table",
            _table_limits,
            "#444444",
            lambda config, beam: EchoScheme(),
            "tablert_dist.heads.echo.module:EchoHead",
        ),
    )
}
"""
FORMAT = '''"""One sentence a line, its words apart by spaces; without labels."""

from tablert_dist.schema import Sentence


def iterate(path, notes):
    """A sentence for each line."""
    for line in path.read_text("utf-8").splitlines():
        yield Sentence(tuple(line.split()))


def write(sentences, path, written, schema):
    """A line for each sentence."""
    with path.open("w", encoding="utf-8") as file:
        for sentence in sentences:
            file.write(" ".join(sentence.words) + "\\n")
            written.add(Sentence(sentence.words))
            written.lose("entities", "words only", len(sentence.entities))
'''
LEVEL = """    Level(
        "starts",
        "starts",
        lambda schema: schema.entity_types,
        lambda sentence, schema: {(e.type, e.start) for e in sentence.entities},
    ),
)
LEVELS ="""
SCHEDULER = """    "fifo": SchedulerSpec("FIFOScheduler", lambda epochs, tune: {}),
}
STAYS ="""


class Copy:
    """The packages in a folder of their own, edited and run there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in ("tablert_dist", "export", "tune_spaces"):
            shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")

    def edit(self, path: str, before: str, after: str) -> None:
        text = (self.folder / path).read_text("utf-8")
        assert text.count(before) == 1, f"{path}: {before!r}"
        self.write(path, text.replace(before, after))

    def run(self, *words: str, module: str = "tablert_dist.cli") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip

    def told(self, *words: str, module: str = "tablert_dist.cli") -> str:
        done = self.run(*words, module=module)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
        return done.stderr

    def head_files(self) -> None:
        self.write("tablert_dist/heads/echo/__init__.py", '"""Echo."""\n')
        self.write("tablert_dist/heads/echo/scheme.py", HEAD_SCHEME)
        self.write("tablert_dist/heads/echo/module.py", HEAD_MODULE)

    def head_config(self) -> None:
        path = "tablert_dist/config/heads.py"
        self.edit(path, 'Literal["cnn", "tablert", "spert"]', 'Literal["cnn", "tablert", "spert", "echo"]')
        section = 'class EchoConfig(Section):\n    """Echo."""\n\n    channels: PositiveInt = 8\n\n\nMOVED:'
        self.edit(path, "MOVED:", section)
        self.edit(
            path,
            "    spert: SpertConfig = SpertConfig()\n",
            "    spert: SpertConfig = SpertConfig()\n    echo: EchoConfig = EchoConfig()\n",
        )

    def head_spec(self) -> None:
        path = "tablert_dist/heads/registry.py"
        self.edit(path, "    )\n}\n", HEAD_SPEC)
        self.edit(path, "\n\n@dataclass", "\nfrom tablert_dist.heads.echo.scheme import EchoScheme\n\n\n@dataclass")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = tiny_records(12)
    return write_corpus(
        tmp_path_factory.mktemp("corpus") / "tiny", {"train": records, "dev": records[:4], "test": records[4:8]}
    )


def settings(tiny_encoder: str, **more: str) -> list[str]:
    values = {
        "model.encoder": tiny_encoder,
        "train.epochs": "1",
        "cluster.num_workers": "0",
        "tracking.enabled": "false",
        **more,
    }
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.slow
def test_a_head_is_two_files_and_its_own(copy: Copy, data: Path, tiny_encoder: str) -> None:
    """Beside its scheme and its module: `config/heads.py` and `heads/registry.py`."""
    words = ["train", "--data", str(data), "--name", "r", *settings(tiny_encoder), "--set", "model.head=echo"]
    copy.head_files()
    assert "model.head = 'echo'" in copy.refused(*words), "without its section"
    copy.head_config()
    assert "no such head is declared in tablert_dist/heads/registry.py" in copy.refused(*words), "without its entry"
    copy.head_spec()
    copy.told(*words, "--set", "model.echo.channels=6")
    checkpoint = next((copy.folder / "runs" / "r" / "seed-1").glob("epoch_*"))
    assert json.loads((checkpoint / "checkpoint.json").read_text())["config"]["model"]["echo"] == {"channels": 6}
    copy.told("--onnx", "--checkpoint", str(checkpoint), "--out", "bundle", module="export.cli")
    done = copy.told("predict", "--model", "bundle", "--in", str(_text(copy.folder)))
    assert json.loads(done.splitlines()[0])["text"]


def _text(folder: Path) -> Path:
    (folder / "in.txt").write_text("ada works in oslo\n", "utf-8")
    return folder / "in.txt"


def test_a_format_is_its_own_file_and_one_entry(copy: Copy, data: Path) -> None:
    words = ["data", "convert", str(data / "tiny_train.json"), "out.words"]
    copy.write("tablert_dist/data/formats/plain.py", FORMAT)
    assert "its ending does not say which format" in copy.refused(*words), "without its entry"
    path = "tablert_dist/data/formats/registry.py"
    copy.edit(path, "    labelstudio_write,\n", "    labelstudio_write,\n    plain,\n")
    copy.edit(path, "\n}\nNAMES", '\n    "words": Format(plain.iterate, plain.write, endings=(".words",)),\n}\nNAMES')
    copy.told(*words)
    assert (copy.folder / "out.words").read_text().count("\n") == 12
    assert "back.json: 12 sentences" in copy.told("data", "convert", "out.words", "back.json"), "known by its ending"


def test_a_level_an_option_and_a_scheduler(copy: Copy, data: Path, tiny_encoder: str) -> None:
    """A level is one file, a scheduler one, an option two: its place in the configuration, and what reads it."""
    copy.edit("tablert_dist/scoring.py", ")\nLEVELS =", LEVEL)
    copy.edit("tablert_dist/config/schedulers.py", "}\nSTAYS =", SCHEDULER)
    words = ["train", "--data", str(data), "--name", "r", *settings(tiny_encoder, **{"model.cnn.hidden": "[8]"})]
    assert "there is no configuration key 'optim.beta'" in copy.refused(*words, "--set", "optim.beta=0.5")
    copy.edit(
        "tablert_dist/config/tree.py",
        "    weight_decay: Annotated",
        '    beta: Probability = 0.9\n    """AdamW\'s first decay."""\n    weight_decay: Annotated',
    )
    copy.edit("tablert_dist/train/trainer.py", "fused=", "betas=(config.beta, 0.999), fused=")
    told = copy.told(*words, "--set", "optim.beta=0.5", "--set", "tune.scheduler=fifo")
    assert "starts" in next(line for line in told.splitlines() if line.startswith("test:"))
    trainer = (copy.folder / "runs" / "r").glob("seed-1/errors-test.html")
    assert "starts" in next(trainer).read_text("utf-8")
    assert "use none, asha, median or fifo" in copy.refused(*words, "--set", "tune.scheduler=new")
