"""A model as a component of a spaCy pipeline: `nlp.add_pipe("tablert", config={"model": "bundle"})`."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span
from spacy.util import filter_spans, minibatch

from tablert_dist.errors import InputError
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.load import load
from tablert_dist.inference.predictor import Predictor

KEY = "tablert"
"""Of the entities in `doc.spans`, and of what was found in `doc.user_data`."""


@dataclass(frozen=True)
class SpacyRelation:
    """A relation between two spans of a document; probabilities in 0–1."""

    head: Span
    tail: Span
    type: str
    probability: float | None
    triple_probability: float | None


class TablertComponent(Pipe):  # type: ignore[misc]
    """Sets `doc.spans["tablert"]` (all entities), `doc.ents` and `doc._.relations`.

    A model is loaded when the first document comes: a pipeline on disk has its own, whatever its `config` says.
    Offsets are those of the text. Where spaCy's tokens are longer than an entity, its span is that of the tokens, and
    `doc._.tablert`, what `tablert predict` gives, has the exact characters.
    """

    def __init__(self, name: str, model: str | None, ents: bool, overwrite_ents: bool, predict: dict[str, Any]) -> None:
        self.name, self._model, self._ents, self._overwrite, self._predict = name, model, ents, overwrite_ents, predict
        self._own: Path | None = None
        self._predictor: Predictor | None = None

    @property
    def predictor(self) -> Predictor:
        """The model. Raises InputError where there is none, or none can be loaded."""
        if self._predictor is None:
            model = self._own or self._model
            if model is None:
                raise InputError('the component "tablert" has no model: give config={"model": "bundle"}')
            self._predictor = load(model, **self._predict)
        return self._predictor

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types of the model, once it is loaded: spaCy asks before a pipeline on disk has got its own."""
        return self._predictor.entity_types if self._predictor else ()

    def __call__(self, doc: Doc) -> Doc:
        """The document with what was found. Raises InputError where its text cannot be read."""
        return self._annotate(doc, self.predictor.predict(doc.text))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """The documents in their order, read a batch at a time; one that cannot be read goes to spaCy's error handler."""
        handler = self.get_error_handler()
        for docs in minibatch(stream, size=batch_size):
            found = self.predictor.attempt([doc.text for doc in docs])
            for doc, one in zip(docs, found, strict=True):
                if isinstance(one, InputError):
                    handler(self.name, self, [doc], one)
                else:
                    yield self._annotate(doc, one)

    def _annotate(self, doc: Doc, found: Extraction) -> Doc:
        # Plain data: a document is written and read back with it.
        doc.user_data[KEY] = {key: value for key, value in found.to_json().items() if key != "text"}
        spans = [span for span in _spans(doc) if span is not None]
        doc.spans[KEY] = spans
        if self._ents:
            before = [] if self._overwrite else list(doc.ents)
            taken = {i for span in before for i in range(span.start, span.end)}
            doc.ents = [*before, *filter_spans(s for s in spans if taken.isdisjoint(range(s.start, s.end)))]
        return doc

    def to_disk(self, path: str | Path, *, exclude: Sequence[str] = ()) -> None:
        """Copy the model into the pipeline's folder."""
        from tablert_dist.config import load_config
        from tablert_dist.inference.named import find_model

        model = self._own or self._model
        if model is None:
            raise InputError('the component "tablert" has no model to write: give config={"model": "bundle"}')
        found = self._own or find_model(str(model), load_config(None, {}))
        target = Path(path)
        target.mkdir(parents=True, exist_ok=True)
        # A pipeline that is written where it was read from has its model there.
        if found.is_dir() and found.resolve() != (target / "model").resolve():
            shutil.rmtree(target / "model", ignore_errors=True)
            shutil.copytree(found, target / "model", ignore=shutil.ignore_patterns("trainer.pt"))
        elif found.is_file() and found.resolve() != (target / "model.zip").resolve():
            shutil.copyfile(found, target / "model.zip")

    def from_disk(self, path: str | Path, *, exclude: Sequence[str] = ()) -> TablertComponent:
        """Take the model from the pipeline's folder, when the first document comes."""
        own = [Path(path) / name for name in ("model", "model.zip") if (Path(path) / name).exists()]
        if not own:
            raise InputError(f"{path} has no model: write the pipeline again with nlp.to_disk")
        self._own, self._predictor = own[0], None
        return self

    def __getstate__(self) -> dict[str, Any]:
        """For another process, which loads the model itself."""
        return {**self.__dict__, "_predictor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __reduce__(self) -> tuple[Any, ...]:
        made = (self.name, self._model, self._ents, self._overwrite, self._predict)
        return type(self), made, self.__getstate__()


@Language.factory(  # type: ignore[untyped-decorator]
    "tablert",
    assigns=["doc.ents", "doc.spans", "doc._.relations"],
    default_config={"model": None, "ents": True, "overwrite_ents": True, "predict": {}},
)
def make_component(
    nlp: Language, name: str, model: str | None, ents: bool, overwrite_ents: bool, predict: dict[str, Any]
) -> TablertComponent:
    """The factory behind `nlp.add_pipe("tablert", config=…)`.

    model: as `tablert_dist.load` takes it. ents: set `doc.ents`. overwrite_ents: in the place of what is there; False fills
    the gaps. predict: other arguments of `load`, such as `{"min_relation": 0.5}`.

    Example:
        >>> import spacy
        >>> nlp = spacy.blank("en")
        >>> _ = nlp.add_pipe("tablert", config={"model": "bundle"})
        >>> [(r.head.text, r.type, r.tail.text) for r in nlp("Mira Holt works for Ostrava Looms.")._.relations]
        [('Mira Holt', 'works_for', 'Ostrava Looms')]
    """
    return TablertComponent(name, model, ents, overwrite_ents, predict)


def _spans(doc: Doc) -> list[Span | None]:
    """Of each entity the shortest span of tokens that holds it; None where none does."""
    return [
        doc.char_span(e["start"], e["end"], label=e["type"], alignment_mode="expand")
        for e in doc.user_data.get(KEY, {}).get("entities", [])
    ]


def _relations(doc: Doc) -> list[SpacyRelation]:
    spans = _spans(doc)
    return [
        SpacyRelation(head, tail, r["type"], r["probability"], r["triple_probability"])
        for r in doc.user_data.get(KEY, {}).get("relations", [])
        if (head := spans[r["head"]]) is not None and (tail := spans[r["tail"]]) is not None
    ]


def arcs(doc: Doc) -> dict[str, Any]:
    """What `displacy.render(arcs(doc), style="dep", manual=True)` draws: a word for each token, an arc for each relation.

    An arc joins the last tokens of the two entities, as the table does.
    """
    types = {i: span.label_ for span in _spans(doc) if span is not None for i in range(span.start, span.end)}
    words = [{"text": token.text, "tag": types.get(token.i, "")} for token in doc]
    drawn = []
    for relation in _relations(doc):
        head, tail = relation.head.end - 1, relation.tail.end - 1
        if head != tail:
            way = "right" if head < tail else "left"
            drawn.append({"start": min(head, tail), "end": max(head, tail), "label": relation.type, "dir": way})
    return {"words": words, "arcs": drawn}


Doc.set_extension("relations", getter=_relations, force=True)
Doc.set_extension("tablert", getter=lambda doc: doc.user_data.get(KEY), force=True)
