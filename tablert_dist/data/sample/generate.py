"""Write the sample corpus: fill hand-written templates with invented names, from one seed.

Run as `python -m tablert_dist.data.sample.generate [--out DIR] [--seed N]`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tablert_dist.data.sample import names, templates
from tablert_dist.data.sample.pools import NamePools, draw_name, make_pools, seen_only
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

_SLOT = re.compile(r"^\{([plod])(\d?)\}$")
_FILLER = re.compile(r"^\{(\w+)\}$")
_RELATION = re.compile(r"(\w+)\((\w+),(\w+)\)")

Record = dict[str, Any]


@dataclass(frozen=True)
class Template:
    """One parsed template: its words, and its relations as (type, head slot, tail slot)."""

    words: tuple[str, ...]
    relations: tuple[tuple[str, str, str], ...]


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
