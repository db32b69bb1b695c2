# ruff: noqa: E501, SIM905
"""Every advice of the data check mends what it is given for: data with a fault, the advice followed by hand, no fault."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer, models, pre_tokenizers

from tablert_dist.cli.data_check import command
from tablert_dist.config import DataConfig, ModelConfig
from tablert_dist.config.heads import SpertConfig
from tablert_dist.data import validation
from tablert_dist.data.partition import partition
from tablert_dist.data.sample import generate
from tablert_dist.data.validation import Case, Finding, examine, examine_path, raw
from tablert_dist.data.validation.tokenizer import find_tokenizer
from tablert_dist.schema import Entity, Relation, Schema, Sentence, overlapping_pairs
from tests.support import ROOT
from tests.support.tiny import SCHEMA
from tests.unit.data.test_validation import ACME, ADA, GOOD, OSLO, WORDS, case, numbered

FEW = numbered(20)
SPERT = ModelConfig(head="spert")


@dataclass(frozen=True)
class Mended:
    """A fault and the data, or the settings, after the advice was followed; `advice` is a piece of its wording."""

    check: str
    advice: str
    before: Case | Callable[[Path], Any]
    after: Case | Callable[[Path], Any] | None
    """None: the advice begins with "nothing"."""
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.check} {self.variant}".strip()


def typed(*relation_types: str, symmetric: Sequence[str] = (), entity_types: Sequence[str] = ()) -> Schema:
    return Schema(
        (*SCHEMA.entity_types, *entity_types),
        (*SCHEMA.relation_types, *relation_types),
        frozenset({"near", *symmetric}),
    )


def changed(**fields: Any) -> Sentence:
    """A sentence of its own with these fields."""
    return replace(GOOD, words=("Zoe", *WORDS[1:]), **fields)


def several(count: int = 12, **fields: Any) -> list[Sentence]:
    return [
        replace(GOOD, words=(f"Zoe{i}", "works", "at", f"Yards{i}", "near", f"Ely{i}", "."), **fields)
        for i in range(count)
    ]


def split_again(sentences: Sequence[Sentence], schema: Schema = SCHEMA) -> Case:
    """As `tablert data split`."""
    parts = partition(sentences, {"train": 0.7, "dev": 0.3}, 1)
    return case([sentences[i] for i in parts["train"]], schema, dev=[sentences[i] for i in parts["dev"]])


def related(*relations: tuple[Entity, Entity, str]) -> list[Sentence]:
    return [*FEW, *several(relations=tuple(Relation(*r) for r in relations))]


BARE = Sentence(("nothing", "here"))
BOTH_WAYS = related((ADA, ACME, "binds"), (ACME, ADA, "binds"))
ONE_OF_TWO = [*FEW, *several(11, relations=(Relation(ADA, ACME, "binds"),)), changed(
    relations=(Relation(ADA, ACME, "binds"), Relation(ACME, ADA, "binds")))]  # fmt: skip
INVERSE = related((ADA, ACME, "works"), (ACME, ADA, "employs"))
SAME_PAIR = related((ADA, ACME, "works"), (ADA, ACME, "leads"))
ITSELF = related((ADA, ADA, "works"))
WIDE = Entity(3, 6, "Org")
NESTED = [*FEW, changed(entities=(ADA, ACME, WIDE, OSLO), relations=(Relation(ADA, ACME, "works"),))]
TWO_TYPES = [
    *FEW,
    changed(
        entities=(ADA, replace(ADA, type="Loc"), ACME, OSLO),
        relations=(Relation(replace(ADA, type="Loc"), ACME, "works"),),
    ),
]
LONG_SPAN = Entity(0, 4, "Org")
LONG = [*FEW, changed(entities=(LONG_SPAN, OSLO), relations=(Relation(LONG_SPAN, OSLO, "near"),))]
TEXT = tuple("The old ferry left the harbour of Oslo before the storm came".split(" "))
NEAR = [Sentence(TEXT), Sentence(tuple(w.upper() for w in TEXT))]
HABIT = [replace(GOOD, words=(f"Ada{i}", *WORDS[1:])) for i in range(12)]
ODD = changed(entities=(ADA, replace(ACME, type="Loc"), OSLO), relations=())
SHIP = Sentence(("Fram", "sails"), (Entity(0, 1, "Ship"),))
SHIPS = [replace(SHIP, words=(f"Fram{i}", "sails")) for i in range(10)]
WITH_SHIP = typed(entity_types=["Ship"])
MARKED = Sentence((*WORDS[:4], ",", "Oslo", "."), (ADA, Entity(3, 5, "Org"), Entity(5, 6, "Loc")))


def write(path: Path, tree: Any) -> Path:
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree), encoding="utf-8")
    return path


def sample(start: int = 0, end: int = 0) -> list[dict[str, Any]]:
    """The packaged sentences with every span moved."""
    text = (Path(generate.__file__).parent / "sample_train.json").read_text(encoding="utf-8")
    records: list[dict[str, Any]] = json.loads(text)
    for record in records:
        for entity in record["entities"]:
            entity["start"] += start
            entity["end"] += end
    return records


def in_characters() -> list[dict[str, Any]]:
    records = sample()
    for record in records:
        starts = [sum(len(t) + 1 for t in record["tokens"][:i]) for i in range(len(record["tokens"]) + 1)]
        for e in record["entities"]:
            e["start"], e["end"] = starts[e["start"]], starts[e["end"]] - 1
    return records


def raw_of(records: Any) -> Callable[[Path], Any]:
    return lambda folder: list(raw.find([write(folder / "raw.json", records)]))


def from_one(start: int) -> list[dict[str, Any]]:
    names = ["Oslo", "Bergen", "Vardø", "Bodø", "Molde", "Hamar"]
    return [{"tokens": ["born", "in", n], "entities": [{"type": "L", "start": start, "end": start + 1}]} for n in names]


def read_of(*records: dict[str, Any]) -> Callable[[Path], Any]:
    """The packaged sentences and these records, as they are read."""

    def run(folder: Path) -> Any:
        path = write(folder / "read.json", [*sample(), *({"entities": [], **record} for record in records)])
        return examine_path(DataConfig(path=str(path))).findings

    return run


WHITE: dict[str, Any] = {"tokens": ["Ida", "\u2003", "runs"]}


def moved(count: int) -> Case:
    """The packaged sentences, every span `count` words further right where there is room."""
    found = []
    for record in sample():
        spans = [(e["start"] + count, e["end"] + count, e["type"]) for e in record["entities"]]
        inside = tuple(Entity(*span) for span in spans if span[1] <= len(record["tokens"]))
        found.append(Sentence(tuple(record["tokens"]), inside))
    return case(found, Schema(tuple(sorted({e.type for s in found for e in s.entities})), ()))


def on_file(text: Any) -> Callable[[Path], Any]:
    return lambda folder: examine_path(DataConfig(path=str(write(folder / "one.json", text)))).findings


def encoded(
    sentences: Sequence[Sentence], known: str = "", overflow: str = "error", **others: Sequence[Sentence]
) -> Callable[[Path], Any]:
    """Read by a tokenizer of single characters: those `known`, and nothing else; unset, a to z and an unknown token."""

    def build(folder: Path) -> Any:
        vocabulary = {c: i for i, c in enumerate(["[UNK]", *sorted(set(known or "abcdefghijklmnopqrstuvwxyz"))])}
        tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=None if known else "[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.save(str(folder / "tokenizer.json"))
        write(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 24})
        made = replace(case(sentences, SCHEMA, **others), on_overflow=overflow, tokenizer=find_tokenizer(str(folder)))
        return examine(made).findings

    return build


def words(*texts: str) -> list[Sentence]:
    return [Sentence(tuple(t.split())) for t in texts]


LONG_TEXT, HALVES = "ab " * 15, ("ab " * 7, "ab " * 8)
MENDED = [
    Mended("offsets", "subtract 1 from every 'start' and 'end'", moved(1), moved(0)),
    Mended("offsets", "add 1 to every 'end'", raw_of(sample(0, -1)), raw_of(sample()), "inclusive"),
    Mended("offsets", "the index of the first word", raw_of(in_characters()), raw_of(sample()), "characters"),
    Mended("offsets", "subtract 1", raw_of(from_one(3)), raw_of(from_one(2)), "from one"),
    Mended("offsets", "add 1", raw_of(from_one(-1)), raw_of(from_one(0)), "left"),
    Mended("unreadable", "correct the file", on_file("[{"), on_file(sample())),
    Mended("duplicate", "leave one of each", case([*FEW, FEW[0]]), case(FEW)),
    Mended("leak", "`tablert data split`", case(FEW, dev=FEW[:4]), split_again([*FEW, *FEW[:4]])),
    Mended("contradiction", "decide which", case([*FEW, replace(FEW[0], relations=())]), case([*FEW, FEW[0]])),
    Mended("near-leak", "leave one out", case([*FEW, NEAR[0]], dev=[NEAR[1]]), case([*FEW, NEAR[0]])),
    Mended(
        "near-leak", "give them one `document`", case([*FEW, NEAR[0]], dev=[NEAR[1]]),
        split_again([*FEW, *(replace(s, document="ferry") for s in NEAR)]), "split again",
    ),
    Mended("long", "split paragraphs", case([*FEW, *words("at " * 250)]), case([*FEW, *words("at " * 125, "to " * 125)])),
    Mended("too-long", "split them, or", encoded(words(LONG_TEXT)), encoded(words(*HALVES))),
    Mended("too-long", "split them to train", encoded(words(LONG_TEXT), overflow="drop"), encoded(words(*HALVES)), "left out"),
    Mended("too-long", "windows", encoded(words("a"), dev=words(LONG_TEXT)), encoded(words("a"), dev=words(*HALVES)), "dev"),
    Mended("subwords", "take the word out", encoded(words("ab x"), "ab"), encoded(words("ab"), "ab")),
    Mended("subwords", "another encoder", encoded(words("ab x"), "ab"), encoded(words("ab x"), "abx"), "encoder"),
    Mended("unknown-words", "this language or script", encoded(words("Ж a")), encoded(words("Ж a"), "aЖ")),
    Mended("unknown-words", "split the words", encoded(words("abcabcabc")), encoded(words("abc abc abc")), "subwords"),
    Mended("odd-type", "read them again", case([*HABIT, ODD]), case([*HABIT, changed(relations=())])),
    Mended("left-out", "read them again", case([*HABIT, changed(entities=(ADA, ACME), relations=())]), case([*HABIT, changed()])),
    Mended("overlap", "--set model.head=spert", case(NESTED), replace(case(NESTED), model=SPERT)),
    Mended("overlap", "nothing", replace(case(NESTED), overlap="keep-gold"), None, "a policy"),
    Mended("unsorted", "nothing", case([*FEW, changed(entities=GOOD.entities[::-1])]), None),
    Mended("repeated-entity", "nothing", case([*FEW, changed(entities=(*GOOD.entities, ADA))]), None),
    Mended("repeated-relation", "nothing", case([*FEW, changed(relations=GOOD.relations * 2)]), None),
    Mended(
        "table", "declare 'binds' symmetric", case(BOTH_WAYS, typed("binds")),
        case(BOTH_WAYS, typed("binds", symmetric=["binds"])), "symmetric",
    ),
    Mended(
        "table", "--set model.head=spert holds 1", case(ONE_OF_TWO, typed("binds")),
        replace(case(ONE_OF_TWO, typed("binds")), model=SPERT), "one in both directions",
    ),
    Mended(
        "table", "of two opposite relations", case(INVERSE, typed("employs")),
        case(related((ADA, ACME, "works")), typed()), "inverse",
    ),
    Mended(
        "table", "make one type of types", case(SAME_PAIR, typed("leads")),
        case(related((ADA, ACME, "works leads")), typed("works leads")), "same pair",
    ),
    Mended("table", "of an entity with itself out", case(ITSELF), case(related()), "itself"),
    Mended("table", "of two entities that overlap annotate one", case(NESTED), case([*FEW, changed()]), "nested"),
    Mended("table", "--set model.head=spert", case(NESTED), replace(case(NESTED), model=SPERT), "nested, spert"),
    Mended(
        "table", "of two entities on one span annotate one", replace(case(TWO_TYPES), model=SPERT),
        replace(case([*FEW, changed()]), model=SPERT), "two types",
    ),
    Mended(
        "table", "raise model.spert.max_span", replace(case(LONG), model=ModelConfig(head="spert", spert=SpertConfig(max_span=2))),
        replace(case(LONG), model=SPERT), "max_span",
    ),
    Mended(
        "symmetric", "\"symmetric\": true for 'binds' in the types file", case(BOTH_WAYS, typed("binds")),
        case(BOTH_WAYS, typed("binds", symmetric=["binds"])),
    ),
    Mended("edge-punctuation", "shorten it", case([*FEW, MARKED]), case([*FEW, replace(MARKED, entities=(ADA, ACME, OSLO))])),
    Mended(
        "edge-punctuation", "leave out an entity", case([*FEW, changed(entities=(ADA, ACME, OSLO, Entity(6, 7, "Loc")))]),
        case([*FEW, changed()]), "a mark",
    ),
    Mended("white-space", "trim the words", case([*FEW, Sentence(("Ada\u00a0Bo", "runs"))]), case([*FEW, *words("Ada Bo runs")])),
    Mended("invisible", "take them out", case([*FEW, *words("Ac\u200bme runs")]), case([*FEW, *words("Acme runs")])),
    Mended("empty", "annotate it", case([BARE]), case(FEW), "entities"),
    Mended("empty", "leave the file out", case(FEW, dev=[]), case(FEW), "sentences"),
    Mended("empty", "annotate some", case(FEW, dev=several(2, relations=())), case(FEW, dev=several(2)), "relations"),
    Mended(
        "empty", "take all relation types out", case([replace(s, relations=()) for s in FEW]),
        case([replace(s, relations=()) for s in FEW], Schema(SCHEMA.entity_types, ())), "relation types",
    ),
    Mended("unused-type", "take it out of the types file", case(FEW, WITH_SHIP), case(FEW)),
    Mended("unused-type", "or annotate some", case(FEW, WITH_SHIP), case([*FEW, SHIP], WITH_SHIP), "annotated"),
    Mended("unused-type", "move there some of another split", case(FEW, WITH_SHIP, dev=SHIPS), case([*FEW, *SHIPS], WITH_SHIP), "of dev"),
    Mended("rare-type", "annotate more (at least 10)", case([*FEW, SHIP], WITH_SHIP), case([*FEW, *SHIPS], WITH_SHIP)),
    Mended("rare-type", "merge it", case([*FEW, SHIP], WITH_SHIP), case([*FEW, replace(SHIP, entities=(Entity(0, 1, "Org"),))]), "merged"),
    Mended("unseen-type", "annotate some for train", case(FEW, WITH_SHIP, dev=SHIPS[:2]), case([*FEW, SHIP], WITH_SHIP, dev=SHIPS[:2])),
    Mended("unseen-type", "move some there", case(FEW, WITH_SHIP, dev=SHIPS[:2]), case([*FEW, SHIPS[0]], WITH_SHIP, dev=SHIPS[1:2]), "moved"),
    Mended("similar-types", "write them alike", case(FEW, typed("Works")), case(FEW)),
    Mended("left out", "correct the records", read_of({"tokens": 3}, {"tokens": []}), read_of(), "several"),
    Mended("left out", "correct the record", read_of({"tokens": 3}), read_of()),
    Mended("changed in reading", "nothing, unless", read_of(WHITE), None),
    Mended("changed in reading", "nothing, unless", read_of(WHITE), read_of({**WHITE, "tokens": ["Ida", "runs"]}), "corrected"),
    Mended("rare-signature", "and correct it", case([*numbered(40), changed(relations=(Relation(ACME, ADA, "works"),))]), case([*numbered(40), changed()])),
]  # fmt: skip


def found(side: Case | Callable[[Path], Any], check: str, folder: Path) -> list[Finding]:
    findings = examine(side).findings if isinstance(side, Case) else side(folder)
    return [f for f in findings if f.check == check]


@pytest.mark.parametrize("mended", MENDED, ids=str)
def test_the_advice_mends_the_finding(mended: Mended, tmp_path: Path) -> None:
    before = found(mended.before, mended.check, tmp_path)
    assert before and any(mended.advice in f.advice for f in before), [f.advice for f in before]
    if mended.after is None:
        assert all(f.advice.startswith("nothing") for f in before)
    else:
        assert found(mended.after, mended.check, tmp_path) == []


@pytest.mark.parametrize("policy", ["keep-gold", "drop-pair", "keep-longest"])
def test_each_policy_that_is_advised_for_overlaps_lets_training_begin(policy: str) -> None:
    (refused,) = [f for f in examine(case(NESTED)).findings if f.check == "overlap"]
    assert refused.severity == "error" and policy in refused.advice and overlapping_pairs(NESTED[-1])
    assert "error" not in [f.severity for f in examine(replace(case(NESTED), overlap=policy)).findings]


def test_overflow_dropped_as_advised_is_no_error(tmp_path: Path) -> None:
    (dropped,) = [f for f in encoded(words(LONG_TEXT), overflow="drop")(tmp_path) if f.check == "too-long"]
    assert dropped.severity == "warning" and "on_overflow=drop" not in dropped.advice


def test_a_type_that_another_split_has_is_not_advised_out_of_the_types_file() -> None:
    (unused,) = [f for f in examine(case(FEW, WITH_SHIP, dev=SHIPS)).findings if f.check == "unused-type"]
    assert "types file" not in unused.advice, "dev could not be read without it"


def test_an_encoder_that_can_be_reached_is_advised(tmp_path: Path, tiny_encoder: str) -> None:
    path = str(write(tmp_path / "one.json", sample()))
    for words, said in ((["--set", "model.encoder=no/such"], True), (["--encoder", tiny_encoder], False)):
        done = CliRunner().invoke(command, [path, "--json", *words])
        advice = [f["advice"] for f in json.loads(done.stdout)["findings"] if f["check"] == "subwords"]
        assert (advice != []) is said and all("with --encoder" in text for text in advice)


def test_no_check_is_missing_from_the_list() -> None:
    """Names are the first argument of Finding; where that is no literal, the calls around it are known here."""
    sources = [*Path(validation.__file__).parent.glob("*.py"), ROOT / "tablert_dist" / "cli" / "data_check.py"]
    names, others = set(), []
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    names.add(first.value)
                else:
                    others.append((path.name, ast.unparse(first)))
    assert sorted(others) == [("structure.py", "f'repeated-{kind}'"), ("text.py", "check")]
    names |= {"repeated-entity", "repeated-relation", "white-space", "invisible"}
    assert {mended.check for mended in MENDED} == names
