"""What was found in a text, with character offsets, and how much of the text was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from tablert_dist.errors import InputError
from tablert_dist.heads.table_decoding import triple_probability
from tablert_dist.schema import Entity, Relation, Sentence

if TYPE_CHECKING:
    import pandas


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
class FoundEntity:
    """An entity in a text: characters `start … end - 1`, and the probability of its tags in 0–1."""

    text: str
    start: int
    end: int
    type: str
    probability: float | None = None


@dataclass(frozen=True)
class FoundRelation:
    """A relation between two entities of one text.

    `probability` is that of the relation given its entities; `triple_probability` that of all three together (0–1).
    """

    head: FoundEntity
    tail: FoundEntity
    type: str
    probability: float | None = None
    triple_probability: float | None = None


@dataclass(frozen=True)
class Extraction:
    """What a model extracted from one text: `entities`, `relations`, `triples()`, `to_dataframe()`, `to_json()`.

    `sentence` has the same by words; `offsets[n]` are word n's characters, half-open. `read` says how much of the text
    the model has seen.

    Example:
        >>> found = predictor("Mira Holt works for Ostrava Looms.")
        >>> [(e.text, e.type) for e in found.entities]
        [('Mira Holt', 'Person'), ('Ostrava Looms', 'Organization')]
        >>> found.triples()
        [('Mira Holt', 'works_for', 'Ostrava Looms')]
    """

    text: str
    sentence: Sentence
    offsets: tuple[tuple[int, int], ...]
    read: Read | None = None
    symmetric: frozenset[str] = frozenset()
    """Relation types without a direction."""

    @cached_property
    def entities(self) -> tuple[FoundEntity, ...]:
        """The entities, in the order of `sentence.entities`; made when they are first asked for."""
        return tuple(self._entity(entity) for entity in self.sentence.entities)

    @cached_property
    def relations(self) -> tuple[FoundRelation, ...]:
        """The relations, in the order of `sentence.relations`; made when they are first asked for."""
        return tuple(
            FoundRelation(self._entity(r.head), self._entity(r.tail), r.type, r.probability, triple_probability(r))
            for r in self.sentence.relations
        )

    def triples(self) -> list[tuple[str, str, str]]:
        """(head text, relation type, tail text)."""
        return [(r.head.text, r.type, r.tail.text) for r in self.relations]

    def to_json(self) -> dict[str, Any]:
        """Entities with `start`, `end` (characters), `text`, `type`, `probability`; relations index them."""
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
        # Of the sentence's, not of `self.entities`: objects that nobody else asks for would cost as much as the rest.
        entities = []
        for e in self.sentence.entities:
            start, end = self.offsets[e.start][0], self.offsets[e.end - 1][1]
            text = self.text[start:end]
            entities.append({"start": start, "end": end, "text": text, "type": e.type, "probability": e.probability})
        read = self.read or Read(len(self.offsets))
        return {
            "text": self.text,
            "entities": entities,
            "relations": relations,
            # Not asdict, which copies each value and takes as long as all the rest.
            **vars(read),
            "complete": read.complete,
        }

    def to_dataframe(self, of: Literal["relations", "entities"] = "relations") -> pandas.DataFrame:
        """A pandas DataFrame with a row for each relation, or each entity. Raises InputError where pandas is missing.

        Columns of relations: head, head_type, head_start, head_end, relation, tail, tail_type, tail_start, tail_end,
        probability, triple_probability; of entities: text, start, end, type, probability.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise InputError("to_dataframe needs pandas: pip install pandas") from None
        if of == "entities":
            return pandas.DataFrame([asdict(e) for e in self.entities], columns=[f.name for f in fields(FoundEntity)])
        rows = [
            {
                **_ends("head", r.head),
                "relation": r.type,
                **_ends("tail", r.tail),
                "probability": r.probability,
                "triple_probability": r.triple_probability,
            }
            for r in self.relations
        ]
        sides = [[side, f"{side}_type", f"{side}_start", f"{side}_end"] for side in ("head", "tail")]
        columns = [*sides[0], "relation", *sides[1], "probability", "triple_probability"]
        return pandas.DataFrame(rows, columns=columns)

    def _entity(self, entity: Entity) -> FoundEntity:
        start, end = self.offsets[entity.start][0], self.offsets[entity.end - 1][1]
        return FoundEntity(self.text[start:end], start, end, entity.type, entity.probability)

    def _repr_html_(self) -> str:
        """The text with its entities and arcs, for a notebook: a page in a frame that loads nothing."""
        from tablert_dist.pages.drawing.frame import framed

        return framed(self.to_json(), self.symmetric)


def _ends(side: str, entity: FoundEntity) -> dict[str, Any]:
    return {side: entity.text, f"{side}_type": entity.type, f"{side}_start": entity.start, f"{side}_end": entity.end}


def joined(sentences: Sequence[Sentence]) -> Sentence:
    """The sentences of a text as one: word spans count on."""
    if len(sentences) == 1:
        return sentences[0]
    words: list[str] = []
    entities: list[Entity] = []
    relations: list[Relation] = []
    for sentence in sentences:
        at = len(words)
        moved = {e: Entity(e.start + at, e.end + at, e.type, e.probability) for e in sentence.entities}
        words += sentence.words
        entities += moved.values()
        relations += [Relation(moved[r.head], moved[r.tail], r.type, r.probability) for r in sentence.relations]
    return Sentence(tuple(words), tuple(entities), tuple(relations))
