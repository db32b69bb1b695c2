"""The gates of an export: what each precision is judged by, and what is said where there was nothing to judge by."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest

from export.gates import VerificationReport

WAYS = (
    "give sentences in which it finds some (--verify-data FILE), train longer, or accept it with --allow REASON "
    "(--set export.allow=REASON in tune and quick)"
)


def report(precision: str = "fp32", **values: Any) -> VerificationReport:
    """A report in which everything is as it should be, but for `values`."""
    good = {"sentences": 1000, "identical": 1000, "entities": 5, "relations": 3, "relation_types": 2}
    f1 = {engine: {"ner": 0.8, "re": 0.6, "re_plus": 0.5} for engine in ("torch", "onnx")}
    return VerificationReport(1e-4, precision, **{**good, "f1": f1, "gold": {"ner": 9}, **values})


def failures(precision: str = "fp32", **values: Any) -> list[str]:
    found = report(precision, **values)
    found.close()
    return found.failures


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_good_export_misses_no_gate(precision: str) -> None:
    found = report(precision)
    found.close()
    assert found.failures == [] and not found.differs


def test_fp32_is_judged_by_its_logits_and_its_sentences_but_for_ties() -> None:
    assert failures(max_difference=1e-4) == []
    assert failures(max_difference=2e-4) == ["logits differ by 2.00e-04, more than 1e-04"]
    assert failures(max_difference=math.nan) == ["logits differ by nan, more than 1e-04"]
    assert failures(identical=997, ties=3) == []
    assert failures(identical=997, ties=1) == ["2 of 1000 sentences are decoded differently, not at a tie"]
    assert failures(f1={"torch": {"ner": 0.9}, "onnx": {"ner": 0.1}}) == [], "F1 is int8's gate"


def test_fp16_is_judged_by_the_share_of_sentences() -> None:
    assert failures("fp16", identical=995, max_difference=9.0) == []
    assert failures("fp16", identical=994) == ["99.40 % of 1000 sentences are decoded as torch does, fewer than 99.5 %"]


@pytest.mark.parametrize(("level", "title"), [("ner", "NER"), ("re", "RE"), ("re_plus", "RE+")])
def test_int8_is_judged_by_each_f1(level: str, title: str) -> None:
    def onnx(value: float) -> dict[str, Any]:
        torch = {"ner": 0.8, "re": 0.8, "re_plus": 0.8}
        return {"f1": {"torch": torch, "onnx": {**torch, level: value}}}

    assert failures("int8", **onnx(0.7951), identical=0, max_difference=9.0) == []
    assert failures("int8", **onnx(0.78)) == [f"{title} F1 loses 2.00 points, more than 0.5"]
    assert failures("int8", **onnx(0.9)) == []
    assert failures("int8", **onnx(math.nan)) == [f"{title} F1 loses nan points, more than 0.5"]


ZERO = {"ner": 0.0, "re": 0.0, "re_plus": 0.0}


@pytest.mark.parametrize(
    ("precision", "values", "said"),
    [
        ("fp32", {"sentences": 0, "identical": 0}, "there is no sentence"),
        ("fp32", {"entities": 0}, "in 1000 sentences the model finds no entity"),
        (
            "fp32",
            {"f1": {"torch": ZERO, "onnx": ZERO}},
            "in 1000 sentences the model finds none of the annotated entities (F1 0.00)",
        ),
        ("fp16", {"relations": 0}, "in 1000 sentences the model finds no relation"),
        (
            "int8",
            {"f1": {"torch": {**ZERO, "ner": 0.5}, "onnx": {**ZERO, "ner": 0.5}}},
            "in 1000 sentences the model finds nothing that is right, RE and RE+ F1 0.00",
        ),
        (
            "int8",
            {"gold": {}, "relation_types": 0, "f1": {"torch": ZERO, "onnx": ZERO}},
            "in 1000 sentences the model finds nothing that is right, NER F1 0.00",
        ),
    ],
)
def test_a_gate_that_had_nothing_to_compare_is_missed(precision: str, values: dict[str, Any], said: str) -> None:
    found = report(precision, **values)
    found.close()
    # Of fp16 no sentence is no share of them either.
    assert found.failures[0] == f"nothing was compared: {said}; {WAYS}"
    assert len(found.failures) == 1 and not found.differs, "nothing differs: there was nothing"


def test_what_is_not_annotated_and_what_cannot_be_found_is_no_miss() -> None:
    assert failures("fp32", relations=0) == [], "of fp32 the logits of relations are compared"
    assert failures("fp16", relations=0, relation_types=0) == []
    assert failures("fp32", gold={}, f1={}) == [] == failures("fp16", gold={}, f1={})
    zero = {**ZERO, "ner": 0.5}
    assert failures("int8", relation_types=0, f1={"torch": zero, "onnx": zero}) == []
    assert "in 1 sentence the model" in failures(sentences=1, identical=1, entities=0)[0]


def test_a_report_differs_where_something_was_compared_and_missed() -> None:
    found = report(max_difference=1.0, entities=0)
    found.close()
    assert len(found.failures) == 2 and found.differs


def test_gates_that_are_allowed_are_on_record_and_no_failures() -> None:
    found = report(max_difference=1.0)
    found.close()
    said = list(found.failures)
    found.allow("for the demonstration")
    assert found.failures == [] and found.allowed == {"reason": "for the demonstration", "failures": said}
    good = report()
    good.allow("nobody needs it")
    assert good.allowed == {}
    assert found.lines()[-1] == f"ALLOWED (for the demonstration): {said[0]}"


def test_the_share_of_identical_sentences_is_in_the_json() -> None:
    found = report(identical=250)
    assert found.to_json() == {**asdict(found), "identical_share": 0.25}
    assert VerificationReport(1e-4).identical_share == 0.0


def test_a_report_for_people() -> None:
    values = {
        "max_difference": 1.26e-5,
        "mean_difference": 2.3e-6,
        "shapes": ["1 words", "2 words"],
        "identical": 998,
        "ties": 2,
    }
    found = report(**values, verified_on="cpu")
    lines = [
        "precision: fp32, verified on cpu",
        "logits: largest difference 1.3e-05 (allowed 1e-04), mean 2.3e-06, on 2 odd shapes and 1000 sentences",
        "decoding: 998 of 1000 sentences identical (5 entities, 3 relations), 2 differ at a tie",
        "F1 torch: NER 80.00  RE 60.00  RE+ 50.00",
        "F1 onnx: NER 80.00  RE 60.00  RE+ 50.00",
    ]
    assert found.lines() == lines
    half = report("fp16", **values, fused=["table"], left_in_fp32=["relations", "words"], f1={})
    assert half.lines()[1:2] == [lines[1].replace(" (allowed 1e-04)", "")]
    assert half.lines()[3:] == [
        "operators: fused ones of onnxruntime's own (--portable exports without them)",
        "left in fp32: relations, words",
    ]
    missed = report(identical=0)
    missed.close()
    assert missed.lines()[-1] == "FAILED: 1000 of 1000 sentences are decoded differently, not at a tie"
