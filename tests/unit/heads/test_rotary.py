"""Rotary positions and label embeddings in the bilinear scores: what those depend on, and that all engines compute the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.graph import export_bundle
from tablert_dist.config import ExportConfig, load_config
from tablert_dist.errors import InputError
from tablert_dist.heads.bilinear import Bilinear, turned
from tablert_dist.heads.cnn.module import TableHead
from tablert_dist.inference.predictor import Predictor
from tests.support.tiny import write_tiny_checkpoint


def test_a_place_turns_each_pair_of_numbers_by_its_angle() -> None:
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    found = turned(x)
    for n in range(9):
        for d in range(3):
            pair = torch.complex(x[:, n, d], x[:, n, d + 3]) * torch.exp(torch.tensor(1j * n * 10_000 ** (-2 * d / 6)))
            torch.testing.assert_close(torch.complex(found[:, n, d], found[:, n, d + 3]), pair, atol=1e-6, rtol=1e-6)


def test_scores_depend_on_the_words_their_distance_and_their_order_alone() -> None:
    torch.manual_seed(0)
    part = Bilinear(5, 3, 8, rotary=True)
    a, b = torch.randn(5), torch.randn(5)
    words = torch.randn(1, 12, 5)
    words[0, 2] = words[0, 6] = a
    words[0, 5] = words[0, 9] = b
    with torch.no_grad():
        scores = part(words, words)[0]
    torch.testing.assert_close(scores[2, 5], scores[6, 9], atol=1e-4, rtol=1e-4)
    assert (scores[2, 5] - scores[2, 9]).abs().max() > 0.01, "another distance"
    assert (scores[2, 5] - scores[5, 2]).abs().max() > 0.01, "another order"


def test_a_sentences_scores_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    head = TableHead(6, 9, 5, [8], bilinear=4, rotary=True, dropout=0.0).eval()
    words, mask = torch.randn(2, 7, 6), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    with torch.no_grad():
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
        torch.testing.assert_close(
            head(words, mask)[1][1, :4, :4], head(words[1:, :4], mask[1:, :4])[1][0], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("bilinear", [0, 7])
def test_without_pairs_to_turn_it_is_refused(bilinear: int) -> None:
    with pytest.raises(InputError, match=rf"even width such as 64, not {bilinear}"):
        load_config(None, {"model.cnn.bilinear": bilinear, "model.cnn.rotary": True})


def test_the_exported_graph_computes_the_same_at_every_length(tiny_encoder: str, tmp_path: Path) -> None:
    options = {"model__cnn__bilinear": 4, "model__cnn__rotary": True, "model__cnn__label_width": 3}
    checkpoint = write_tiny_checkpoint(tiny_encoder, tmp_path / "checkpoint", **options)
    report = export_bundle(checkpoint, tmp_path / "bundle", ExportConfig())
    assert not report.failures
    torch_reads, onnx_reads = (Predictor.load(tmp_path / name) for name in ("checkpoint", "bundle"))
    texts = [" ".join(["Ada works at Acme near Oslo ,"] * n) for n in (1, 2, 5)]
    for first, second in zip(torch_reads.predict(texts), onnx_reads.predict(texts), strict=True):
        assert first.triples() == second.triples() and first.triples()
        for one, other in zip(first.relations, second.relations, strict=True):
            assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_with_label_embeddings_a_relation_depends_on_the_words_tags_and_tags_learn_from_relations() -> None:
    torch.manual_seed(0)
    head = TableHead(6, 9, 5, [8], bilinear=4, rotary=True, label_width=3, dropout=0.0)
    words, mask = torch.randn(1, 5, 6), torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        assert head.bilinear is not None and head.labels is not None
        torch.nn.init.normal_(head.bilinear.column.weight)
    entity, before = head(words, mask)
    plain = head.table(words, mask)[0]
    labels = head.labels(entity.softmax(-1))
    read = torch.cat([words, labels], -1)
    torch.testing.assert_close(before, plain + head.bilinear(read, read), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(entity, head.entity(torch.diagonal(plain, dim1=1, dim2=2).transpose(1, 2)))
    before[0, 0, 3].sum().backward()
    assert head.entity.weight.grad is not None and head.entity.weight.grad.abs().sum() > 0
    with torch.no_grad():
        head.entity.bias[2] += 3.0
        assert (head(words, mask)[1] - before).abs().max() > 0.01


def test_label_embeddings_need_the_score_that_reads_them() -> None:
    with pytest.raises(InputError, match="label_width is what the bilinear score reads"):
        load_config(None, {"model.cnn.label_width": 32})
