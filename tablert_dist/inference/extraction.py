"""What was found in a text, with character offsets, and how much of the text was read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tablert_dist.heads.table_decoding import triple_probability
from tablert_dist.schema import Sentence


@dataclass(frozen=True)
class Read:
    """How much of a text was read, and in how many pieces."""

    words: int
    words_read: int = -1
    """Fewer than `words` where a sentence was truncated."""
    sentences: int = 1
    windows: int = 0
    """Of sentences over the encoder's limit; 0 where there was none."""
    all_pairs: bool = True
    """False where two entities of one sentence shared no window, so that no relation between them was looked for."""

    def __post_init__(self) -> None:
        if self.words_read < 0:
            object.__setattr__(self, "words_read", self.words)

    @property
    def complete(self) -> bool:
        """Nothing was left out."""
        return self.words_read == self.words and self.all_pairs

    @staticmethod
    def total(parts: Iterable[Read]) -> Read:
        """Of a text made of sentences."""
        found = list(parts)
        return Read(
            sum(r.words for r in found),
            sum(r.words_read for r in found),
            len(found),
            sum(r.windows for r in found),
            all(r.all_pairs for r in found),
        )


@dataclass(frozen=True)
class Extraction:
    """What was found in one text. Word spans in `sentence`, which holds all its words; `offsets[n]` are word n's
    characters, half-open. `read` says how much of it the model has seen."""

    text: str
    sentence: Sentence
    offsets: tuple[tuple[int, int], ...]
    read: Read | None = None

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
        read = self.read or Read(len(self.offsets))
        return {
            "text": self.text,
            "entities": entities,
            "relations": relations,
            **asdict(read),
            "complete": read.complete,
        }

    def triples(self) -> list[tuple[str, str, str]]:
        """(head text, relation type, tail text)."""
        found = self.to_json()
        texts = [entity["text"] for entity in found["entities"]]
        return [(texts[r["head"]], r["type"], texts[r["tail"]]) for r in found["relations"]]
