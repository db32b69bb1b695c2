"""Kept word vectors: the encoder's own, computed once for all who share a folder."""

from __future__ import annotations

import resource
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


def test_what_cannot_be_kept_is_computed_by_each(
    tiny_encoder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No file of this process may grow beyond a kilobyte here: the write fails as on a full disk."""
    parts = load_encoder(tiny_encoder)
    encoder = WordEncoder(parts.transformer, frozen=True)
    source = SubwordFeatures(parts.tokenizer.encode(SENTENCES * 20), parts.pad_id)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        found = WordFeatures(encoder, source, 100, CPU, KeptFeatures(encoder, tmp_path / "features"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written: File too large; the vectors are kept in memory" in caplog.text
    assert list((tmp_path / "features").iterdir()) == []
    assert torch.equal(found.inputs([1], CPU)[0], WordFeatures(encoder, source, 100, CPU).inputs([1], CPU)[0])


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
