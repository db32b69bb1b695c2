"""From a folder, a file or a corpus in memory to the report: every check, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tablert_dist.config import DataConfig, ModelConfig
from tablert_dist.data import Corpus, formats, load_corpus
from tablert_dist.data.formats import types_file
from tablert_dist.data.splits import notes_of
from tablert_dist.data.validation import (
    duplicates,
    lengths,
    loss,
    noise,
    offsets,
    raw,
    structure,
    symmetric,
    text,
    types,
    unread,
)
from tablert_dist.data.validation.finding import Case, DataReport, Finding, SplitPart, in_order
from tablert_dist.data.validation.summary import summarise
from tablert_dist.errors import InputError
from tablert_dist.schema import Schema
from tablert_dist.storage.paths import locate
from tablert_dist.tokenization import SubwordTokenizer

CHECKS: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    unread.find,
    offsets.find,
    types.find,
    structure.find,
    symmetric.find,
    loss.find,
    lengths.find,
    duplicates.find,
    text.find,
    noise.find,
)


# Training applies the overlap policy and reports the table's loss itself, and what the readers did.
QUICK = tuple(check for check in CHECKS if check not in (structure.find, loss.find, unread.find))


def findings(case: Case, checks: Sequence[Callable[[Case], Iterator[Finding]]] = CHECKS) -> tuple[Finding, ...]:
    """What the checks find, errors first."""
    return in_order(finding for check in checks for finding in check(case))


def examine(case: Case, files: Sequence[Path] = ()) -> DataReport:
    """Findings and numbers of a corpus; where records of its `files` were left out, also what their offsets look like."""
    found = findings(case)
    if case.seen.left_out:
        found = in_order([*raw.find(files), *(f for f in found if f.check != "offsets")])
    return DataReport(case.name, found, summarise(case))


def examine_path(
    config: DataConfig, model: ModelConfig | None = None, tokenizer: SubwordTokenizer | None = None
) -> DataReport:
    """The report on the folder, or the single file, that `config.path` names, for the head of `model` (unset: a table).

    Data that cannot be read are a report with an error finding, and with what their offsets look like. Raises
    InputError where there is no such place.
    """
    if config.path is None:
        raise InputError("no data: say which folder, such as `tablert data check DIR`")
    path = locate(config.path, "data folder")
    try:
        case = _file_case(path, config) if path.is_file() else corpus_case(_load(config), config)
    except InputError as error:
        return _unreadable(path, str(error))
    return examine(replace(case, tokenizer=tokenizer, model=model or ModelConfig()), _files(path))


def _load(config: DataConfig) -> Corpus:
    return load_corpus(config.model_copy(update={"overlap": "keep-gold"}))


def corpus_case(
    corpus: Corpus, config: DataConfig, model: ModelConfig | None = None, tokenizer: SubwordTokenizer | None = None
) -> Case:
    """A corpus that is loaded already."""
    order = [name for name in ("train", "dev", "test") if name in corpus.splits]
    parts = tuple(SplitPart(split, corpus.files.get(split, split), corpus.splits[split]) for split in order)
    return Case(
        corpus.name,
        corpus.schema,
        parts,
        config.overlap,
        config.on_overflow,
        tokenizer,
        model or ModelConfig(),
        "types" in corpus.hashes,
        corpus.seen,
    )


def _file_case(path: Path, config: DataConfig) -> Case:
    """One file, as if it were train; the types are those of its types file (`types_file.beside`), or what it has."""
    seen = notes_of(config)
    sentences = tuple(formats.read(path, config.format, seen))
    beside = types_file.beside(path)
    schema = types_file.read(beside) if beside else Schema.infer(sentences)
    unknown = {e.type for s in sentences for e in s.entities} - set(schema.entity_types)
    unknown |= {r.type for s in sentences for r in s.relations} - set(schema.relation_types)
    if unknown and beside:
        raise InputError(f"{path.name}: the types {sorted(unknown)} are not in {beside.name}")
    return Case(
        path.stem,
        schema,
        (SplitPart("train", path.name, sentences),),
        config.overlap,
        config.on_overflow,
        types_file=beside is not None,
        seen=seen,
    )


def _unreadable(path: Path, reason: str) -> DataReport:
    refused = Finding(
        "unreadable", "error", path.name, 1, reason, "correct the file; what else is wrong is seen when it can be read"
    )
    # What the offsets look like is the more useful sentence: it comes first.
    return DataReport(path.resolve().stem, in_order([*raw.find(_files(path)), refused]), {})


def _files(path: Path) -> list[Path]:
    """Those whose offsets may be looked at as they are."""
    return [path] if path.is_file() else sorted(p for p in path.glob("*.json") if "types" not in p.stem)


def quick_lines(case: Case, most: int = 8, clock: Callable[[], float] = time.monotonic) -> list[str]:
    """One line for each kind of warning, at most `most`, for the start of a training. Raises InputError for errors."""
    began = clock()
    found = [f for f in findings(case, QUICK) if f.severity != "note"]
    errors = [f for f in found if f.severity == "error"]
    if errors:
        rest = f" ({len(errors) - 1} more: tablert data check)" if len(errors) > 1 else ""
        raise InputError(f"{errors[0].line()}; {errors[0].advice}{rest}; --no-check trains all the same")
    by_check: dict[str, list[Finding]] = {}
    for finding in found:
        by_check.setdefault(finding.check, []).append(finding)
    lines = []
    for group in by_check.values():
        worst = max(group, key=lambda finding: finding.count)
        more = f"; {len(group) - 1} more such" if len(group) > 1 else ""
        lines.append(f"warning: {worst.file}: {worst.says}{more}")
    del lines[most:]
    if found:
        lines.append(f"checked in {clock() - began:.1f} s; examples, and what to do: tablert data check DIR")
    return lines
