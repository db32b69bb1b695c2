"""Who may import whom (DESIGN): read from the source, and from what importing really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the bottom up: a module imports from the lines above it and from its own line.
LAYERS = [
    {"tablert_dist.errors", "tablert_dist.storage"},
    {"tablert_dist.config", "tablert_dist.schema"},
    {"tune_spaces"},
    {
        "tablert_dist.tags",
        "tablert_dist.text",
        "tablert_dist.batching",
        "tablert_dist.gpu_cells",
        "tablert_dist.tokenization",
        "tablert_dist.scoring",
        "tablert_dist.cpu",
        "tablert_dist.gpu",
    },
    {"tablert_dist.heads"},
    {"tablert_dist.extraction"},
    {"tablert_dist.data"},
    {"tablert_dist.predictor", "tablert_dist.tracking"},
    {"tablert_dist.render", "tablert_dist.lines", "tablert_dist.data.doctor"},
    {"tablert_dist.report"},
    {"tablert_dist.readings"},
    {"tablert_dist.model", "tablert_dist.features", "tablert_dist.averaging"},
    {"tablert_dist.parallel"},
    {"tablert_dist.step"},
    {"tablert_dist.trainer"},
    {"tablert_dist.loop"},
    {"tablert_dist.stages"},
    {
        "export.bundle",
        "export.runtime",
        "export.hub",
        "export.triton",
        "export.report",
        "export.card",
        "export.quantize",
        "export.verify",
        "export.graph",
    },
    {"tablert_dist.cluster"},
    {"tablert_dist.train"},
    {"export.pyfunc", "export.pyfunc_model", "export.serve", "export.batch"},
    {"tablert_dist.tune"},
    {"tablert_dist.study"},
    {"tablert_dist.cli", "export.cli", "tablert_dist.train.__main__", "tablert_dist.tune.__main__"},
]
EXCEPTIONS = {
    # Predictor.load finds out which engine a folder is for.
    ("tablert_dist.predictor", "export.runtime"),
    ("tablert_dist.predictor", "tablert_dist.model"),
    ("tablert_dist.predictor", "export.hub"),
}
HEAVY = {
    "ray": {"tablert_dist.cluster", "tablert_dist.train", "tablert_dist.tune", "export.serve", "export.batch"},
    "mlflow": {"tablert_dist.tracking", "export.pyfunc", "export.pyfunc_model"},
    "transformers": {"tablert_dist.model", "tablert_dist.cpu"},
    "onnxruntime": {"export.runtime", "export.quantize"},
    "torch": {
        "tablert_dist.model", "tablert_dist.heads", "tablert_dist.features", "tablert_dist.cpu", "tablert_dist.gpu",
        "tablert_dist.step", "tablert_dist.loop", "tablert_dist.stages", "tablert_dist.parallel", "tablert_dist.train",
        "tablert_dist.averaging", "export.graph", "tablert_dist.readings", "tablert_dist.trainer",
    },
}  # fmt: skip


def sources() -> dict[str, Path]:
    found = {}
    for package in ("tablert_dist", "export", "tune_spaces"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
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


def room(name: str, layered: bool = True) -> str | None:
    """The layered module that a dotted name belongs to."""
    rooms = {r for layer in LAYERS for r in layer}
    return max((r for r in rooms if name == r or name.startswith(r + ".")), key=len, default=None)


def level(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("module", sorted(sources()))
def test_modules_import_downwards_only(module: str) -> None:
    mine = room(module)
    if mine is None:
        assert module in {"tablert_dist", "tablert_dist.config.presets", "export"} or module.startswith(
            "tablert_dist.sample"
        ), f"{module} has no layer: add it to LAYERS"
        return
    for name in imports(sources()[module]):
        theirs = room(name)
        if theirs and theirs != mine and (mine, theirs) not in EXCEPTIONS:
            assert level(theirs) <= level(mine), f"{module} imports {name} from above"
        heavy = HEAVY.get(name.split(".")[0])
        if heavy is not None:
            assert mine in heavy, f"{module} may not import {name}"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import tablert_dist", {"torch", "ray", "transformers", "mlflow", "onnxruntime", "numpy", "pydantic"}),
        ("import tablert_dist.cli", {"torch", "ray", "transformers", "mlflow", "onnxruntime", "numpy", "pydantic"}),
        (
            "import tablert_dist.scoring, tablert_dist.tokenization, tablert_dist.heads.table_decoding",
            {"torch", "ray", "transformers"},
        ),
        ("import tablert_dist.predictor, export.runtime", {"torch", "ray", "transformers", "mlflow"}),
        ("import export.serve.local, export.serve.on_ray", {"torch", "ray", "transformers", "mlflow"}),
        ("import tablert_dist.data.doctor, tablert_dist.data.doctor.page", {"torch", "ray", "transformers", "mlflow"}),
        ("import tablert_dist.tracking", {"torch", "ray", "mlflow"}),
        ("import tablert_dist.loop, tablert_dist.model.checkpoint, export.graph", {"ray", "mlflow"}),
        ("import tablert_dist.train.worker, tablert_dist.train.fit, bench.gpu", {"ray", "mlflow"}),
    ],
)
def test_importing_loads_only_what_it_must(statement: str, forbidden: set[str]) -> None:
    code = f"{statement}; import sys; print(*sorted({forbidden!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
