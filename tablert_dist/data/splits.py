"""A folder of files or sub-folders as a corpus: splits, schema, hashes, and what was seen on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tablert_dist.config import DataConfig, ModelConfig
from tablert_dist.data import formats, overlap
from tablert_dist.data.formats import types_file
from tablert_dist.errors import InputError
from tablert_dist.heads import head_spec, make_scheme
from tablert_dist.heads.base import lost_to_overlap
from tablert_dist.heads.constraints import Constraints
from tablert_dist.schema import Schema, Sentence, overlapping_pairs
from tablert_dist.storage.paths import locate
from tablert_dist.tags import TagSet

NO_DATA = ("dataset_dict.json", "dataset_info.json", "state.json")
"""What Hugging Face datasets keep beside a data set's folders."""


@dataclass(frozen=True)
class Corpus:
    """Sentences by split, after the overlap policy; `notes` are sentences for the user."""

    name: str
    schema: Schema
    splits: Mapping[str, tuple[Sentence, ...]]
    hashes: Mapping[str, str]
    notes: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """The name of the file that each split is from, for messages; `a + b` where two were joined."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records of each split that could not be read."""
    seen: formats.Notes = field(default_factory=formats.Notes, compare=False)
    """What was left out or changed in reading."""
    constraints: Constraints | None = None
    """Given in the types file."""

    @property
    def train(self) -> tuple[Sentence, ...]:
        """The sentences to train on."""
        return self.splits["train"]

    @property
    def hash(self) -> str:
        """One sha256 over the files' own, in the order of their names."""
        lines = "\n".join(f"{split} {digest}" for split, digest in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()


def load_corpus(config: DataConfig, model: ModelConfig | None = None) -> Corpus:
    """Read the folder that `config.path` names, for the head of `model` (unset: a table).

    Raises InputError naming file, record and reason for what cannot be used: nothing is dropped silently.
    """
    if config.path is None:
        raise InputError("no data: say which folder with --data DIR (or data.path in the configuration)")
    folder = locate(config.path, "data folder")
    if not folder.is_dir():
        raise InputError(
            f"data folder '{config.path}' is a file, which has no splits: make a folder of them with "
            f"tablert data split {config.path} --out DIR"
        )
    files, notes = _find(folder, config.train_on)
    splits, left_out = {}, {}
    seen = notes_of(config)
    for split, paths in files.items():
        if split != "types":
            before = seen.left_out
            splits[split] = tuple(s for path in paths for s in formats.iterate(path, config.format, seen))
            left_out[split] = seen.left_out - before
    notes += seen.lines()
    schema, source = _schema(files, splits)
    notes.append(source)
    given = types_file.read_rules(files["types"][0]) if "types" in files else None
    for split, paths in files.items():
        if split != "types":
            splits[split] = _usable(splits[split], schema, config.overlap, paths, notes, model)
    hashes = {split: _digest(paths) for split, paths in files.items()}
    names = {split: _joined(paths) for split, paths in files.items()}
    return Corpus(_name(folder), schema, splits, hashes, tuple(notes), names, left_out, seen, given)


def notes_of(config: DataConfig) -> formats.Notes:
    """Empty notes that read as the configuration says."""
    return formats.Notes(config.strict, config.text_field)


def read_file(
    path: Path,
    schema: Schema,
    policy: str = "error",
    format: str = "auto",
    model: ModelConfig | None = None,
    notes: formats.Notes | None = None,
) -> list[Sentence]:
    """One file of annotated sentences under a known schema, for evaluation. Raises InputError as `load_corpus`.

    Without `notes` a record that cannot be read is refused.
    """
    return list(_usable(formats.read(path, format, notes), schema, policy, [path], [], model))


def split_files(folder: Path) -> dict[str, Path]:
    """The file or sub-folder of each split by name, with `types` and `train_dev`; none where the folder has no splits.

    Raises InputError where two could be the same split.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        kind = _split_of(path)
        if kind is not None:
            found.setdefault(kind, []).append(path)
    for kind, paths in found.items():
        if len(paths) > 1:
            raise InputError(f"{folder}: two files could be '{kind}': {', '.join(p.name for p in paths)}; leave one")
    return {kind: paths[0] for kind, paths in found.items()}


def _find(folder: Path, train_on: str) -> tuple[dict[str, list[Path]], list[str]]:
    """Files and folders by split, and notes on the files that are not read."""
    found = {kind: [path] for kind, path in split_files(folder).items()}
    skipped = [
        path.name
        for path in sorted(folder.iterdir())
        if _split_of(path) is None
        and path.suffix.lower() in formats.ENDINGS
        and path.is_file()
        and path.name not in NO_DATA
    ]
    both = found.pop("train_dev", [])
    if train_on == "train+dev":
        parts = both or [p for kind in ("train", "dev") for p in found.get(kind, [])]
        found.pop("dev", None)
        found["train"] = parts
    elif both:
        skipped.append(f"{both[0].name} (read with --set data.train_on=train+dev)")
    if not found.get("train"):
        others = ", ".join(ending for ending in formats.ENDINGS if ending != ".json")
        raise InputError(f"{folder}: no file *train.json to train on (nor with {others}, nor a folder train)")
    return found, [f"{folder.name}: not read: {', '.join(skipped)}"] if skipped else []


def _split_of(path: Path) -> str | None:
    """The split that a file's ending and name, or a folder's name, say: BRAT and datasets have a folder a split."""
    if path.name.startswith("."):
        return None
    if path.is_dir():
        return {"validation": "dev"}.get(path.name, path.name if path.name in {"train", "dev", "test"} else None)
    stem = path.stem.lower()
    if path.suffix.lower() not in formats.ENDINGS or path.name in NO_DATA:
        return None
    if stem.endswith("train_dev"):
        return "train_dev"
    if stem.endswith("types"):
        return "types" if path.suffix == ".json" else None
    kind = next((k for k in ("train", "dev", "test", "validation") if stem.endswith(k)), None)
    return "dev" if kind == "validation" else kind


def _schema(files: Mapping[str, Sequence[Path]], splits: Mapping[str, Sequence[Sentence]]) -> tuple[Schema, str]:
    if "types" in files:
        path = files["types"][0]
        return types_file.read(path), f"label order from {path.name}"
    return Schema.infer(splits["train"]), "no *types.json: types are those of train, sorted; no relation is symmetric"


def _usable(
    sentences: Sequence[Sentence],
    schema: Schema,
    policy: str,
    paths: Sequence[Path],
    notes: list[str],
    model: ModelConfig | None,
) -> tuple[Sentence, ...]:
    name = _joined(paths)
    head, tags = model or ModelConfig(), TagSet(schema)
    scheme, form = make_scheme(head), head_spec(head).form

    def held(sentence: Sentence) -> bool:
        return not lost_to_overlap(scheme, sentence, tags)

    kept = []
    affected = 0
    for index, sentence in enumerate(sentences):
        where = f"{name}: record {index}" + (f" (orig_id {sentence.id})" if sentence.id else "")
        _check_types(sentence, schema, where)
        result = overlap.apply(sentence, policy, where, held, form)
        affected += bool(overlapping_pairs(sentence))
        kept.append(result)
    if affected:
        before, after = (sum(len(s.entities) for s in group) for group in (sentences, kept))
        ruled = f"{form} holds them" if policy == "error" else f"{policy} keeps {after} of {before} entities"
        have = "sentence has" if affected == 1 else "sentences have"
        notes.append(f"{name}: {affected} {have} overlapping entities; {ruled}")
    return tuple(kept)


def _check_types(sentence: Sentence, schema: Schema, where: str) -> None:
    for kind, known, used in (
        ("entity", schema.entity_types, sentence.entities),
        ("relation", schema.relation_types, sentence.relations),
    ):
        for item in used:
            if item.type not in known:
                raise InputError(f"{where}: unknown {kind} type '{item.type}'; the schema has {', '.join(known)}")


def _name(folder: Path) -> str:
    """The folder's name; of `scierc/spert`, which says the format alone, the name of the folder above it."""
    whole = folder.resolve()
    return whole.parent.name if whole.name in formats.NAMES else whole.name


def _joined(paths: Sequence[Path]) -> str:
    return " + ".join(path.name for path in paths)


def _digest(paths: Sequence[Path]) -> str:
    """Of the files' bytes; of a folder, of the names and bytes of all that is in it."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            if file != path:
                digest.update(file.relative_to(path).as_posix().encode() + b"\n")
            digest.update(file.read_bytes())
    return digest.hexdigest()
