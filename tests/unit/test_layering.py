"""Who may import whom (DESIGN): read from the source, and from what importing really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

# From the ground up: a room imports from the lines below it and, without cycles, from its own.
LAYERS = [
    {"errors", "waiting", "schema", "config", "storage", "tracking"},
    {"tags", "tokenization", "text", "scoring", "batching", "cluster", "cpu", "gpu"},
    {"heads", "model", "pages.drawing"},
    {"data", "inference", "runs"},
    {"analysis", "pages", "serve", "train"},
    {"tune"},
    {"study"},
    {"export"},
    {"cli", "train.__main__", "tune.__main__", "export.cli"},
]
# The libraries that are slow to import or not always installed, and the modules that may name them, as patterns.
HEAVY = {
    "ray": ["cluster.*", "train.*", "tune.*", "inference.ray_data", "serve.ray_app"],
    "mlflow": ["tracking.*", "export.pyfunc", "export.pyfunc_model"],
    "transformers": ["model.check", "model.encoder", "model.probe", "cpu.packing", "gpu.mask"],
    "onnxruntime": ["inference.onnx_engine", "export.half"],
    "onnx": ["export.*"],
    "torch": [
        *(
            "cpu.*",
            "gpu.*",
            "heads.*.module",
            "heads.cnn.*_conv",
            "heads.bilinear",
            "heads.spans",
            "heads.head",
            "heads.table_loss",
        ),
        *("model.*", "inference.torch_engine", "inference.loading", "train.*", "export.graph"),
    ],
}


def short(name: str) -> str:
    """The name without `tablert_dist.`"""
    return name.removeprefix("tablert_dist.")


@cache
def sources() -> dict[str, Path]:
    found = {}
    for package in ("tablert_dist", "export", "tune_spaces"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(path: Path) -> set[str]:
    """Every name that a file imports, anywhere in it, but for types alone."""
    names: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room(name: str) -> str | None:
    """The room of a dotted name: the longest of LAYERS that it lies in."""
    rooms = {r for layer in LAYERS for r in layer}
    return max((r for r in rooms if short(name) == r or short(name).startswith(r + ".")), key=len, default=None)


def level(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


def file_of(name: str) -> str | None:
    """The module of ours that a dotted name lies in."""
    while name and name not in sources():
        name = name.rpartition(".")[0]
    return name or None


@pytest.mark.parametrize("module", sorted(sources()))
def test_modules_import_downwards_only(module: str) -> None:
    mine = room(module)
    if mine is None:
        assert module in {"tablert_dist", "tune_spaces"}, f"{module} has no layer: add it to LAYERS"
        return
    for name in imports(sources()[module]):
        theirs = room(name)
        if theirs and theirs != mine:
            assert level(theirs) <= level(mine), f"{module} imports {name} from above"
        patterns = HEAVY.get(name.split(".")[0])
        if patterns is not None:
            assert any(fnmatch(short(module), pattern) for pattern in patterns), f"{module} may not import {name}"


@pytest.mark.parametrize("way", ["cpu", "gpu"])
def test_what_is_behind_a_door_is_reached_through_it(way: str) -> None:
    inside = f"tablert_dist.{way}"
    for module, path in sources().items():
        if module != inside and not module.startswith(f"{inside}."):
            past = {n for n in imports(path) if n.startswith(f"{inside}.") and file_of(n) != inside}
            assert not past, f"{module} imports {past}: import it from {inside}"


def graph(of: Callable[[str], str | None]) -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for module, path in sources().items():
        mine = of(module)
        if mine is not None:
            edges.setdefault(mine, set()).update(
                {theirs for n in imports(path) if (theirs := of(n)) and theirs != mine}
            )
    return edges


@pytest.mark.parametrize("of", [room, file_of], ids=["rooms", "files"])
def test_no_cycle(of: Callable[[str], str | None]) -> None:
    tuple(TopologicalSorter(graph(of)).static_order())


def test_few_things_lie_on_the_ground_floor() -> None:
    entries = [p for p in (ROOT / "tablert_dist").iterdir() if p.name != "__pycache__"]
    assert len(entries) <= 28


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import tablert_dist", {"torch", "ray", "transformers", "mlflow", "onnxruntime", "numpy", "pydantic"}),
        ("import tablert_dist.cli", {"torch", "ray", "transformers", "mlflow", "onnxruntime", "numpy", "pydantic"}),
        (
            "import tablert_dist.scoring, tablert_dist.tokenization, tablert_dist.heads.table_decoding",
            {"torch", "ray", "transformers"},
        ),
        (
            "import tablert_dist.inference.predictor, tablert_dist.inference.onnx_engine",
            {"torch", "ray", "transformers", "mlflow"},
        ),
        ("import tablert_dist.serve.local, tablert_dist.serve.ray_app", {"torch", "ray", "transformers", "mlflow"}),
        (
            "import tablert_dist.data.validation, tablert_dist.pages.data_check.page",
            {"torch", "ray", "transformers", "mlflow"},
        ),
        (
            "import tablert_dist; tablert_dist.Client, tablert_dist.AsyncClient",
            {"torch", "ray", "transformers", "mlflow", "onnxruntime", "fastapi", "starlette", "uvicorn"},
        ),
        ("import tablert_dist.inference.named", {"torch", "ray", "transformers", "mlflow", "pyarrow", "onnxruntime"}),
        ("import tablert_dist.cli.complete, tablert_dist.config.describe", {"torch", "ray", "mlflow", "numpy"}),
        ("import tablert_dist.tracking", {"torch", "ray", "mlflow"}),
        ("import tablert_dist.train.loop, tablert_dist.model.checkpoint, export.graph", {"ray", "mlflow"}),
        ("import tablert_dist.train.worker, tablert_dist.train.fit, bench.gpu", {"ray", "mlflow"}),
    ],
)
def test_importing_loads_only_what_it_must(statement: str, forbidden: set[str]) -> None:
    code = f"{statement}; import sys; print(*sorted({forbidden!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
