"""The model card of a bundle, in the Hugging Face form: what it is, what it was trained and verified on, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelCardData

from export.gates import VerificationReport
from tablert_dist import __version__
from tablert_dist.heads import head_spec
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.temperatures import Fitted
from tablert_dist.model.checkpoint import ModelCard
from tablert_dist.scoring import LEVELS, TITLES


def model_card(card: ModelCard, report: VerificationReport, opset: int) -> str:
    """Markdown with a YAML head."""
    protocol: Mapping[str, Any] = card.notes.get("protocol", {})
    head = ModelCardData(
        library_name="tablert_dist",
        pipeline_tag="token-classification",
        tags=["relation-extraction", "named-entity-recognition", "onnx", "table-labelling"],
    )
    schema = card.schema
    spec = head_spec(card.model)
    symmetric = ", ".join(sorted(schema.symmetric)) or "none"
    return "\n".join(
        [
            "---",
            head.to_yaml(),
            "---",
            f"# {protocol.get('dataset', 'unnamed data')}: entities and relations ({spec.title})",
            "",
            f"{spec.description} ONNX, {report.precision}, opset {opset}, written by tablert_dist {__version__}.",
            "",
            f"- Entity types: {', '.join(schema.entity_types)}",
            f"- Relation types: {', '.join(schema.relation_types)} (symmetric: {symmetric})",
            f"- Longest input: {card.tokenizer.limit} subwords a window",
            "",
            "## Training",
            *_training(card, protocol),
            "",
            "## Scores",
            *_scores(card, report),
            "",
            "## Verification of the export",
            *(f"- {line}" for line in report.lines()),
            "",
            "## Calibration",
            *_calibration(card.calibration),
            "",
            "## Constraints",
            *_constraints(card.constraints),
            "",
            "## Limits",
            f"- {spec.limits(card.model)}",
            "- Relations are read inside a sentence only.",
            "",
            "## Use",
            "```python",
            "from tablert_dist import Predictor",
            "",
            'predictor = Predictor.from_pretrained("this folder or its hub id")',
            'print(predictor.predict(["Some text."])[0].triples())',
            "```",
            "",
        ]
    )


def _training(card: ModelCard, protocol: Mapping[str, Any]) -> list[str]:
    if not protocol:
        return ["Not recorded."]
    facts = {
        "data": f"{protocol['dataset']} (sha256 {protocol['data_hash'][:12]}), trained on {protocol['trained_on']}",
        "encoder": protocol["encoder"],
        "epochs": f"{card.notes.get('epoch')} of {protocol['epochs']}, {protocol['selection']}",
        "overlapping entities": protocol["overlap"],
        "seed": card.notes.get("seed"),
    }
    return [f"- {name}: {value}" for name, value in facts.items()]


def _calibration(fitted: Fitted | None) -> list[str]:
    if fitted is None:
        return ["- Probabilities are those of the network: no temperatures were fitted."]
    return [f"- {line}" for line in fitted.lines()]


def _constraints(constraints: Constraints | None) -> list[str]:
    if constraints is None:
        return ["- None on record."]
    return [
        f"- `predict.constraints=learned` keeps these rules ({constraints.note}); by default none is kept.",
        *(f"- {line}" for line in constraints.rules()),
    ]


def _scores(card: ModelCard, report: VerificationReport) -> list[str]:
    """Dev's at the epoch of these weights, and those that the verification found."""
    lines = []
    history = card.notes.get("history") or [{}]
    if "dev/ner_f1" in history[-1]:
        found = "  ".join(f"{TITLES[level]} {100 * history[-1][f'dev/{level}_f1']:.1f}" for level in LEVELS)
        lines.append(f"- dev, micro F1 in percent, while training: {found}")
    if report.f1:
        found = "  ".join(f"{TITLES[level]} {100 * report.f1['onnx'][level]:.1f}" for level in LEVELS)
        lines.append(f"- {report.verified_on}, micro F1 in percent, this graph: {found}")
    return lines or ["Not recorded."]
