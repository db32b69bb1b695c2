"""Write the sample corpus: fill hand-written templates with invented names, from one seed.

Run as `python -m tablert_dist.data.sample.generate [--out DIR] [--seed N]`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tablert_dist.data.sample import names, templates
from tablert_dist.storage.atomic import write_bytes

DEFAULT_SEED = 7
SPLIT_SIZES = {"train": 720, "dev": 80, "test": 80}
ENTITY_OF_SLOT = {"p": "Person", "o": "Organization", "l": "Place", "d": "Product"}
ENTITY_SHORT = {"Person": "Per", "Organization": "Org", "Place": "Loc", "Product": "Prod"}
# Relation type -> (short name, verbose name, symmetric).
RELATION_FORMS = {
    "works_for": ("Work", "Works for", False),
    "based_in": ("Based", "Based in", False),
    "born_in": ("Born", "Born in", False),
    "makes": ("Make", "Makes", False),
    "partner_of": ("Partner", "Partner of", True),
}
HELD_OUT_SHARE = 0.3  # of the names of each type, kept out of the training split
UNSEEN_RATE = 0.35  # chance that a dev/test slot is filled with a held-out name
PERSON_POOL = 600
COMPOSED = 400  # names of each type but Person that are put together

_SLOT = re.compile(r"^\{([plod])(\d?)\}$")
_FILLER = re.compile(r"^\{(\w+)\}$")
_RELATION = re.compile(r"(\w+)\((\w+),(\w+)\)")

Record = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """One parsed template: its words, and its relations as (type, head slot, tail slot)."""

    words: tuple[str, ...]
    relations: tuple[tuple[str, str, str], ...]


@dataclass
class NamePools:
    """Names per entity type: those training may use, and those kept for dev and test."""

    common: dict[str, list[str]] = field(default_factory=dict)
    held_out: dict[str, list[str]] = field(default_factory=dict)


def parse_templates(block: str) -> list[Template]:
    """Parse a block of templates, joining continuation lines first."""
    joined = re.sub(r"\n[ \t]+", " ", block.strip())
    parsed = []
    for line in joined.splitlines():
        text, _, relation_text = line.partition("|")
        words = tuple(text.split())
        slots = [word[1:-1] for word in words if _SLOT.match(word)]
        relations = tuple((kind, head, tail) for kind, head, tail in _RELATION.findall(relation_text))
        if len(set(slots)) != len(slots):
            raise ValueError(f"a slot is used twice: {line}")
        for kind, head, tail in relations:
            if kind not in RELATION_FORMS or head not in slots or tail not in slots:
                raise ValueError(f"unknown relation or slot: {line}")
        parsed.append(Template(words, relations))
    return parsed


def make_people(rng: random.Random) -> list[str]:
    """Combine given names and surnames into people of one to three words."""
    people = dict.fromkeys(names.MONONYMS)
    while len(people) < PERSON_POOL:
        given = rng.choice(names.GIVEN + names.MORE_GIVEN)
        surname = rng.choice(names.SURNAMES + names.MORE_SURNAMES)
        middle = ""
        if " " not in surname and rng.random() < 0.25:
            middle = rng.choice("ABDEHJKLMRT") + ". "
        people[f"{given} {middle}{surname}"] = None
    return list(people)


def compose(rng: random.Random, count: int) -> dict[str, list[str]]:
    """`count` names of each type but Person, made of two parts: no reader can know them beforehand."""
    made: dict[str, dict[str, None]] = {kind: {} for kind in ("Organization", "Place", "Product")}
    while min(len(found) for found in made.values()) < count:
        town = rng.choice(names.PLACE_STEMS) + rng.choice(names.PLACE_ENDINGS)
        first = f"{rng.choice(names.PLACE_FIRSTS)} " if rng.random() < 0.2 else ""
        made["Place"][first + town] = None
        stem = rng.choice([town, rng.choice(names.SURNAMES), rng.choice(names.PRODUCT_STEMS)])
        made["Organization"][f"{stem} {rng.choice(names.ORGANIZATION_KINDS)}"] = None
        numbered = f"{rng.choice(names.PRODUCT_STEMS)} {rng.choice(names.PRODUCT_ENDINGS)}"
        coined = rng.choice(names.PRODUCT_ROOTS) + rng.choice(names.PRODUCT_COINS)
        made["Product"][coined if rng.random() < 0.35 else numbered] = None
    return {kind: list(found)[:count] for kind, found in made.items()}


def make_pools(rng: random.Random) -> NamePools:
    """Divide each type's names; a form shared between types is never held out."""
    made = compose(rng, COMPOSED)
    by_type: dict[str, Sequence[str]] = {
        "Person": make_people(rng),
        "Organization": [*names.ORGANIZATIONS, *made["Organization"]],
        "Place": [*names.PLACES, *made["Place"]],
        "Product": [*names.PRODUCTS, *made["Product"]],
    }
    uses = Counter(name for pool in by_type.values() for name in pool)
    pools = NamePools()
    for kind, pool in by_type.items():
        free = [name for name in pool if uses[name] == 1]
        rng.shuffle(free)
        held_out = free[: round(HELD_OUT_SHARE * len(pool))]
        pools.held_out[kind] = held_out
        pools.common[kind] = [name for name in pool if name not in set(held_out)]
    return pools


def draw_name(rng: random.Random, pools: NamePools, kind: str, evaluation: bool) -> str:
    """Draw one name, sometimes a held-out one when the sentence is for evaluation."""
    unseen = evaluation and rng.random() < UNSEEN_RATE
    return rng.choice((pools.held_out if unseen else pools.common)[kind])


def fill(rng: random.Random, template: Template, pools: NamePools, evaluation: bool) -> Record:
    """Fill one template's slots, giving tokens, entities and relations."""
    tokens: list[str] = []
    entities: list[Record] = []
    index_of: dict[str, int] = {}
    used: set[str] = set()
    for word in template.words:
        slot, filler = _SLOT.match(word), _FILLER.match(word)
        if slot:
            kind = ENTITY_OF_SLOT[slot.group(1)]
            name = draw_name(rng, pools, kind, evaluation)
            while name in used:
                name = draw_name(rng, pools, kind, evaluation)
            used.add(name)
            pieces = name.split()
            index_of[word[1:-1]] = len(entities)
            end = len(tokens) + len(pieces)
            entities.append({"type": kind, "start": len(tokens), "end": end})
        elif filler:
            choice = rng.choice(names.FILLERS[filler.group(1)])
            while choice in used:
                choice = rng.choice(names.FILLERS[filler.group(1)])
            used.add(choice)
            pieces = choice.split()
        elif word == "." and tokens[-1] == ".":
            pieces = []  # "Copperwick Inc ." ends its sentence with one full stop
        else:
            pieces = [word]
        tokens.extend(pieces)
    if not entities or entities[0]["start"] > 0:
        tokens[0] = tokens[0][0].upper() + tokens[0][1:]
    relations = []
    for kind, head_slot, tail_slot in template.relations:
        head, tail = index_of[head_slot], index_of[tail_slot]
        if RELATION_FORMS[kind][2]:
            head, tail = min(head, tail), max(head, tail)
        relations.append({"type": kind, "head": head, "tail": tail})
    return {"tokens": tokens, "entities": entities, "relations": relations}


def seen_only(pools: NamePools, train: Sequence[Record]) -> NamePools:
    """Narrow the common names to those that the training split did use, where it used any."""
    seen: dict[str, set[str]] = {kind: set() for kind in pools.common}
    for record in train:
        for entity in record["entities"]:
            words = record["tokens"][entity["start"] : entity["end"]]
            seen[entity["type"]].add(" ".join(words))
    common = {kind: [name for name in pool if name in seen[kind]] for kind, pool in pools.common.items()}
    return NamePools(common, pools.held_out)


def make_split(
    rng: random.Random,
    size: int,
    choices: Sequence[Template],
    pools: NamePools,
    evaluation: bool,
    taken: set[tuple[str, ...]],
) -> list[Record]:
    """Draw sentences from reshuffled rounds of the templates, skipping repeated ones."""
    records: list[Record] = []
    queue: list[Template] = []
    while len(records) < size:
        if not queue:
            queue = list(choices)
            rng.shuffle(queue)
        record = fill(rng, queue.pop(), pools, evaluation)
        key = tuple(record["tokens"])
        if key not in taken:
            taken.add(key)
            records.append(record)
    return records


def make_corpus(seed: int) -> dict[str, list[Record]]:
    """Generate the three splits; every sentence has its own `orig_id` across all of them."""
    rng = random.Random(seed)
    shared = parse_templates(templates.SHARED)
    every = shared + parse_templates(templates.RESERVED)
    taken: set[tuple[str, ...]] = set()
    pools = make_pools(rng)
    train = make_split(rng, SPLIT_SIZES["train"], shared, pools, False, taken)
    pools = seen_only(pools, train)
    both = make_split(rng, SPLIT_SIZES["dev"] + SPLIT_SIZES["test"], every, pools, True, taken)
    cut = SPLIT_SIZES["dev"]
    corpus = {"train": train, "dev": both[:cut], "test": both[cut:]}
    number = 0
    for records in corpus.values():
        for record in records:
            record["orig_id"] = number
            number += 1
    return corpus


def make_types() -> dict[str, dict[str, Record]]:
    """Describe the entity and relation types in SpERT's form."""
    return {
        "entities": {kind: {"short": short, "verbose": kind} for kind, short in ENTITY_SHORT.items()},
        "relations": {
            kind: {"short": short, "verbose": verbose, "symmetric": symmetric}
            for kind, (short, verbose, symmetric) in RELATION_FORMS.items()
        },
    }


def write_corpus(out: Path, seed: int = DEFAULT_SEED) -> None:
    """Write the splits, one record per line, and the types file into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for split, records in make_corpus(seed).items():
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        text = "[\n" + ",\n".join(lines) + "\n]\n"
        write_bytes(out / f"sample_{split}.json", text.encode("utf-8"))
    types = json.dumps(make_types(), ensure_ascii=False, indent=2) + "\n"
    write_bytes(out / "sample_types.json", types.encode("utf-8"))


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and write the corpus."""
    parser = argparse.ArgumentParser(description="Generate the sample corpus.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    arguments = parser.parse_args(argv)
    write_corpus(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
