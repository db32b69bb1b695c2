"""Words that are remembered have the subwords that tokenizers gives them in the middle of a sentence."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tablert_dist.config import DataConfig
from tablert_dist.data import load_corpus
from tablert_dist.errors import InputError
from tablert_dist.storage.paths import locate
from tablert_dist.tokenization import SubwordTokenizer, seen_words

TEXT = [
    "Ada Lovelace works at Acme near Oslo , in the harbour .",
    "«Ærø»—naïve 中文 word's end …",
    "a b A B 1 22 333",
] * 3
SPECIAL = [("<s>", 0), ("</s>", 1)]
FRAME = processors.TemplateProcessing(single="<s> $A </s> </s>", special_tokens=SPECIAL)


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return trained(made, trainers.WordPieceTrainer(vocab_size=120, special_tokens=["<s>", "</s>", "<unk>"]))


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return trained(made, trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>", "<unk>"]))


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer, made.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    special = ["<s>", "</s>", "<unk>"]
    return trained(made, trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>"))


def trained(made: Tokenizer, trainer: trainers.Trainer) -> Tokenizer:
    made.train_from_iterator(TEXT, trainer)
    made.post_processor = FRAME
    return made


MADE = {"wordpiece": wordpiece, "byte level": byte_level, "unigram": unigram}


@pytest.fixture(scope="module", params=MADE)
def tokenizer(request: pytest.FixtureRequest) -> SubwordTokenizer:
    return SubwordTokenizer(MADE[request.param](), 1000)


def by_the_library(tokenizer: SubwordTokenizer, words: Sequence[str]) -> tuple[list[int], list[int], list[int]]:
    """Ids, first subwords and their numbers from one call for one sentence, words without subwords as the unknown token."""
    encoding = tokenizer.tokenizer.encode(list(words), is_pretokenized=True)
    count = [encoding.word_ids.count(n) for n in range(len(words))]
    if 0 in count:
        return by_the_library(tokenizer, [w if c else "<unk>" for w, c in zip(words, count, strict=True)])
    return encoding.ids, [encoding.word_ids.index(n) for n in range(len(words))], count


def check(tokenizer: SubwordTokenizer, sentences: Sequence[Sequence[str]]) -> None:
    for words, found in zip(sentences, tokenizer.encode(sentences), strict=True):
        assert (found.ids.tolist(), found.first.tolist(), found.count.tolist()) == by_the_library(tokenizer, words)
        assert found.ids.dtype == found.first.dtype == found.count.dtype == np.int64


WORDS = st.one_of(
    st.sampled_from(
        ["Ada", "works", "at", "Acme", ".", "\u200b", "<s>", "</s>", "Ærø", "word's", "ada", "中文", " a ", "##a"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8),
)


@given(sentences=st.lists(st.lists(WORDS, min_size=1, max_size=8), min_size=1, max_size=5))
def test_words_are_split_as_in_the_sentence(tokenizer: SubwordTokenizer, sentences: list[list[str]]) -> None:
    try:
        for words in sentences:
            _, _, count = by_the_library(tokenizer, words)
            assert all(count)
    except RecursionError:
        return  # a tokenizer that gives nothing for its unknown token either
    check(tokenizer, sentences)
    check(tokenizer, sentences)


def test_the_packaged_encoders_tokenizer_on_conll04_and_scierc(data_root: Path, minilm: str) -> None:
    tokenizer = SubwordTokenizer(Tokenizer.from_file(str(locate(minilm, "encoder") / "tokenizer.json")), 512)
    for corpus in ("conll04", "scierc/spert"):
        loaded = load_corpus(DataConfig(path=str(data_root / corpus), overlap="keep-gold"))
        check(tokenizer, [s.words for s in loaded.train[:300]])
    assert tokenizer._seen is not None and tokenizer._seen.frame == ((101,), (102,))


def test_memory_is_bounded_and_threads_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_words, "MOST", 50)
    tokenizer = SubwordTokenizer(wordpiece(), 1000)
    rng = np.random.default_rng(0)
    batches = [[[f"w{n}" for n in rng.integers(0, 200, 20)] for _ in range(5)] for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: check(tokenizer, batch), batches))
    check(tokenizer, [["x" * 10_000, "works"]])
    assert tokenizer._seen is not None and 0 < len(tokenizer._seen._words) <= 50
    assert max(map(len, tokenizer._seen._words)) <= seen_words.LONGEST
    assert len(pickle.dumps(tokenizer._seen)) < len(pickle.dumps(tokenizer.tokenizer)) + 1000, "no words travel"


def test_a_tokenizer_that_splits_at_random_is_asked_every_time() -> None:
    made = byte_level()
    made.model.dropout = 0.5
    tokenizer = SubwordTokenizer(made, 1000)
    assert len({tuple(tokenizer.encode([["harbour", "Lovelace"]])[0].ids.tolist()) for _ in range(50)}) > 1


def test_what_cannot_be_encoded_is_one_sentence() -> None:
    tokenizer = SubwordTokenizer(wordpiece(), 1000)
    with pytest.raises(InputError, match="sentence 1 has no words"):
        tokenizer.encode([["a"], []])
    for word in (3, ["a"], "\ud800"):
        with pytest.raises(InputError, match=r"^the tokenizer cannot split the text: [^\n]+$"):
            tokenizer.encode([["a", word]])  # type: ignore[list-item]
    assert tokenizer.encode([]) == []
    strict = wordpiece()
    strict.model.unk_token = "[gone]"
    for made, remembers in ((wordpiece(), True), (strict, False)):
        silent = SubwordTokenizer(made, 1000)
        silent._unknown = None
        with pytest.raises(InputError, match=r"sentence 1: the tokenizer gives no subword for the word '\\u200b'"):
            silent.encode([["a"], ["b", "\u200b"]])
        assert silent._seen is not None and (silent._seen.frame is not None) == remembers
        check(silent, [["a", "works"]])
