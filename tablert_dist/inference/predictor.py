"""Prediction: encode, engine, decode; text in, entities and relations with character offsets out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from tablert_dist.batching import evaluation_batches, halving
from tablert_dist.config import ModelConfig, PredictConfig
from tablert_dist.errors import InputError, nearest
from tablert_dist.heads import make_scheme
from tablert_dist.heads.base import Arrays, DeviceEngine
from tablert_dist.heads.cnn.scheme import TABLE
from tablert_dist.heads.table_decoding import softmax
from tablert_dist.inference.extraction import Extraction, Read, joined
from tablert_dist.inference.loading import LoadedModel, load_model
from tablert_dist.schema import Entity, Relation, Sentence
from tablert_dist.tags import Floats, TagSet
from tablert_dist.text import Span, merge, split_sentences, split_words, windows
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
    ) -> None:
        self.engine, self.tokenizer, self.tags, self.pad_id = engine, tokenizer, tags, pad_id
        self.config, self.model = config or PredictConfig(), model or ModelConfig()
        self.scores = scores
        self.max_cells = self.config.max_cells or engine.max_cells
        self.scheme = make_scheme(self.model, self.config.beam)
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
        return Predictor(loaded.engine, loaded.tokenizer, tags, loaded.pad_id, config, loaded.config, loaded.scores)

    @staticmethod
    def from_pretrained(
        name: str | Path, config: PredictConfig | None = None, revision: str | None = None
    ) -> Predictor:
        """As `load`; what is no folder or file here is taken for a hub id and downloaded."""
        if Path(name).exists():
            return Predictor.load(name, config)
        from tablert_dist.inference.hub import download

        return Predictor.load(download(str(name), revision), config)

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
        given = list(texts)
        spans: list[list[list[Span]]] = [self._sentences(text) for text in given]
        words = [
            [text[start:end] for start, end in sentence]
            for text, sentences in zip(given, spans, strict=True)
            for sentence in sentences
        ]
        read = iter(self._read(words))
        found = []
        for text, sentences in zip(given, spans, strict=True):
            parts = list(itertools.islice(read, len(sentences)))
            found.append(
                Extraction(
                    text,
                    joined([sentence for sentence, _ in parts]),
                    tuple(itertools.chain.from_iterable(sentences)),
                    Read.total(about for _, about in parts),
                    self.tags.schema.symmetric,
                )
            )
        return found

    def predict_words(self, sentences: Sequence[Sequence[str]]) -> list[Extraction]:
        """Extract from sentences given as words, in their order; the text of each is its words joined by spaces."""
        found = []
        for sentence, read in self._read(sentences):
            ends = list(itertools.accumulate(len(w) + 1 for w in sentence.words))
            spans = tuple((end - 1 - len(w), end - 1) for end, w in zip(ends, sentence.words, strict=True))
            text = " ".join(sentence.words)
            found.append(Extraction(text, sentence, spans, read, self.tags.schema.symmetric))
        return found

    def annotate(self, sentences: Sequence[Sequence[str]]) -> list[Sentence]:
        """Entities and relations of sentences given as words, in their order; one without words comes back empty."""
        return [sentence for sentence, _ in self._read(sentences)]

    def probabilities(self, words: Sequence[str]) -> tuple[Floats, Floats]:
        """Softmax of every cell of one sentence's table: entity tags [N, E], relation tags [N, N, R] (cells i < j).

        Raises InputError for a sentence over the encoder's limit, and where the model's head has no such table.
        """
        if TABLE not in self.scheme.stages:
            raise InputError(f"model.head = {self.model.head}: only TablERT-CNN has a table of all its probabilities")
        logits = self.engine.run(TABLE, self._inputs(self.tokenizer.encode([words])))
        return softmax(logits["entity_logits"][0]), softmax(logits["relation_logits"][0])

    def _sentences(self, text: str) -> list[list[Span]]:
        """The text's sentences as character spans of words; those without a word are left out."""
        if not isinstance(text, str):
            raise InputError(f"expected a text, found {type(text).__name__}")
        config = self.config
        cuts = split_sentences(text, config.language) if config.split_sentences else [(0, len(text))]
        found = [[(start + a, start + b) for a, b in split_words(text[start:end])] for start, end in cuts]
        return [words for words in found if words]

    def _read(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Sentence, Read]]:
        filled = [words for words in sentences if words]
        pieces: list[list[str]] = []
        encoded: list[EncodedSentence] = []
        cuts: list[list[Span]] = []
        for words, whole in zip(filled, self.tokenizer.encode(filled, within_limit=False), strict=True):
            spans = self._windows(words, whole)
            cuts.append(spans)
            parts = [list(words[start:end]) for start, end in spans]
            pieces += parts
            encoded += [whole] if spans == [(0, len(words))] else self.tokenizer.encode(parts)
        predicted = iter(self._annotated(pieces, encoded))
        read = iter(
            self._merged(words, spans, list(itertools.islice(predicted, len(spans))))
            for words, spans in zip(filled, cuts, strict=True)
        )
        return [next(read) if words else (Sentence(tuple(words)), Read(0, sentences=0)) for words in sentences]

    def _windows(self, words: Sequence[str], whole: EncodedSentence) -> list[Span]:
        if len(whole.ids) <= self.tokenizer.limit:
            return [(0, len(words))]
        if self.config.on_overflow == "error":
            raise InputError(
                f"a sentence of {len(words)} words is {len(whole.ids)} subwords, over the encoder's limit of "
                f"{self.tokenizer.limit}: '{' '.join(words)[:60]} …'; predict.on_overflow = window reads it in pieces"
            )
        special = len(whole.ids) - int(whole.count.sum())
        spans = windows(whole.count, self.tokenizer.limit - special)
        return spans if self.config.on_overflow == "window" else spans[:1]

    def _merged(self, words: Sequence[str], spans: Sequence[Span], found: Sequence[Sentence]) -> tuple[Sentence, Read]:
        if len(spans) > 1:
            merged = merge(words, spans, found)
            return merged.sentence, Read(len(words), windows=len(spans), all_pairs=merged.all_pairs)
        first = found[0]
        return Sentence(tuple(words), first.entities, first.relations), Read(len(words), spans[0][1])

    def _annotated(self, sentences: Sequence[Sequence[str]], encoded: Sequence[EncodedSentence]) -> list[Sentence]:
        results: list[Sentence] = [Sentence(())] * len(sentences)
        lengths = [e.words for e in encoded]

        def decode(batch: list[int]) -> list[Sentence]:
            inputs = self._inputs([encoded[i] for i in batch])
            return self.scheme.decode(self.engine, inputs, [sentences[i] for i in batch], self.tags)

        for i, sentence in halving(decode, evaluation_batches(lengths, self.max_cells), lengths):
            results[i] = self._sure(sentence)
        return results

    def _inputs(self, batch: Sequence[EncodedSentence]) -> Arrays:
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
