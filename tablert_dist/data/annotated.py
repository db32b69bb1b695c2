"""Annotated sentences from a file or a folder with their schema, and back into folders, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tablert_dist.config import DataConfig
from tablert_dist.data import formats, load_corpus
from tablert_dist.data.formats import spert, types_file
from tablert_dist.data.splits import split_files
from tablert_dist.errors import InputError
from tablert_dist.heads.constraints import Constraints
from tablert_dist.schema import Schema, Sentence
from tablert_dist.storage.atomic import whole_files, whole_folder, write_bytes


def read_all(source: Path, format: str = "auto", notes: formats.Notes | None = None) -> tuple[list[Sentence], Schema]:
    """All sentences of a file, or of all splits of a folder, overlaps included; the types file beside it gives types.

    Raises InputError as the readers do; without `notes` also for a record that cannot be read.
    """
    notes = formats.Notes(strict=True) if notes is None else notes
    if not source.exists():
        raise InputError(f"{source}: no such file or folder")
    if source.is_dir():
        config = DataConfig(path=str(source), overlap="keep-gold", strict=notes.strict, text_field=notes.field)
        corpus = load_corpus(config.model_copy(update={"format": format}))
        notes.add(corpus.seen)
        order = [name for name in ("train", "dev", "test") if name in corpus.splits]
        return [s for name in order for s in corpus.splits[name]], corpus.schema
    sentences = list(formats.read(source, format, notes))
    beside = types_file.beside(source)
    return sentences, types_file.read(beside) if beside else Schema.infer(sentences)


def schema_of(source: Path, sentences: Sequence[Sentence]) -> Schema:
    """The schema of the types file beside a source, with the types behind that only the sentences have."""
    seen, beside = Schema.infer(sentences), types_file.beside(source)
    if beside is None:
        return seen
    known = types_file.read(beside)
    entities, relations = (
        tuple(dict.fromkeys((*listed, *found)))
        for listed, found in (
            (known.entity_types, seen.entity_types),
            (known.relation_types, seen.relation_types),
        )
    )
    return Schema(entities, relations, known.symmetric)


def write_types(path: Path, schema: Schema, form: str, constraints: Constraints | None = None) -> list[str]:
    """Write the types file of data in the named format, where a type is symmetric, with the rules that there are; lines that
    say so."""
    if not schema.symmetric and not path.exists():
        return [f"{path} is not written: it would say nothing"]
    if form == "brat":
        names = {name: name.replace(" ", "_") for name in (*schema.entity_types, *schema.relation_types)}
        schema = Schema(
            tuple(dict.fromkeys(names[name] for name in schema.entity_types)),
            tuple(dict.fromkeys(names[name] for name in schema.relation_types)),
            frozenset(names[name] for name in schema.symmetric),
        )
        constraints = constraints and constraints.renamed(names)
    write_bytes(path, types_bytes(schema, constraints))
    lines = [f"{path}: symmetric: {', '.join(sorted(schema.symmetric))}"]
    return lines + ([f"{path}: rules of {', '.join(constraints.relations)}"] if constraints else [])


def rules_of(source: Path) -> Constraints | None:
    """The constraints that the types file of a data file or a folder of splits gives. Raises InputError as `read_rules`."""
    types = split_files(source).get("types") if source.is_dir() else types_file.beside(source)
    return types_file.read_rules(types) if types else None


def spert_bytes(sentences: Sequence[Sentence]) -> bytes:
    """A file of SpERT's JSON."""
    return json.dumps([spert.record_of(s) for s in sentences], ensure_ascii=False).encode("utf-8", "surrogatepass")


def types_bytes(schema: Schema, constraints: Constraints | None = None) -> bytes:
    """A types file of this schema, in its order, with the constraints' rules."""
    rules = constraints.relations if constraints else {}
    symmetric = schema.symmetric | {name for name, rule in rules.items() if rule.symmetric}
    tree = {
        "entities": {name: {"short": name, "verbose": name} for name in schema.entity_types},
        "relations": {
            name: {"short": name, "verbose": name, "symmetric": name in symmetric}
            | (rules[name].given() if name in rules else {})
            for name in schema.relation_types
        },
    }
    return json.dumps(tree, indent=1, ensure_ascii=False).encode("utf-8")


def write_folder(folder: Path, content: Mapping[str, bytes], force: bool = False) -> None:
    """Make the folder with these files, or nothing; with `force` in the place of another folder.

    Raises InputError where it exists with something in it otherwise.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        # Only what this function has made may go: --out may be any folder by mistake.
        ours = folder.is_dir() and all(p.suffix == ".json" for p in folder.rglob("*") if not p.is_dir())
        if not (force and ours):
            advice = ", or replace it with --force" if ours else ""
            raise InputError(f"{folder} exists and is not an empty folder: choose another --out{advice}")
    with whole_folder(folder) as part:
        for name, data in content.items():
            path = part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def write_files(content: Mapping[Path, bytes]) -> None:
    """Write all of these files, or none; what is there is replaced. Raises InputError where one cannot be written."""
    with whole_files(list(content)) as parts:
        for part, data in zip(parts, content.values(), strict=True):
            part.write_bytes(data)
