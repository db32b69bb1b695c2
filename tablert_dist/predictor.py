"""Prediction: encode, engine, decode; text in, entities and relations with character offsets out."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray
from tokenizers.pre_tokenizers import BertPreTokenizer

from tablert_dist.batching import evaluation_batches
from tablert_dist.config import PredictConfig
from tablert_dist.decoding import decode, softmax, triple_probability
from tablert_dist.encoding import SubwordTokenizer, collate
from tablert_dist.errors import InputError
from tablert_dist.schema import Sentence
from tablert_dist.tables import Floats, TableLogits, TagSet

Arrays = Mapping[str, NDArray[Any]]
TABLE = "table"
"""The one stage of TablERT-CNN: `TableInputs.arrays()` in, `entity_logits` and `relation_logits` out."""


class Engine(Protocol):
    """Runs a stage of a head on arrays; two engines can differ only in floats."""

    def run(self, stage: str, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """The stage's outputs by name."""
        ...


@dataclass(frozen=True)
class Extraction:
    """What was found in one text. Word spans in `sentence`; `offsets[n]` are word n's characters, half-open."""

    text: str
    sentence: Sentence
    offsets: tuple[tuple[int, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Entities with `start`, `end` (characters), `text`, `type`, `probability`; relations index them."""
        entities = []
        for entity in self.sentence.entities:
            start, end = self.offsets[entity.start][0], self.offsets[entity.end - 1][1]
            entities.append(
                {
                    "start": start,
                    "end": end,
                    "text": self.text[start:end],
                    "type": entity.type,
                    "probability": entity.probability,
                }
            )
        index = {entity: i for i, entity in enumerate(self.sentence.entities)}
        relations = [
            {
                "head": index[r.head],
                "tail": index[r.tail],
                "type": r.type,
                "probability": r.probability,
                "triple_probability": triple_probability(r),
            }
            for r in self.sentence.relations
        ]
        return {"text": self.text, "entities": entities, "relations": relations, "words_read": len(self.offsets)}

    def triples(self) -> list[tuple[str, str, str]]:
        """(head text, relation type, tail text)."""
        found = self.to_json()
        texts = [entity["text"] for entity in found["entities"]]
        return [(texts[r["head"]], r["type"], texts[r["tail"]]) for r in found["relations"]]


class Predictor:
    """Reads texts or words with a model behind an engine. Make one with `Predictor.load`."""

    def __init__(
        self, engine: Engine, tokenizer: SubwordTokenizer, tags: TagSet, pad_id: int, max_cells: int = 20_000
    ) -> None:
        self.engine, self.tokenizer, self.tags = engine, tokenizer, tags
        self.pad_id, self.max_cells = pad_id, max_cells

    @staticmethod
    def load(folder: str | Path, config: PredictConfig | None = None) -> Predictor:
        """Load an exported bundle (onnxruntime, no torch) or a checkpoint (torch).

        Raises InputError where the folder is neither, a file is missing or altered, or a provider cannot be had.
        """
        config = config or PredictConfig()
        path = Path(folder)
        if (path / "manifest.json").is_file():
            from export.runtime import load_bundle

            return load_bundle(path, config)
        if (path / "checkpoint.json").is_file():
            from tablert_dist.checkpoint import load_predictor

            return load_predictor(path, config)
        raise InputError(
            f"{path} is neither a bundle (manifest.json, from tablert-export --onnx) nor a checkpoint (checkpoint.json)"
        )

    def predict(self, texts: Iterable[str]) -> list[Extraction]:
        """Extract from raw texts, in their order; each is read as one sentence.

        An empty or white text gives an empty result; one over the encoder's limit raises InputError.
        """
        split = [split_words(text) for text in texts]
        predicted = self.annotate([[word for word, _ in words] for _, words in split])
        return [
            Extraction(text, sentence, tuple(span for _, span in words))
            for (text, words), sentence in zip(split, predicted, strict=True)
        ]

    def predict_words(self, sentences: Sequence[Sequence[str]]) -> list[Extraction]:
        """Extract from sentences given as words, in their order; the text of each is its words joined by spaces."""
        found = []
        for sentence in self.annotate(sentences):
            ends = list(itertools.accumulate(len(w) + 1 for w in sentence.words))
            spans = tuple((end - 1 - len(w), end - 1) for end, w in zip(ends, sentence.words, strict=True))
            found.append(Extraction(" ".join(sentence.words), sentence, spans))
        return found

    def probabilities(self, words: Sequence[str]) -> tuple[Floats, Floats]:
        """Softmax of every cell of one sentence's table: entity tags [N, E], relation tags [N, N, R] (cells i < j)."""
        logits = self._logits(self.tokenizer.encode([words]))
        return softmax(logits.entity[0]), softmax(logits.relation[0])

    def annotate(self, sentences: Sequence[Sequence[str]]) -> list[Sentence]:
        """Entities and relations of sentences given as words, in their order; one without words comes back empty."""
        results = [Sentence(tuple(words)) for words in sentences]
        filled = [i for i, words in enumerate(sentences) if words]
        encoded = self.tokenizer.encode([sentences[i] for i in filled])
        for batch in evaluation_batches([e.words for e in encoded], self.max_cells):
            logits = self._logits([encoded[i] for i in batch])
            for i, sentence in zip(
                batch, decode([sentences[filled[i]] for i in batch], logits, self.tags), strict=True
            ):
                results[filled[i]] = sentence
        return results

    def _logits(self, batch: Sequence[Any]) -> TableLogits:
        found = self.engine.run(TABLE, collate(batch, self.pad_id).arrays())
        return TableLogits(found["entity_logits"], found["relation_logits"])


def split_words(text: str) -> tuple[str, list[tuple[str, tuple[int, int]]]]:
    """The text with its words and their character spans: split on white space and around punctuation."""
    if not isinstance(text, str):
        raise InputError(f"expected a text, found {type(text).__name__}")
    found = BertPreTokenizer().pre_tokenize_str(text)
    return text, [(text[start:end], (start, end)) for _, (start, end) in found if text[start:end].strip()]
