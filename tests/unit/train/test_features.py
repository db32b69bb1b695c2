"""Kept word vectors: the encoder's own, computed once for all who share a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tablert_dist.model.encoder import WordEncoder, load_encoder
from tablert_dist.train.features import KeptFeatures, SubwordFeatures, WordFeatures

CPU = torch.device("cpu")
SENTENCES = [["Ada", "works"], ["Bo"], ["Acme", "near", "the", "harbour", "."]]


def test_kept_vectors_are_the_encoders(tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = load_encoder(tiny_encoder)
    encoder = WordEncoder(parts.transformer, frozen=True)
    source = SubwordFeatures(parts.tokenizer.encode(SENTENCES), parts.pad_id)
    kept = WordFeatures(encoder, source, 100, CPU, KeptFeatures(encoder, tmp_path / "features"))
    words, mask = kept.inputs([2, 0], CPU)
    assert mask.tolist() == [[True] * 5, [True, True, False, False, False]]
    for row, index in enumerate((2, 0)):
        alone = encoder(*source.inputs([index], CPU))[0]
        torch.testing.assert_close(words[row, : len(alone)], alone, atol=1e-5, rtol=1e-5)
    files = list((tmp_path / "features").iterdir())
    assert len(files) == 1, "written whole, nothing left over"
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "forward", lambda *_: pytest.fail("the encoder ran again"))
        again = WordFeatures(encoder, source, 100, CPU, KeptFeatures(encoder, tmp_path / "features"))
    assert torch.equal(again.inputs([2, 0], CPU)[0], words)


def test_other_weights_or_sentences_have_another_file(tiny_encoder: str, tmp_path: Path) -> None:
    parts = load_encoder(tiny_encoder)
    encoder = WordEncoder(parts.transformer, frozen=True)
    source = SubwordFeatures(parts.tokenizer.encode(SENTENCES), parts.pad_id)
    WordFeatures(encoder, source, 100, CPU, KeptFeatures(encoder, tmp_path))
    WordFeatures(
        encoder, SubwordFeatures(parts.tokenizer.encode(SENTENCES[:2]), 0), 100, CPU, KeptFeatures(encoder, tmp_path)
    )
    with torch.no_grad():
        next(encoder.parameters()).mul_(2)
    WordFeatures(encoder, source, 100, CPU, KeptFeatures(encoder, tmp_path))
    assert len(list(tmp_path.iterdir())) == 3
