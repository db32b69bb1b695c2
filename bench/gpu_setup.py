"""What `bench.gpu` measures: models of two sizes with seeded random weights, on a corpus's own subwords. No files needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bench import sources
from bench.sources import BERT_BASE_SHAPE, TINY_SHAPE
from tablert_dist.batching import training_batches
from tablert_dist.config import Config, load_config
from tablert_dist.data import Corpus, load_corpus
from tablert_dist.model import build_model
from tablert_dist.model.encoder import EncoderParts
from tablert_dist.schema import Sentence
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer
from tablert_dist.train.context import Examples
from tablert_dist.train.worker import Prepared, subwords_of

SHAPES: dict[str, dict[str, int]] = {
    "base": sources.SHAPES[BERT_BASE_SHAPE],
    "small": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "tiny": sources.SHAPES[TINY_SHAPE],
    "narrow": {"hidden_size": 48, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 96},
}
"""What differs from BERT-base: 12 layers, 768 wide. `narrow` has its operators, but costs a CPU little."""
VOCABULARY = 30_522
"""BERT's: the word embeddings are as large, whatever the corpus uses of them."""
WORDS, PIECES, CHUNK = 4_800, 4_000, 4
"""Words and pieces that the tokenizer knows, and letters of a piece: CoNLL04 then has 1.24 subwords a word, special tokens
included, as with BERT's own vocabulary."""


@dataclass(frozen=True)
class Setup(Prepared):
    """A model with what it is trained on, and how."""

    train: Examples
    config: Config

    def batches(self, size: int, count: int, bucket: bool, epoch: int = 0) -> list[list[int]]:
        """Return the training batches of an epoch, at most `count`."""
        return training_batches(self.train.features.lengths, size, bucket, 1, epoch)[:count]


def setup(shape: str, data: str, dropout: float | None = None, head: str = "conll04", **changes: Any) -> Setup:
    """Return a model of `shape`, the same weights at every call, and the corpus in `data`.

    `dropout`: of the encoder and the head; None: their own. `head`: a preset; `changes` to it by dotted key.
    """
    overrides = {"data.path": data, **changes} | ({} if dropout is None else {"model.dropout": dropout})
    config = load_config(head, overrides)
    corpus, tokenizer = read(data)
    tags, parts = TagSet(corpus.schema), seeded_parts(shape, tokenizer, dropout)
    model = build_model(config.model, parts, tags)
    train = Examples(corpus.train, subwords_of(model, parts, corpus.train))
    return Setup(corpus, tags, parts, model, train, config)


@cache
def read(data: str) -> tuple[Corpus, SubwordTokenizer]:
    """Return the corpus and a tokenizer of its training sentences, made once."""
    corpus = load_corpus(load_config(None, {"data.path": data}).data)
    return corpus, learned_tokenizer(corpus.train)


def seeded_parts(shape: str, tokenizer: SubwordTokenizer, dropout: float | None = None) -> EncoderParts:
    """Return a BERT of `shape` with seeded weights, behind a tokenizer."""
    from transformers import BertConfig, BertModel

    rates = {} if dropout is None else {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    torch.manual_seed(0)
    transformer = BertModel(BertConfig(vocab_size=VOCABULARY, **SHAPES[shape], **rates), add_pooling_layer=False)
    assert isinstance(transformer, torch.nn.Module)
    return EncoderParts(transformer, tokenizer, 0)


def learned_tokenizer(sentences: Sequence[Sentence]) -> SubwordTokenizer:
    """Return a WordPiece tokenizer of the sentences' frequent words and, for the others, pieces of four letters.

    The same sentences give the same one: tokenizers' own trainer does not.
    """
    words = Counter(word.lower() for sentence in sentences for word in sentence.words)
    pieces: Counter[str] = Counter()
    for word, times in words.items():
        for start in range(0, len(word), CHUNK):
            pieces[("##" if start else "") + word[start : start + CHUNK]] += times
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))[:WORDS]
    chunks = sorted(pieces, key=lambda piece: (-pieces[piece], piece))[:PIECES]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    known = dict.fromkeys([*special, *letters, *(f"##{letter}" for letter in letters), *frequent, *chunks])
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return SubwordTokenizer(tokenizer, 512)
