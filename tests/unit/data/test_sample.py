"""Tests that the shipped sample corpus is what its generator writes, and is well formed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tablert_dist.data.sample import generate, templates

SAMPLE = Path(generate.__file__).parent
SPLITS = ("train", "dev", "test")
ARGUMENTS = {
    "works_for": ("Person", "Organization"),
    "based_in": ("Organization", "Place"),
    "born_in": ("Person", "Place"),
    "makes": ("Organization", "Product"),
    "partner_of": ("Organization", "Organization"),
}


def load(name: str) -> Any:
    """Read one shipped file."""
    return json.loads((SAMPLE / f"sample_{name}.json").read_text(encoding="utf-8"))


def surfaces(records: list[dict[str, Any]]) -> list[str]:
    """List the surface form of every entity mention."""
    return [
        " ".join(record["tokens"][entity["start"] : entity["end"]])
        for record in records
        for entity in record["entities"]
    ]


def test_default_seed_regenerates_the_shipped_files(tmp_path: Path) -> None:
    """The generator's files equal the shipped ones, byte for byte."""
    generate.main(["--out", str(tmp_path)])
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(f"sample_{name}.json" for name in (*SPLITS, "types"))
    for name in written:
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()


def test_another_seed_gives_other_sentences() -> None:
    """The seed matters."""
    assert generate.make_corpus(8)["train"] != generate.make_corpus(7)["train"]


@pytest.mark.parametrize(("split", "size"), [("train", 720), ("dev", 80), ("test", 80)])
def test_records_are_well_formed(split: str, size: int) -> None:
    """Spans are sorted, in range and disjoint; relations join entities of the right types."""
    records = load(split)
    assert len(records) == size
    for record in records:
        assert set(record) == {"tokens", "entities", "relations", "orig_id"}
        tokens, entities = record["tokens"], record["entities"]
        assert tokens
        assert all(token and token.split() == [token] for token in tokens)
        assert not any(mark in token for token in tokens for mark in "{}|")
        last_end = 0
        for entity in entities:
            assert entity["type"] in generate.ENTITY_SHORT
            assert last_end <= entity["start"] < entity["end"] <= len(tokens)
            last_end = entity["end"]
        pairs = [(relation["head"], relation["tail"]) for relation in record["relations"]]
        assert len(set(pairs)) == len(pairs)
        for relation in record["relations"]:
            head, tail = relation["head"], relation["tail"]
            assert head != tail
            assert min(head, tail) >= 0
            assert max(head, tail) < len(entities)
            types = (entities[head]["type"], entities[tail]["type"])
            assert types == ARGUMENTS[relation["type"]]
            if relation["type"] == "partner_of":
                assert head < tail


def test_sentences_and_ids_are_unique_across_splits() -> None:
    """No sentence and no orig_id occurs twice anywhere."""
    records = [record for split in SPLITS for record in load(split)]
    assert len({tuple(record["tokens"]) for record in records}) == len(records)
    assert len({record["orig_id"] for record in records}) == len(records)


@pytest.mark.parametrize("split", SPLITS)
def test_directed_relations_occur_in_both_directions(split: str) -> None:
    """Each directed type has heads before tails and tails before heads in every split."""
    seen = {
        (relation["type"], relation["head"] < relation["tail"])
        for record in load(split)
        for relation in record["relations"]
    }
    for kind in set(ARGUMENTS) - {"partner_of"}:
        assert {(kind, True), (kind, False)} <= seen


def test_types_file_lists_exactly_the_types_used() -> None:
    """The types file and the records name the same types; only partner_of is symmetric."""
    types = load("types")
    records = [record for split in SPLITS for record in load(split)]
    for group in ("entities", "relations"):
        assert set(types[group]) == {item["type"] for record in records for item in record[group]}
        for form in types[group].values():
            assert form["short"]
            assert form["verbose"]
    symmetric = {kind for kind, form in types["relations"].items() if form["symmetric"]}
    assert symmetric == {"partner_of"}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_part_of_the_evaluation_names_is_new(split: str) -> None:
    """Between a quarter and a half of the evaluation mentions never occur in training."""
    known = set(surfaces(load("train")))
    mentions = surfaces(load(split))
    share = sum(mention not in known for mention in mentions) / len(mentions)
    assert 0.25 <= share <= 0.5


def test_some_templates_are_reserved_for_evaluation() -> None:
    """About 15 % of the templates, no two alike, are kept out of training."""
    shared = generate.parse_templates(templates.SHARED)
    reserved = generate.parse_templates(templates.RESERVED)
    texts = {template.words for template in shared + reserved}
    assert len(texts) == len(shared) + len(reserved) >= 60
    assert 0.1 <= len(reserved) / len(texts) <= 0.2


@pytest.mark.parametrize("line", ["{p} saw {p} . |", "{p} works . | works_for(p,o)", "{p} at {o} . | likes(p,o)"])
def test_bad_templates_are_refused(line: str) -> None:
    """A repeated slot, a missing slot and an unknown relation are errors."""
    with pytest.raises(ValueError, match="slot"):
        generate.parse_templates(line)
