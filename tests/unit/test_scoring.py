"""Scores by hand, and counts that add up over shards (docs/concepts.md#scores)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tablert_dist.scoring import Counts, LevelScores, Protocol, Ratio, Scores, best_epoch, best_row, count
from tests.support.tiny import SCHEMA, sentences

WORDS = tuple("abcdef")
A, B, C = Entity(0, 1, "Per"), Entity(1, 3, "Org"), Entity(4, 5, "Loc")


def test_ner_needs_boundaries_and_type() -> None:
    gold = Sentence(WORDS, (A, B, C))
    predicted = Sentence(WORDS, (A, Entity(1, 2, "Org"), Entity(4, 5, "Org")))
    scores = count([(gold, predicted)], SCHEMA).scores().levels["ner"]
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == (1 / 3, 1 / 3, 1 / 3)
    assert {k: r.f1 for k, r in scores.by_type.items()} == {"Per": 1.0, "Org": 0.0, "Loc": 0.0}
    assert scores.macro.f1 == pytest.approx(1 / 3)
    assert scores.micro.support == 3


def test_re_ignores_entity_types_and_re_plus_does_not() -> None:
    gold = Sentence(WORDS, (A, B), (Relation(A, B, "works"),))
    retyped = Entity(1, 3, "Loc")
    predicted = Sentence(WORDS, (A, retyped), (Relation(A, retyped, "works"),))
    scores = count([(gold, predicted)], SCHEMA).scores()
    assert (scores.f1("re"), scores.f1("re_plus")) == (1.0, 0.0)


def test_direction_counts_except_for_symmetric_types() -> None:
    def f1(kind: str) -> float:
        gold = Sentence(WORDS, (A, B), (Relation(A, B, kind),))
        turned = Sentence(WORDS, (A, B), (Relation(B, A, kind),))
        return count([(gold, turned)], SCHEMA).scores().f1("re_plus")

    assert (f1("works"), f1("near")) == (0.0, 1.0)


def test_duplicates_count_once_and_macro_leaves_out_unseen_types() -> None:
    twice = Sentence(WORDS, (A, A, B), (Relation(A, B, "works"), Relation(A, B, "works")))
    scores = count([(twice, Sentence(WORDS, (A, B), (Relation(A, B, "works"),)))], SCHEMA).scores()
    assert scores.f1("ner") == scores.f1("re") == 1.0
    assert scores.levels["re"].macro.f1 == 1.0, "'near' was in neither gold nor prediction"
    assert scores.levels["re"].micro.support == 1


def test_nothing_divided_by_nothing_is_zero() -> None:
    scores = count([], Schema(("Per",), ())).scores()
    assert {scores.f1(level) for level in ("ner", "re", "re_plus")} == {0.0}


@given(st.lists(st.tuples(sentences(), sentences()), max_size=6), st.integers(1, 4))
def test_counts_of_shards_add_up(pairs: list[tuple[Sentence, Sentence]], shards: int) -> None:
    whole = count(pairs, SCHEMA)
    parts = [count(pairs[i::shards], SCHEMA) for i in range(shards)]
    assert np.array_equal(sum(parts, Counts.zero(SCHEMA)).table, whole.table)


@given(sentences())
def test_gold_scores_one_against_itself(sentence: Sentence) -> None:
    scores = count([(sentence, sentence)], SCHEMA).scores()
    assert scores.f1("ner") == float(bool(sentence.entities))
    assert scores.f1("re_plus") == float(bool(sentence.relations))


def test_ratios_of_what_was_found_missed_and_wrong() -> None:
    """Two of three found and one wrong; a type that is only predicted, and one that is only in gold, weigh in macro."""
    gold = Sentence(WORDS, (A, Entity(1, 2, "Per"), Entity(2, 3, "Per"), Entity(5, 6, "Org")))
    predicted = Sentence(WORDS, (A, Entity(1, 2, "Per"), Entity(3, 4, "Per"), C, Entity(3, 5, "Loc")))
    ner = count([(gold, predicted)], SCHEMA).scores().levels["ner"]
    assert ner.by_type["Per"] == Ratio(2 / 3, 2 / 3, 2 / 3, 3)
    assert ner.by_type["Loc"] == Ratio(0.0, 0.0, 0.0, 0) and ner.by_type["Org"] == Ratio(0.0, 0.0, 0.0, 1)
    assert ner.micro == Ratio(2 / 5, 2 / 4, 4 / 9, 4)
    assert asdict(ner.macro) == pytest.approx({"precision": 2 / 9, "recall": 2 / 9, "f1": 2 / 9, "support": 4})


def test_macro_is_the_mean_of_each_ratio_over_types() -> None:
    gold = Sentence(WORDS, (A, Entity(1, 2, "Org"), Entity(2, 3, "Org")))
    predicted = Sentence(WORDS, (A, Entity(1, 2, "Org"), Entity(5, 6, "Per")))
    macro = count([(gold, predicted)], SCHEMA).scores().levels["ner"].macro
    assert asdict(macro) == pytest.approx({"precision": 0.75, "recall": 0.75, "f1": 2 / 3, "support": 3})
    turned = count([(gold, Sentence(WORDS, (A,)))], SCHEMA).scores().levels["ner"].macro
    assert (turned.precision, turned.recall, turned.f1, turned.support) == (0.5, 0.5, 0.5, 3)
    alone = Sentence(WORDS, (A, B, C, Entity(5, 6, "Loc")))
    one = count([(alone, Sentence(WORDS, (C,)))], Schema(("Loc", "Per", "Org"), ())).scores().levels["ner"].macro
    assert (one.precision, one.recall, one.f1) == pytest.approx((1 / 3, 1 / 6, 2 / 9))


def test_a_level_without_types_scores_zero() -> None:
    assert count([], Schema(("Per",), ())).scores().levels["re"] == LevelScores(
        Ratio(0, 0, 0, 0), Ratio(0, 0, 0, 0), {}
    )
    assert all(type(value) is float for value in count([], SCHEMA).scores().flat("dev").values())


def test_counts_of_a_level_are_whole_numbers_by_type_and_an_unknown_level_is_named() -> None:
    gold = Sentence(WORDS, (A, B, C), (Relation(A, B, "works"), Relation(B, C, "near")))
    predicted = Sentence(WORDS, (A, B, C), (Relation(A, B, "works"), Relation(A, C, "near")))
    counts = count([(gold, predicted), (gold, gold)], SCHEMA) + Counts.zero(SCHEMA)
    assert counts.of("re").tolist() == counts.of("re_plus").tolist() == [[2, 0, 0], [1, 1, 1]]
    assert counts.of("ner").tolist() == [[2, 0, 0]] * 3
    assert counts.schema == SCHEMA and counts.table.dtype == np.int64, "workers sum them as integers"
    with pytest.raises(KeyError, match="no score level 'RE'; there are ner, re, re_plus"):
        counts.of("RE")


def scores_of(numbers: dict[str, float]) -> Scores:
    """Scores whose every ratio is another number: precision, then recall, then F1, macro a half more."""

    def ratio(x: float) -> Ratio:
        return Ratio(x, x + 0.01, x + 0.02, 7)

    return Scores({level: LevelScores(ratio(x), ratio(x + 0.5), {"Per": ratio(x)}) for level, x in numbers.items()})


def test_metrics_have_the_names_that_are_recorded() -> None:
    assert scores_of({"ner": 0.1, "re_plus": 0.2}).flat("dev") == {
        "dev/ner_precision": 0.1, "dev/ner_recall": 0.1 + 0.01, "dev/ner_f1": 0.1 + 0.02,
        "dev/ner_macro_precision": 0.6, "dev/ner_macro_recall": 0.6 + 0.01, "dev/ner_macro_f1": 0.6 + 0.02,
        "dev/re_plus_precision": 0.2, "dev/re_plus_recall": 0.2 + 0.01, "dev/re_plus_f1": 0.2 + 0.02,
        "dev/re_plus_macro_precision": 0.7, "dev/re_plus_macro_recall": 0.7 + 0.01, "dev/re_plus_macro_f1": 0.7 + 0.02,
    }  # fmt: skip


def test_scores_as_json_are_all_of_them() -> None:
    ratio = {"precision": 0.1, "recall": 0.1 + 0.01, "f1": 0.1 + 0.02, "support": 7}
    macro = {"precision": 0.6, "recall": 0.6 + 0.01, "f1": 0.6 + 0.02, "support": 7}
    assert scores_of({"re": 0.1}).to_json() == {"re": {"micro": ratio, "macro": macro, "by_type": {"Per": ratio}}}


def test_the_best_epoch_has_the_best_re_plus_then_ner_then_comes_first() -> None:
    def row(epoch: int, plus: float, ner: float) -> dict[str, float]:
        return {"epoch": epoch, "dev/re_plus_f1": plus, "dev/ner_f1": ner}

    rows = [row(1, 0.2, 0.9), row(2, 0.3, 0.5), row(3, 0.3, 0.6), row(4, 0.3, 0.6), row(5, 0.1, 0.99)]
    assert best_row(rows) is rows[2] and best_epoch(rows) == 3
    unscored = {"epoch": 6, "train/loss": 0.1}
    assert best_epoch([unscored, *rows]) == 3
    assert best_row([unscored]) is None and best_epoch([unscored]) is None and best_epoch([]) is None


PLAIN: dict[str, Any] = {
    "dataset": "conll04", "data_hash": "0123456789abcdef", "trained_on": "train", "scored_on": "test", "overlap": "error",
    "encoder": "bert", "epochs": 2, "selection": "last epoch", "seeds": (1, 2), "averaging": "micro",
}  # fmt: skip
SPECIAL: dict[str, Any] = {
    "left_out": 1, "windowed": 2, "chosen_from": 3, "decoding": "viterbi", "precision": "fp16"
}  # fmt: skip


def test_a_protocol_is_one_sentence() -> None:
    short = "conll04 (01234567), trained on train, scored on test, micro, bert, 2 epochs, last epoch, overlap error, seeds 1, 2"
    assert str(Protocol(**PLAIN)) == short
    assert str(Protocol(**PLAIN, **SPECIAL)) == (
        f"{short}, 1 record that could not be read left out, 2 sentences read by windows, chosen from 3 trials on dev, "
        "decoded by viterbi, in fp16"
    )
    assert ", 1 epoch, last" in str(Protocol(**{**PLAIN, "epochs": 1}))
    assert "1 sentence read by windows" in str(Protocol(**PLAIN, windowed=1))
    assert "chosen from 1 trial on dev" in str(Protocol(**PLAIN, chosen_from=1))


def test_a_protocol_survives_its_json_and_leaves_out_what_is_empty() -> None:
    plain, whole = Protocol(**{**PLAIN, "epochs": 0}), Protocol(**PLAIN, **SPECIAL)
    assert plain.to_json() == {**PLAIN, "epochs": 0}, "what has no default stays, empty or not"
    assert whole.to_json() == {**PLAIN, **SPECIAL}
    for protocol in (plain, whole):
        tree = {**protocol.to_json(), "seeds": [1, 2], "of a later version": 1}
        assert Protocol.of(tree) == protocol
