"""What an export was compared on, the differences, and the gates that it missed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tablert_dist.errors import counted
from tablert_dist.scoring import LEVELS, TITLES

IDENTICAL_SHARE = 0.995
"""Of the sentences that fp16 must decode as torch does."""
LOST_F1 = 0.005
"""What int8 may lose of each F1, in 0–1."""
NOTHING = "nothing was compared"
WAYS = (
    "give sentences in which it finds some (--verify-data FILE), train longer, or accept it with --allow REASON "
    "(--set export.allow=REASON in tune and quick)"
)
"""What to do where a gate had nothing to compare."""


@dataclass
class VerificationReport:
    """What was compared; `failures` are sentences, none when the export is good.

    Differences of logits are relative to max(1, |logit|). `f1` is in 0–1, by engine and level, where annotated
    sentences were given.
    """

    tolerance: float
    precision: str = "fp32"
    max_difference: float = 0.0
    mean_difference: float = 0.0
    shapes: list[str] = field(default_factory=list)
    sentences: int = 0
    identical: int = 0
    ties: int = 0
    entities: int = 0
    relations: int = 0
    relation_types: int = 0
    """That the model knows; without any no relation can be found."""
    f1: dict[str, dict[str, float]] = field(default_factory=dict)
    gold: dict[str, int] = field(default_factory=dict)
    """Annotated items by level, where annotated sentences were given."""
    verified_on: str = ""
    fused: list[str] = field(default_factory=list)
    """Stages whose graphs have operators that only onnxruntime has."""
    left_in_fp32: list[str] = field(default_factory=list)
    """Parts of the graph that int8 lost too much in."""
    failures: list[str] = field(default_factory=list)
    allowed: dict[str, Any] = field(default_factory=dict)
    """`reason` and `failures` where somebody let a missed gate pass."""

    @property
    def identical_share(self) -> float:
        """Of the sentences, those decoded exactly as torch decodes them."""
        return self.identical / self.sentences if self.sentences else 0.0

    @property
    def differs(self) -> bool:
        """Whether a gate was missed by what was compared."""
        return any(not failure.startswith(NOTHING) for failure in self.failures)

    def close(self) -> None:
        """Judge by the gates of the precision; what else failed (shapes, names) is there already."""
        if nothing := self._nothing():
            self.failures.append(f"{NOTHING}: {nothing}; {WAYS}")
        if self.precision == "fp32":
            if not self.max_difference <= self.tolerance:
                self.failures.append(f"logits differ by {self.max_difference:.2e}, more than {self.tolerance:.0e}")
            different = self.sentences - self.identical - self.ties
            if different:
                self.failures.append(f"{different} of {self.sentences} sentences are decoded differently, not at a tie")
        elif self.precision == "fp16":
            if not self.identical_share >= IDENTICAL_SHARE:
                self.failures.append(
                    f"{100 * self.identical_share:.2f} % of {self.sentences} sentences are decoded as torch does, "
                    f"fewer than {100 * IDENTICAL_SHARE:.1f} %"
                )
        else:
            for level in LEVELS:
                lost = self.f1["torch"][level] - self.f1["onnx"][level]
                if not lost <= LOST_F1:
                    self.failures.append(f"{TITLES[level]} F1 loses {100 * lost:.2f} points, more than {100 * LOST_F1}")

    def _nothing(self) -> str | None:
        """Return what a gate would have compared and did not; None where each has something to judge by."""
        if not self.sentences:
            return "there is no sentence"
        told = f"in {counted(self.sentences, 'sentence')} the model finds"
        if not self.entities:
            return f"{told} no entity"
        if self.gold.get("ner") and not self.f1["torch"]["ner"]:
            return f"{told} none of the annotated entities (F1 0.00)"
        if self.precision == "fp16" and self.relation_types and not self.relations:
            # Of fp32 the logits of relations are compared too.
            return f"{told} no relation"
        if self.precision == "int8":
            levels = [level for level in LEVELS if level == "ner" or self.relation_types]
            empty = [TITLES[level] for level in levels if not self.f1["torch"][level]]
            if empty:
                return f"{told} nothing that is right, {' and '.join(empty)} F1 0.00"
        return None

    def allow(self, reason: str) -> None:
        """Put on record that the missed gates were let pass."""
        if self.failures:
            self.allowed = {"reason": reason, "failures": list(self.failures)}
            self.failures.clear()

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return {**asdict(self), "identical_share": self.identical_share}

    def lines(self) -> list[str]:
        """For people."""
        allowed = f" (allowed {self.tolerance:.0e})" if self.precision == "fp32" else ""
        lines = [
            f"precision: {self.precision}, verified on {self.verified_on}",
            f"logits: largest difference {self.max_difference:.1e}{allowed}, "
            f"mean {self.mean_difference:.1e}, on {len(self.shapes)} odd shapes and {self.sentences} sentences",
            f"decoding: {self.identical} of {self.sentences} sentences identical ({self.entities} entities, "
            f"{self.relations} relations), {self.ties} differ at a tie",
        ]
        for engine, scores in self.f1.items():
            lines.append(f"F1 {engine}: " + "  ".join(f"{TITLES[level]} {100 * scores[level]:.2f}" for level in LEVELS))
        if self.fused:
            lines.append("operators: fused ones of onnxruntime's own (--portable exports without them)")
        if self.left_in_fp32:
            lines.append(f"left in fp32: {', '.join(self.left_in_fp32)}")
        lines += [f"ALLOWED ({self.allowed['reason']}): {failure}" for failure in self.allowed.get("failures", [])]
        return [*lines, *(f"FAILED: {failure}" for failure in self.failures)]
