"""Each head's own options, and the keys that they had before they got sections of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from tablert_dist.config.section import PositiveInt, Section

Head = Literal["cnn", "tablert", "spert"]
"""The heads by name; each has a section below and an entry in `tablert_dist/heads/registry.py`."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd (1, 3, 5, …)")
    return value


class CnnConfig(Section):
    """TablERT-CNN (paper §3.2, Table 5)."""

    kernel_size: Annotated[PositiveInt, AfterValidator(_odd)] = 3
    """Side K of the square kernel, in words; odd."""
    hidden: tuple[PositiveInt, ...] = (512,)
    """Channels of each hidden convolution; the number of layers is one more."""
    distance: bool = False
    """Learn for each relation tag a bias by the distance of the two words (the paper does not)."""
    bilinear: Annotated[int, Field(ge=0)] = 0
    """Width of a bilinear score of the two words, added to each relation tag's logit; 0 = none (the paper)."""
    rotary: bool = False
    """Let that score depend on how far apart the words are and on which comes first, by rotary positions (RoFormer, Su et al.
    2021)."""
    label_width: Annotated[int, Field(ge=0)] = 0
    """Width of the embedding of a word's entity tags, as probable as they are, which that score reads beside the word's vector
    (TablERT's label embeddings, without choosing a tag); 0 = none (the paper)."""
    entity_from: Literal["relation", "hidden"] = "relation"
    """What entity tags are read from: a word's relation logits (the paper), which are few where there are few relation types,
    or the channels of the last hidden layer."""
    decoding: Literal["argmax", "viterbi"] = "argmax"
    """Entity tags word by word (the paper), or the most probable well-formed BILOU sequence."""

    @model_validator(mode="after")
    def _parts_of_a_bilinear_score(self) -> CnnConfig:
        if self.label_width and not self.bilinear:
            raise ValueError("label_width is what the bilinear score reads: set bilinear to its width, such as 64")
        if self.rotary and (self.bilinear == 0 or self.bilinear % 2):
            raise ValueError(
                f"rotary turns pairs of numbers: set bilinear to an even width such as 64, not {self.bilinear}"
            )
        return self


class TablertConfig(Section):
    """TablERT: tags from word to word, bilinear relations (paper §2.2)."""

    label_width: PositiveInt = 100
    """Width of a tag's embedding."""
    relation_width: PositiveInt = 64
    """Width of the linear maps whose product is a relation tag's score."""
    span: Literal["previous", "open"] = "previous"
    """What a tag is told of the words before: the previous word, with all of the entity that it belongs to (the authors), or
    the entity that is still open, and nothing where none is."""
    scaled: bool = True
    """Divide a relation tag's score by the root of that width."""


class SpertConfig(Section):
    """SpERT: spans, and pairs of them (Eberts and Ulges 2020)."""

    max_span: PositiveInt = 10
    """Words of the longest span that is read."""
    width_embedding: PositiveInt = 25
    """Width of the embedding of a span's length."""
    negatives: PositiveInt = 100
    """Spans without a type, and pairs without a relation, that a training sentence gets."""
    relation_threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.4
    """Least probability of a relation."""
    relation_loss: Literal["mean", "sum"] = "mean"
    """A pair's loss over the relation types: their mean (the authors), or their sum, which weighs relations by how many types
    there are."""


MOVED: Mapping[str, tuple[str, ...]] = {
    "cnn": ("kernel_size", "hidden", "distance", "bilinear", "decoding"),
    "tablert": ("label_width", "relation_width"),
    "spert": ("max_span", "width_embedding", "negatives", "relation_threshold"),
}
"""Options that lay in `model` itself before the heads had sections."""
RENAMED = {f"model.{key}": f"model.{head}.{key}" for head, keys in MOVED.items() for key in keys}


class HeadOptions(Section):
    """A section for each head; a head reads its own alone."""

    cnn: CnnConfig = CnnConfig()
    tablert: TablertConfig = TablertConfig()
    spert: SpertConfig = SpertConfig()

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, tree: Any) -> Any:
        """Take a checkpoint's, bundle's or run's record that was written before the sections."""
        if not isinstance(tree, Mapping):
            return tree
        new = dict(tree)
        for head, keys in MOVED.items():
            old = {key: new.pop(key) for key in keys if key in new}
            if old:
                section = new.get(head, {})
                section = section.model_dump() if isinstance(section, Section) else section
                # Something else than a section is left to the validation, which says so.
                new[head] = {**section, **old} if isinstance(section, Mapping) else section
        return new
