"""Layouts that other projects have, and that are not read: whose they are, and what they lack."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tablert_dist.data.formats.source import Record

NO_OFFSETS = (
    "it has no offsets: where a name occurs twice in a text, it does not say which is meant; write each entity with "
    "'start' and 'end' as {instead}"
)
JSONL = "JSON lines with 'text', 'entities' and 'relations' (docs/guides/formats.md)"
FIELDS: Mapping[str, str] = {
    "spo_list": "DuIE's",
    "triple_list": "CasRel's",
    "relation_list": "TPLinker's",
    "relationMentions": "CopyRE's (New York Times)",
    "triples": "a list of triples'",
    "triplets": "a list of triples'",
    "triple": "a list of triples'",
}
"""Fields of records that name head and tail by their text, and whose layout it is."""
OTHERS: Mapping[frozenset[str], str] = {
    frozenset(("vertexSet", "sents")): (
        "this is DocRED's layout, whose relations reach across sentences; it is not read: write each sentence with the "
        "entities and relations inside it as {instead}"
    ),
    frozenset(("h", "t", "relation")): (
        "this is OpenNRE's layout, one relation a record; it is not read: put the relations of a sentence together as {instead}"
    ),
    frozenset(("subj_start", "obj_start")): (
        "this is TACRED's layout, one relation a record; it is not read: put the relations of a sentence together as {instead}"
    ),
    frozenset(
        ("input", "output")
    ): "this is a layout for training a language model; it has no offsets: write {instead}",
    frozenset(
        ("instruction", "output")
    ): "this is a layout for training a language model; it has no offsets: write {instead}",
}
COLUMNS = {
    "head",
    "tail",
    "relation",
    "subject",
    "object",
    "predicate",
    "sentence",
    "text",
    "label",
    "entity_1",
    "entity_2",
}
"""Names of columns, two of which make a table one of triples."""


def layout_of(record: Record) -> str | None:
    """One sentence on a JSON record in a layout that is known and not read; None where it is not known."""
    if "entities" in record:
        return None
    for field, whose in FIELDS.items():
        if isinstance(record.get(field), list | dict):
            return f"this is {whose} layout ('{field}'), which is not read: {NO_OFFSETS}".format(instead=JSONL)
    for fields, said in OTHERS.items():
        if fields <= set(record):
            return said.format(instead=JSONL)
    return None


_OLD_WEBANNO = re.compile(r" # [\w.]+\.[\w.]+( \||$)|#id=\d+$")


def table_of(line: str) -> str | None:
    """One sentence on the first line of a table that is known and not read: of triples (CSV, or by tabs), or of WebAnno 2;
    None where it is none."""
    if _OLD_WEBANNO.match(line):
        return "this is WebAnno TSV 2 or older, which is not read: export it again as WebAnno TSV 3"
    separator = max(",;\t|", key=line.count)
    names = [name.strip().strip("\"'") for name in line.split(separator)]
    if len({name.lower() for name in names} & COLUMNS) < 2:
        return None
    kind = "tab-separated table" if separator == "\t" else "CSV table"
    seen = ", ".join(f"'{name[:30]}'" for name in names[:8])
    if any("offset" in name.lower() or name.lower() in ("start", "end") for name in names):
        why = "its rows are relations: entities have no type, and a sentence without a relation has no place"
        return f"this is a {kind} with the columns {seen}, which is not read: {why}; write {JSONL}"
    return f"this is a {kind} with the columns {seen}, which is not read: {NO_OFFSETS}".format(instead=JSONL)
