"""Small real parts for tests: an encoder folder, random annotated sentences, a corpus folder."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tablert_dist.schema import Entity, Relation, Schema, Sentence

SCHEMA = Schema(("Per", "Org", "Loc"), ("works", "near"), frozenset({"near"}))
WORDS = ["Ada", "Bo", "works", "at", "Acme", "Oslo", "near", "the", "harbour", ",", ".", "Tromsø"]


def write_tiny_encoder(folder: Path, limit: int = 64, dropout: float = 0.1, width: int = 32) -> Path:
    """A random 2-layer BERT, 32 wide by default, whose WordPiece vocabulary spells every ASCII word."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    tokens += sorted({w.lower() for w in WORDS if w.isascii()} - set(tokens))
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=limit,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BertModel(config, add_pooling_layer=True).save_pretrained(folder)
    return folder


def write_tiny_checkpoint(encoder: str, folder: Path, **overrides: Any) -> Path:
    """A tiny model whose random weights are scaled up, so that it finds many entities and relations; parts of it that add
    nothing at the start do.

    `overrides`: keys of the configuration (dots as double underscores).
    """
    import torch

    from tablert_dist.config import load_config, public_config
    from tablert_dist.model import build_model
    from tablert_dist.model.checkpoint import ModelCard, save_checkpoint
    from tablert_dist.model.encoder import load_encoder
    from tablert_dist.tags import TagSet

    base = {"model.encoder": encoder, "model.cnn.hidden": [16, 8], "model.none_bias": 0.0}
    config = load_config(None, base | {key.replace("__", "."): value for key, value in overrides.items()})
    torch.manual_seed(4)
    parts = load_encoder(encoder)
    model = build_model(config.model, parts, TagSet(SCHEMA)).eval()
    with torch.no_grad():
        for name, weight in model.head.named_parameters():
            if name.startswith("bilinear") and not weight.any():
                weight.normal_(std=0.5)
            weight.mul_(1.0 if name.startswith("entity") else 2.5)
    card = ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {"epoch": 1})
    save_checkpoint(folder, model, card)
    return folder


@st.composite
def sentences(draw: st.DrawFn, schema: Schema = SCHEMA, max_words: int = 12) -> Sentence:
    """Sentences that a table can hold: no overlap, one relation a pair, none of an entity with itself."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=max_words))
    cuts = draw(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", *schema.entity_types])), max_size=max_words))
    entities = []
    at = 0
    for length, kind in cuts:
        if at + length > len(words):
            break
        if kind:
            entities.append(Entity(at, at + length, kind))
        at += length
    relations = []
    for i, first in enumerate(entities):
        for second in entities[i + 1 :]:
            kind = draw(st.sampled_from(["", *schema.relation_types]))
            if kind:
                ends = (first, second) if kind in schema.symmetric or draw(st.booleans()) else (second, first)
                relations.append(Relation(*ends, kind))
    order = draw(st.permutations(entities))
    return Sentence(tuple(words), tuple(order), tuple(relations))


def write_corpus(folder: Path, records: dict[str, list[dict[str, object]]]) -> Path:
    """A corpus folder in SpERT's JSON, by split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, items in records.items():
        (folder / f"tiny_{split}.json").write_text(json.dumps(items), encoding="utf-8")
    return folder


def tiny_records(count: int = 12) -> list[dict[str, object]]:
    """Sentences of differing length about who works where."""
    records: list[dict[str, object]] = []
    for i in range(count):
        tokens = ["Ada", "Bo"][: 1 + i % 2] + ["works", "at", "Acme"] + ["near", "Oslo"] * (i % 4) + ["."]
        n = 1 + i % 2
        entities = [{"start": 0, "end": n, "type": "Per"}, {"start": n + 2, "end": n + 3, "type": "Org"}]
        relations = [{"head": 0, "tail": 1, "type": "works"}]
        if i % 4:
            entities.append({"start": n + 4, "end": n + 5, "type": "Loc"})
            relations.append({"head": 2, "tail": 1, "type": "near"})
        records.append({"tokens": tokens, "entities": entities, "relations": relations, "orig_id": i})
    return records
