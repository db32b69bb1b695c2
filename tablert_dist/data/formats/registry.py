"""The formats by name: how each is read, written and told from the others. A new format is its file and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tablert_dist.data.formats import (
    bilou,
    brat,
    brat_write,
    conll,
    docbin,
    doccano,
    dygie,
    gliner,
    hf,
    jsonl,
    labelstudio,
    labelstudio_write,
    prodigy,
    spert,
    webanno,
    webanno_write,
)
from tablert_dist.data.formats.labelstudio_text import is_min, is_task
from tablert_dist.data.formats.notes import Notes, Written
from tablert_dist.data.formats.source import Record
from tablert_dist.data.formats.webanno_rows import FORMAT
from tablert_dist.errors import InputError, nearest
from tablert_dist.schema import Schema, Sentence


@dataclass(frozen=True)
class Format:
    """How a format is read and written, how a file of it is told, and what it holds beside words and labels."""

    iterate: Callable[[Path, Notes], Iterator[Sentence]]
    write: Callable[[Iterable[Sentence], Path, Written, Schema | None], None]
    """Counts what it writes by `Written.add`, and what it cannot hold by `Written.lose`."""
    endings: tuple[str, ...] = ()
    """Of files that are written in it where nothing else is said; files of a corpus with one of them are read. Where it has
    neither `magic` nor `sign`, its files are known by their ending."""
    magic: tuple[bytes, ...] = ()
    """What its files begin with."""
    sign: Callable[[Record], bool] = lambda record: False
    """Whether a JSON file is in it, by its first record; the first format in the table that says so."""
    field: tuple[str, str] | None = None
    """The JSON field that it is told by, and what such a file is called, for messages."""
    text: bool = False
    """Whether it holds the text between the words."""
    probability: bool = False


def _dygie(record: Record) -> bool:
    return "sentences" in record and ("doc_key" in record or "ner" in record)


def _labelstudio(record: Record) -> bool:
    return is_task(record) or is_min(record)


def _annotator(record: Record) -> bool:
    """Whether another tool's own fields are there, beside a text or words."""
    return doccano.is_doccano(record) or prodigy.is_prodigy(record) or gliner.is_gliner(record)


def _jsonl(record: Record) -> bool:
    # Also what `tablert predict` writes of a line that it could not read.
    plain = "text" in record and "tokens" not in record and not (is_min(record) or _annotator(record))
    return plain or {"line", "error"} <= set(record)


def _on_tokens(field: str) -> Callable[[Record], bool]:
    """Labels on tokens, under this field: none of the formats of documents, tasks and texts."""
    others = (_dygie, _labelstudio, _jsonl, _annotator)
    return lambda record: field in record and not any(sign(record) for sign in others)


FORMATS = {
    "spert": Format(
        spert.iterate,
        spert.write,
        endings=(".json",),
        sign=_on_tokens("entities"),
        field=("entities", "SpERT's JSON"),
    ),
    "bilou": Format(bilou.iterate, bilou.write, sign=_on_tokens("tags"), field=("tags", "BILOU-tag JSON")),
    "dygie": Format(dygie.iterate, dygie.write, sign=_dygie, field=("sentences", "DyGIE++")),
    "brat": Format(brat.iterate, brat_write.write, text=True),
    "conll": Format(conll.iterate, conll.write, endings=(".conll", ".bio", ".iob", ".tsv")),
    "labelstudio": Format(
        labelstudio.iterate,
        labelstudio_write.write,
        sign=_labelstudio,
        field=("data", "Label Studio"),
        text=True,
        probability=True,
    ),
    "labelstudio-predictions": Format(
        partial(labelstudio.iterate, key="predictions"),
        partial(labelstudio_write.write, key="predictions"),
        text=True,
        probability=True,
    ),
    "spacy": Format(
        docbin.iterate,
        docbin.write,
        endings=(".spacy",),
        magic=(b"\x78\x01", b"\x78\x9c", b"\x78\xda"),
        text=True,
    ),
    "hf": Format(
        hf.iterate,
        hf.write,
        endings=(".parquet",),
        magic=(b"PAR1",),
        sign=_on_tokens("ner_tags"),
        field=("ner_tags", "Hugging Face datasets"),
    ),
    "jsonl": Format(
        jsonl.iterate,
        jsonl.write,
        endings=(".jsonl",),
        sign=_jsonl,
        field=("text", "text with character offsets"),
        text=True,
        probability=True,
    ),
    "doccano": Format(
        doccano.iterate,
        doccano.write,
        sign=doccano.is_doccano,
        field=("label", "doccano"),
        text=True,
    ),
    "prodigy": Format(
        prodigy.iterate,
        prodigy.write,
        sign=prodigy.is_prodigy,
        field=("spans", "Prodigy"),
        text=True,
    ),
    "gliner": Format(gliner.iterate, gliner.write, sign=gliner.is_gliner, field=("tokenized_text", "GLiNER")),
    "webanno": Format(
        webanno.iterate,
        webanno_write.write,
        magic=(FORMAT.encode(), b"\xef\xbb\xbf" + FORMAT.encode()),
        text=True,
    ),
}
NAMES = tuple(FORMATS)
ENDINGS = {ending: name for name, form in FORMATS.items() for ending in form.endings}
"""The format that a file is written in where only its ending is said; a folder may be one of two."""


def format_of(name: str) -> Format:
    """The format of that name. Raises InputError with the nearest name where there is none."""
    if name not in FORMATS:
        raise InputError(f"there is no format '{name}'; there are {', '.join(NAMES)}{nearest(name, NAMES)}")
    return FORMATS[name]
