"""Prediction: encode, engine, decode; text in, entities and relations with character offsets out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import overload

from tablert_dist.batching import evaluation_batches, halving
from tablert_dist.config import ModelConfig, PredictConfig
from tablert_dist.errors import InputError, nearest
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import Arrays, DeviceEngine, Scheme
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.constraints import Constraints
from tablert_dist.heads.sequences import softmax
from tablert_dist.heads.temperatures import NEUTRAL, Temperatures
from tablert_dist.inference.constraining import find_rules
from tablert_dist.inference.extraction import Extraction
from tablert_dist.inference.loading import LoadedModel, load_model
from tablert_dist.inference.pieces import Piece, Plan, Planner
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Floats, TagSet
from tablert_dist.tokenization import EncodedSentence, SubwordTokenizer, collate


class Predictor:
    """Reads texts or words with a model behind an engine. Make one with `tablert_dist.load` or `Predictor.load`.

    Example:
        >>> predictor = load("bundle")
        >>> predictor("Mira Holt works for Ostrava Looms.").triples()
        [('Mira Holt', 'works_for', 'Ostrava Looms')]
    """

    def __init__(
        self,
        engine: DeviceEngine,
        tokenizer: SubwordTokenizer,
        tags: TagSet,
        pad_id: int,
        config: PredictConfig | None = None,
        model: ModelConfig | None = None,
        scores: str = "",
        temperatures: Temperatures = NEUTRAL,
        constraints: Constraints | None = None,
    ) -> None:
        self.engine, self.tokenizer, self.tags, self.pad_id = engine, tokenizer, tags, pad_id
        self.config, self.model = config or PredictConfig(), model or ModelConfig()
        self.scores = scores
        self.max_cells = self.config.max_cells or engine.max_cells
        self.constraints = constraints
        """Those on record with the model; `scheme.rules` are those that it keeps."""
        rules = find_rules(self.config, constraints, tags)
        self.scheme = make_scheme(self.model, self.config.beam, temperatures, rules)
        self.planner = Planner(tokenizer, self.config, self.model.words)
        known = (*tags.schema.entity_types, *tags.schema.relation_types)
        for name in self.config.thresholds:
            if name not in known:
                raise InputError(f"predict.thresholds: the model has no type '{name}'{nearest(name, known)}")

    @staticmethod
    def load(folder: str | Path, config: PredictConfig | None = None) -> Predictor:
        """Load an exported bundle (onnxruntime, no torch) or a checkpoint (torch).

        Raises InputError where the folder is neither, a file is missing or altered, or a provider cannot be had.
        """
        config = config or PredictConfig()
        return Predictor.of(load_model(Path(folder), config), config)

    @staticmethod
    def of(loaded: LoadedModel, config: PredictConfig | None = None) -> Predictor:
        """A predictor of what `load_model` has opened."""
        tags = TagSet(loaded.schema)
        return Predictor(
            loaded.engine,
            loaded.tokenizer,
            tags,
            loaded.pad_id,
            config,
            loaded.config,
            loaded.scores,
            loaded.temperatures,
            loaded.constraints,
        )

    @staticmethod
    def from_pretrained(
        name: str | Path, config: PredictConfig | None = None, revision: str | None = None
    ) -> Predictor:
        """As `load`; what is no folder or file here is taken for a hub id and downloaded."""
        if Path(name).exists():
            return Predictor.load(name, config)
        from tablert_dist.inference.hub import download

        return Predictor.load(download(str(name), revision), config)

    def behind(self, engine: DeviceEngine, scheme: Scheme) -> Predictor:
        """This predictor with another engine, and another scheme of the same head."""
        other = copy(self)
        other.engine, other.scheme = engine, scheme
        return other

    @property
    def entity_types(self) -> tuple[str, ...]:
        """The entity types that the model knows, in the order of its tags."""
        return tuple(self.tags.schema.entity_types)

    @property
    def relation_types(self) -> tuple[str, ...]:
        """The relation types that the model knows, in the order of its tags."""
        return tuple(self.tags.schema.relation_types)

    def __repr__(self) -> str:
        known = f"entities: {', '.join(self.entity_types)}; relations: {', '.join(self.relation_types) or 'none'}"
        scores = f"; {self.scores}" if self.scores else ""
        return f"<Predictor: {self.model.head} on {self.model.encoder}; {known}{scores}>"

    @overload
    def __call__(self, texts: str) -> Extraction: ...  # type: ignore[overload-overlap]  # as for predict

    @overload
    def __call__(self, texts: Iterable[str]) -> list[Extraction]: ...

    def __call__(self, texts: str | Iterable[str]) -> Extraction | list[Extraction]:
        """As `predict`: one text gives one result, several a list."""
        return self.predict(texts)

    def pipe(self, texts: Iterable[str], batch_size: int = 64) -> Iterator[Extraction]:
        """Results of a stream of texts, in its order; no more than `batch_size` texts are held at once.

        Raises InputError as `predict` does, and for a `batch_size` below 1.
        """
        if isinstance(texts, str):
            raise InputError("pipe reads a stream of texts; for one text call the predictor: predictor(text)")
        if batch_size < 1:
            raise InputError(f"batch_size = {batch_size}: it must be 1 or more")
        stream = iter(texts)
        parts = iter(lambda: list(itertools.islice(stream, batch_size)), [])
        return itertools.chain.from_iterable(self.predict(part) for part in parts)

    @overload
    def predict(self, texts: str) -> Extraction: ...  # type: ignore[overload-overlap]  # a text is an Iterable of texts too

    @overload
    def predict(self, texts: Iterable[str]) -> list[Extraction]: ...

    def predict(self, texts: str | Iterable[str]) -> Extraction | list[Extraction]:
        """Extract from raw texts of any length, in their order, or from one text; each is read sentence by sentence.

        An empty or white text gives an empty result. Raises InputError for what is no text, and for a sentence over
        the encoder's limit where `predict.on_overflow` is `error`.
        """
        if isinstance(texts, str):
            (one,) = self.predict([texts])
            return one
        return self.read(self.planner.of_texts(list(texts)))

    def attempt(self, texts: Sequence[str]) -> list[Extraction | InputError]:
        """As `predict` of several texts; in the place of the result of one that cannot be read stands the reason."""
        try:
            return list(self.predict(texts))
        except InputError as error:
            if len(texts) == 1:
                return [error]
        return [one for text in texts for one in self.attempt([text])]

    def predict_words(self, sentences: Sequence[Sequence[str]]) -> list[Extraction]:
        """Extract from sentences given as words, in their order; the text of each is its words joined by spaces."""
        return self.read(self.planner.of_words(sentences))

    def annotate(self, sentences: Sequence[Sequence[str]]) -> list[Sentence]:
        """Entities and relations of sentences given as words, in their order; one without words comes back empty."""
        return [found.sentence for found in self.predict_words(sentences)]

    def read(self, plans: Sequence[Plan]) -> list[Extraction]:
        """Extract from texts that `planner` has cut into pieces, in their order."""
        return self.finish(plans, self.read_pieces([piece for plan in plans for piece in plan.pieces]))

    def finish(self, plans: Sequence[Plan], found: Sequence[Sentence]) -> list[Extraction]:
        """The extractions, from what was found in each piece of all plans, in their order."""
        rest = iter(found)
        symmetric, rules = self.tags.schema.symmetric, self.scheme.rules
        return [plan.finish(list(itertools.islice(rest, len(plan.pieces))), symmetric, rules) for plan in plans]

    def read_pieces(self, pieces: Sequence[Piece]) -> list[Sentence]:
        """What is found in each piece by itself, in their order; batches are within `predict.max_cells`."""
        results: list[Sentence] = [Sentence(())] * len(pieces)
        lengths = [len(piece.words) for piece in pieces]

        def decode(batch: list[int]) -> list[Sentence]:
            inputs = self.inputs([pieces[i].encoded for i in batch])
            return self.scheme.decode(self.engine, inputs, [pieces[i].words for i in batch], self.tags)

        for i, sentence in halving(decode, evaluation_batches(lengths, self.max_cells), lengths):
            results[i] = self._sure(sentence)
        return results

    def probabilities(self, words: Sequence[str]) -> tuple[Floats, Floats]:
        """Softmax of every cell of one sentence's table: entity tags [N, E], relation tags [N, N, R] (cells i < j).

        Raises InputError for a sentence over the encoder's limit, and where the model's head has no such table.
        """
        if TABLE not in self.scheme.stages:
            raise InputError(f"model.head = {self.model.head}: only TablERT-CNN has a table of all its probabilities")
        logits = self.engine.run(TABLE, self.inputs(self.tokenizer.encode([words])))
        of = self.scheme.temperatures
        return softmax(logits["entity_logits"][0], of.tags), softmax(logits["relation_logits"][0], of.cells)

    def inputs(self, batch: Sequence[EncodedSentence]) -> Arrays:
        """The arrays that the head's first stage reads."""
        return collate([self.scheme.prepare(e) for e in batch], self.pad_id).arrays()

    def _sure(self, sentence: Sentence) -> Sentence:
        """Without what is below the thresholds."""
        config = self.config
        if not (config.min_entity or config.min_relation or config.thresholds):
            return sentence

        def kept(item: Entity | Relation, least: float) -> bool:
            return (item.probability or 0.0) >= max(least, config.thresholds.get(item.type, 0.0))

        entities = tuple(e for e in sentence.entities if kept(e, config.min_entity))
        relations = tuple(
            r for r in sentence.relations if r.head in entities and r.tail in entities and kept(r, config.min_relation)
        )
        return Sentence(sentence.words, entities, relations)
