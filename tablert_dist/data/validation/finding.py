"""What validation looks at and what it says: a case, its parts, and findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tablert_dist.config import ModelConfig
from tablert_dist.data.formats.notes import Notes
from tablert_dist.heads import HeadSpec, head_spec, make_scheme
from tablert_dist.heads.base import Scheme
from tablert_dist.schema import Schema, Sentence
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One fact that somebody should know.

    `check` is its stable name, `count` how often it holds, `record` the index of the example in `file`, counted from
    0, None where it is no single record.
    """

    check: str
    severity: Severity
    file: str
    count: int
    says: str
    advice: str
    example: str = ""
    record: int | None = None

    def line(self) -> str:
        """The finding as one sentence of plain text."""
        at = f" (record {self.record}: {self.example})" if self.record is not None else ""
        return f"{self.file}: {self.says}{at}"

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


@dataclass(frozen=True)
class SplitPart:
    """One split: its name (`train`, `dev`, `test`), its file's name, and its sentences in the order of the file."""

    split: str
    file: str
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Case:
    """A corpus before any overlap policy. `overlap` and `on_overflow` say what training would do (DataConfig)."""

    name: str
    schema: Schema
    parts: tuple[SplitPart, ...]
    overlap: str = "error"
    on_overflow: str = "error"
    tokenizer: SubwordTokenizer | None = None
    model: ModelConfig = field(default_factory=ModelConfig)
    """Whose head the labels are for."""
    types_file: bool = True
    """Whether the schema is from a types file; otherwise it is what train has."""
    seen: Notes = field(default_factory=Notes, compare=False)
    """What was left out or changed in reading."""

    @property
    def tags(self) -> TagSet:
        """The schema's."""
        return TagSet(self.schema)

    @property
    def head(self) -> HeadSpec:
        """Of the model."""
        return head_spec(self.model)

    @property
    def scheme(self) -> Scheme:
        """Of the model's head."""
        return make_scheme(self.model)

    @property
    def train(self) -> SplitPart | None:
        """The split that is trained on."""
        return next((part for part in self.parts if part.split == "train"), None)


@dataclass(frozen=True)
class DataReport:
    """The findings, errors first, and the numbers behind them (`summary.summarise`)."""

    name: str
    findings: tuple[Finding, ...]
    summary: Mapping[str, Any]

    @property
    def worst(self) -> Severity | None:
        """The highest severity found."""
        return self.findings[0].severity if self.findings else None

    def tally(self) -> dict[Severity, int]:
        """Findings by severity."""
        return {severity: sum(f.severity == severity for f in self.findings) for severity in SEVERITIES}

    def to_json(self) -> dict[str, Any]:
        """For machines; the keys are stable."""
        found = [finding.to_json() for finding in self.findings]
        return {"corpus": self.name, "tally": self.tally(), "findings": found, "summary": dict(self.summary)}


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; otherwise as they came."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def records(case: Case) -> Iterator[tuple[SplitPart, int, Sentence]]:
    """Every sentence with its part and its index there."""
    for part in case.parts:
        for index, sentence in enumerate(part.sentences):
            yield part, index, sentence


def short(words: Iterable[str], most: int = 60) -> str:
    """The words as a quotation that is not longer than `most` characters."""
    text = " ".join(words)
    return f"'{text}'" if len(text) <= most else f"'{text[: most - 2]} …'"
