"""A checkpoint as a bundle: the graph, its verification, and everything that prediction needs."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch

from export import size
from export.answers import add_answers
from export.bundle_writer import seal
from export.card import model_card
from export.fuse import fuse
from export.gates import VerificationReport
from export.half import to_fp16
from export.quantize import steps_of, to_int8
from export.verify import verify
from tablert_dist import __version__
from tablert_dist.config import ExportConfig
from tablert_dist.errors import InputError
from tablert_dist.heads.base import LENGTHS, Stage
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.inference.bundle import MANIFEST
from tablert_dist.model import TableModel
from tablert_dist.model.checkpoint import ModelCard, load_checkpoint
from tablert_dist.schema import Sentence
from tablert_dist.storage.atomic import whole_folder, write_json, write_text
from tablert_dist.waiting import waiting

log = logging.getLogger(__name__)


class VerificationError(RuntimeError):
    """The graph does not compute what the model computes, or nothing shows that it does; `report` says where."""

    def __init__(self, report: VerificationReport) -> None:
        super().__init__("; ".join(report.failures))
        self.report = report


def export_bundle(
    checkpoint: Path,
    out: Path,
    config: ExportConfig,
    sentences: Sequence[Sequence[str]] | None = None,
    gold: Sequence[Sentence] | None = None,
    verified_on: str = "",
    code_from: str | None = None,
    force: bool = False,
) -> VerificationReport:
    """Write the bundle `out` of a checkpoint, verified against torch on odd shapes and on real sentences.

    These are `gold` (annotated: F1 is compared too), else `sentences` (lists of words), else the packaged sample's.
    `config.allow` is a reason for which missed gates pass; it goes on record. `code_from`: as `load_checkpoint`. Raises
    InputError where `out` exists (with `force`: where it is no bundle), int8 is asked for without `gold`, or a graph is
    larger than one ONNX file holds. Raises VerificationError where a gate is missed or compared nothing; then nothing is
    new in `out`.
    """
    bundle = (out / MANIFEST).is_file()
    if out.exists() and not (force and bundle):
        replaced = ", or replace the bundle there with --force" if bundle else ""
        raise InputError(f"{out} exists; give a folder that does not{replaced}")
    if config.precision == "int8" and config.portable:
        raise InputError("int8 graphs have operators of onnxruntime's own: leave --portable out, or export in fp32")
    if config.precision == "int8" and gold is None:
        raise InputError("int8 is judged by its F1: give annotated sentences with --verify-data FILE")
    with waiting(f"loading the checkpoint {checkpoint.name}"):
        model, card = load_checkpoint(checkpoint, code_from=code_from)
    words = [s.words for s in gold] if gold is not None else sentences
    words = sample_sentences(card) if words is None else words
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(out) as part:
        with tempfile.TemporaryDirectory() as scratch:
            full = {stage: Path(scratch) / f"{stage}.onnx" for stage in model.scheme.stages}
            with waiting("exporting the model to ONNX"):
                for stage, path in full.items():
                    export_graph(model, path, config.opset, stage)
            if config.precision != "int8":
                for path in full.values():
                    size.into_one_file(path)
            # int8 rewrites the products that a fused operator would hide; onnxruntime fuses the rest when it loads the graph.
            fused = {} if config.portable or config.precision == "int8" else _fused(full)
            report = _convert(model, card, full | fused, part, config, words, gold)
            report.fused = sorted(fused)
            if fused and report.differs:
                log.warning(
                    "exported without fused operators, with which it misses its gate: %s", "; ".join(report.failures)
                )
                report = _convert(model, card, full, part, config, words, gold)
        report.verified_on = verified_on or (
            "the packaged sample" if sentences is None and gold is None else "given sentences"
        )
        if config.allow:
            report.allow(config.allow)
        if report.failures:
            raise VerificationError(report)
        write_text(part / "tokenizer.json", card.tokenizer.to_json())
        write_json(part / "schema.json", card.schema.to_json())
        write_json(part / "config.json", card.config)
        write_json(part / "training.json", {k: v for k, v in card.notes.items() if k != "history"})
        write_json(part / "report.json", report.to_json())
        write_text(part / "README.md", model_card(card, report, config.opset))
        facts: dict[str, Any] = {
            "subword_limit": card.tokenizer.limit,
            "pad_id": card.pad_id,
            "opset": config.opset,
            "precision": config.precision,
            "versions": {"tablert_dist": __version__} | {p: version(p) for p in ("torch", "onnx", "onnxscript")},
        }
        if card.calibration:
            facts["calibration"] = card.calibration.to_json()
        if card.constraints:
            facts["constraints"] = card.constraints.to_json()
        seal(part, {stage: path.name for stage, path in full.items()}, facts)
    return report


def _fused(full: Mapping[str, Path]) -> dict[str, Path]:
    """The graphs beside those of `full` that onnxscript can fuse, by stage."""
    found = {stage: path.with_name(f"fused-{path.name}") for stage, path in full.items()}
    with waiting("fusing the graph's operators"):
        return {stage: path for stage, path in found.items() if fuse(full[stage], path)}


def _convert(
    model: TableModel,
    card: ModelCard,
    full: Mapping[str, Path],
    out: Path,
    config: ExportConfig,
    words: Sequence[Sequence[str]],
    gold: Sequence[Sentence] | None,
) -> VerificationReport:
    """The graphs in their precision, in the folder `out`, and their verification.

    int8 leaves out one part more until F1 is kept; where that does not help, nothing is left out.
    """
    graphs = {stage: out / f"{stage}.onnx" for stage in full}
    if config.precision != "int8":
        for stage, path in full.items():
            shutil.copyfile(path, graphs[stage]) if config.precision == "fp32" else to_fp16(path, graphs[stage])
            add_answers(graphs[stage], model.scheme.stages[stage], model.scheme.temperatures.cells)
        report = verify(model, card, graphs, config.tolerance, words, config.precision, gold)
    else:
        for leave in (*steps_of(full.values()), ()):
            try:
                for stage, path in full.items():
                    to_int8(path, graphs[stage], leave)
            except InputError:
                # With this much in fp32 it is larger than one file: no step.
                if not leave:
                    raise
                continue
            for stage in full:
                add_answers(graphs[stage], model.scheme.stages[stage], model.scheme.temperatures.cells)
            report = verify(model, card, graphs, config.tolerance, words, config.precision, gold)
            report.left_in_fp32 = list(leave)
            if not report.failures:
                break
    for path in graphs.values():
        strip_metadata(path)
    return report


def strip_metadata(path: Path) -> None:
    """Remove what the exporter notes of the source: its stack traces name folders of this machine."""
    proto = onnx.load(str(path))
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.functions):
        del part.metadata_props[:]
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.save(proto, str(path))


def export_graph(model: TableModel, path: Path, opset: int, stage: str = TABLE) -> None:
    """Trace a stage in evaluation mode with every axis of its inputs dynamic that the model does not fix."""
    spec = model.scheme.stages[stage]
    dims = {axis: torch.export.Dim(axis, min=1) for axes in spec.inputs.values() for axis in axes if axis.islower()}
    examples = example_inputs(spec, model.encoder.width)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model.eval().stage(stage),
            tuple(examples.values()),
            str(path),
            dynamo=True,
            opset_version=opset,
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            # What takes any number of inputs has them traced as one tuple.
            dynamic_shapes=_shapes(spec, dims, stage),
            # Above the limit into a file beside it: int8 makes one file of both.
            external_data=sum(p.nbytes for p in model.parameters()) > size.LIMIT,
            verbose=False,
        )


def _shapes(spec: Stage, dims: Mapping[str, Any], stage: str) -> tuple[Any, ...]:
    shapes = tuple({i: dims[axis] for i, axis in enumerate(axes) if axis in dims} for axes in spec.inputs.values())
    return shapes if stage == TABLE else (shapes,)


def example_inputs(spec: Stage, width: int) -> dict[str, torch.Tensor]:
    """Inputs of a stage to trace it with.

    No two axes alike and none of them 1: the tracer would take equal sizes for the same axis, and 1 for a constant.
    """
    axes = [axis for names in spec.inputs.values() for axis in names if axis.islower()]
    sizes = {axis: 2 + 3 * i for i, axis in enumerate(dict.fromkeys(axes))} | LENGTHS | {"H": width}
    examples = {}
    for name, names in spec.inputs.items():
        shape = [sizes[axis] for axis in names]
        examples[name] = torch.randn(shape) if name in spec.floats else torch.ones(shape, dtype=torch.int64)
    if "word_subwords" in examples:
        # A word of two subwords, and padding.
        examples["word_subwords"][:, :, 1:] = -1
        examples["word_subwords"][0, 0, 1] = 2
        examples["word_subwords"][1, -1] = -1
    return examples


def sample_sentences(card: ModelCard) -> list[list[str]]:
    """The packaged sample's dev and test as words: real sentences for a model whose data is not available.

    Those over the encoder's limit are left out; the report counts what was compared.
    """
    from tablert_dist.config import DataConfig
    from tablert_dist.data import load_corpus

    corpus = load_corpus(DataConfig(path="package:tablert_dist/sample"))
    words = [list(s.words) for split in ("dev", "test") for s in corpus.splits[split]]
    return [w for w in words if not card.tokenizer.overflows(w)]
