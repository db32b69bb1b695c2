"""The head against a dense nn.Conv2d stack on each sentence alone (docs/concepts.md#table-and-convolutions), and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tablert_dist.cpu import strips, table_by_sentence
from tablert_dist.heads.cnn.module import TableHead
from tablert_dist.model.encoder import WordEncoder, load_encoder, pool_words

WIDTH, E, R = 6, 5, 3


def make_head(kernel: int, layers: int, dtype: torch.dtype, entity_from: str = "relation") -> TableHead:
    torch.manual_seed(kernel * 10 + layers)
    hidden = [8, 7, 6][: layers - 1]
    return TableHead(WIDTH, E, R, hidden, kernel, dropout=0.0, entity_from=entity_from).to(dtype)


class DenseHead(nn.Module):
    """The oracle: the N × N × 2H table, then plain convolutions, one sentence at a time, sharing no code."""

    def __init__(self, head: TableHead) -> None:
        super().__init__()
        weights = [(head.pair.dense_weight(), head.pair.bias)]
        weights += [(layer.weight, layer.bias) for layer in head.middle]
        if head.last is not None:
            weights.append((head.last.dense_weight(), head.last.bias))
        self.layers = nn.ModuleList()
        for weight, bias in weights:
            outputs, inputs, side, _ = weight.shape
            layer = nn.Conv2d(inputs, outputs, side, padding=side // 2, dtype=weight.dtype)
            with torch.no_grad():
                layer.weight.copy_(weight)
                layer.bias.copy_(bias)
            self.layers.append(layer)
        self.from_hidden = head.from_hidden
        self.entity = nn.Linear(head.entity.in_features, E, dtype=head.entity.weight.dtype)
        self.entity.load_state_dict(head.entity.state_dict())

    def forward(self, words_NH: Tensor) -> tuple[Tensor, Tensor]:
        n = len(words_NH)
        table = torch.cat([words_NH[:, None].expand(n, n, -1), words_NH[None].expand(n, n, -1)], -1)
        table = table.permute(2, 0, 1)[None]
        read = table
        for i, layer in enumerate(self.layers):
            read = table
            table = layer(table)
            if i < len(self.layers) - 1:
                table = F.relu(table)
        if not self.from_hidden or len(self.layers) == 1:
            read = table
        features = torch.stack([read[0, :, i, i] for i in range(n)])
        return self.entity(features), table[0, :R].permute(1, 2, 0)


def upper(table: Tensor) -> Tensor:
    n = table.shape[0]
    return table[torch.triu(torch.ones(n, n, dtype=torch.bool))]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("way", ["batched", "by_sentence", "small strips"])
@pytest.mark.parametrize("entity_from", ["relation", "hidden"])
def test_equals_dense_convolutions_on_each_sentence_alone(
    kernel: int,
    layers: int,
    dtype: torch.dtype,
    tolerance: float,
    way: str,
    entity_from: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = make_head(kernel, layers, dtype, entity_from)
    if way == "small strips":
        monkeypatch.setattr(strips, "STRIP_CELLS", 20)
        monkeypatch.setattr(strips, "SLAB_CELLS", 20)
    if way == "batched":
        monkeypatch.setattr("tablert_dist.heads.cnn.module.table_by_sentence", TableHead.table)
    oracle = DenseHead(head)
    lengths = [9, 1, 5, 2]
    words = torch.randn(4, 9, WIDTH, dtype=dtype, requires_grad=True)
    mask = torch.arange(9)[None] < torch.tensor(lengths)[:, None]
    entity, relation = head(words, mask)
    with torch.no_grad():
        without_gradient = head(words, mask)
    found, expected = [], []
    for b, n in enumerate(lengths):
        ours = (entity[b, :n], upper(relation[b, :n, :n]))
        theirs_entity, theirs = oracle(words[b, :n])
        again = (without_gradient[0][b, :n], upper(without_gradient[1][b, :n, :n]))
        for a, w, e in zip(ours, again, (theirs_entity, upper(theirs)), strict=True):
            torch.testing.assert_close(w, e, atol=tolerance, rtol=tolerance)
            torch.testing.assert_close(a, e, atol=tolerance, rtol=tolerance)
            found.append(a)
            expected.append(e)
    probes = [torch.randn_like(e) for e in expected]
    sum((a * p).sum() for a, p in zip(found, probes, strict=True)).backward()
    ours_words = words.grad.clone()
    words.grad = None
    sum((e * p).sum() for e, p in zip(expected, probes, strict=True)).backward()
    torch.testing.assert_close(ours_words, words.grad, atol=tolerance, rtol=tolerance)
    for ours_grad, theirs_grad in zip(dense_gradients(head), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours_grad, theirs_grad.grad, atol=10 * tolerance, rtol=10 * tolerance)


def dense_gradients(head: TableHead) -> list[Tensor]:
    """The head's gradients in the oracle's layout: a gradient permutes as its weight does."""
    grads = [swap(head.pair, "row_weight", "column_weight"), head.pair.bias.grad]
    for layer in head.middle:
        grads += [layer.weight.grad, layer.bias.grad]
    if head.last is not None:
        grads += [swap(head.last, "weight"), head.last.bias.grad]
    return [*grads, head.entity.weight.grad, head.entity.bias.grad]


def swap(layer: nn.Module, *names: str) -> Tensor:
    kept = {name: getattr(layer, name).data.clone() for name in names}
    for name in names:
        getattr(layer, name).data.copy_(getattr(layer, name).grad)
    result = layer.dense_weight().detach().clone()
    for name in names:
        getattr(layer, name).data.copy_(kept[name])
    return result


@pytest.mark.parametrize("hidden", [[], [16], [16, 12]])
@pytest.mark.parametrize("entity_from", ["relation", "hidden"])
def test_logits_do_not_depend_on_the_batch(hidden: list[int], entity_from: str) -> None:
    torch.manual_seed(0)
    head = TableHead(WIDTH, E, R, hidden, 3, entity_from=entity_from).eval()
    words = torch.randn(7, WIDTH)
    alone_entity, alone = head(words[None], torch.ones(1, 7, dtype=torch.bool))
    batch = torch.full((3, 20, WIDTH), 50.0)
    batch[1, :7] = words
    mask = torch.arange(20)[None] < torch.tensor([20, 7, 13])[:, None]
    entity, relation = head(batch, mask)
    for ours, theirs in ((entity[1, :7], alone_entity[0]), (upper(relation[1, :7, :7]), upper(alone[0]))):
        assert ((ours - theirs).abs() <= 1e-5 * theirs.abs().clamp(min=1)).all()


def test_convolutions_start_as_pytorch_starts_them() -> None:
    torch.manual_seed(0)
    head = TableHead(384, 17, 11, [512], 3)
    conv = nn.Conv2d(768, 512, 3)
    for ours, theirs in ((head.pair.dense_weight(), conv.weight), (head.pair.bias, conv.bias)):
        assert ours.abs().max() <= conv.weight.abs().max() * 1.001
        torch.testing.assert_close(ours.std(), theirs.std(), rtol=0.1, atol=0)
    last = nn.Conv2d(512, 11, 3)
    torch.testing.assert_close(head.last.weight.std(), last.weight.std(), rtol=0.02, atol=0)
    assert head.entity.bias.abs().max() == 0
    assert 0.8 / 11**0.5 < head.entity.weight.abs().max() <= 1 / 11**0.5


@pytest.mark.parametrize("hidden", [[], [16]])
def test_training_starts_from_no_relation(hidden: list[int]) -> None:
    torch.manual_seed(0)
    head = TableHead(WIDTH, E, R, hidden, 3, none_bias=6.0).eval()
    _, relation = head(torch.randn(2, 9, WIDTH), torch.ones(2, 9, dtype=torch.bool))
    assert relation.softmax(-1)[..., 0].mean() > 0.95


def test_dropout_is_drawn_for_each_role_and_each_channel() -> None:
    torch.manual_seed(0)
    head = TableHead(WIDTH, E, R, [400], 1, dropout=0.5).train()
    seen = []
    head.last.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.no_grad():
        head.pair.bias.fill_(100.0)
    head.table(torch.randn(2, 5, WIDTH), torch.ones(2, 5, dtype=torch.bool))
    zero = seen[0] == 0
    by_channel = zero.flatten(1, 2)
    assert (by_channel.all(1) | (~by_channel).all(1)).all(), "a channel is dropped in all cells or in none"
    assert 0.4 < by_channel.all(1).float().mean() < 0.6
    assert not torch.equal(by_channel.all(1)[0], by_channel.all(1)[1]), "drawn for each sentence"


@pytest.mark.parametrize("hidden", [[16], [16, 12]])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_two_ways_agree_under_channel_dropout(
    hidden: list[int], kernel: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "STRIP_CELLS", 20)
    torch.manual_seed(0)
    head = TableHead(WIDTH, E, R, hidden, kernel, dropout=0.5, entity_from="hidden").double().train()
    # The words' own dropout is drawn over other shapes; only the channels' is under test here.
    monkeypatch.setattr("tablert_dist.heads.cnn.module.F.dropout", lambda x, *_: x)
    keeps = [(torch.rand(3, c) >= 0.5).double() / 0.5 for c in hidden]
    words = torch.randn(3, 8, WIDTH, dtype=torch.float64)
    mask = torch.arange(8)[None] < torch.tensor([8, 1, 5])[:, None]
    found = []
    for table_of in (TableHead.table, table_by_sentence):
        drawn = iter(keeps)
        monkeypatch.setattr(head, "kept_channels", lambda *_, drawn=drawn: next(drawn))
        head.zero_grad()
        table, diagonal = table_of(head, words, mask)
        logits = torch.cat([upper(table[b, :n, :n]) for b, n in enumerate((8, 1, 5))])
        features = torch.cat([diagonal[b, :n] for b, n in enumerate((8, 1, 5))])
        # What is added at the words alone reaches the gradients in a way of its own.
        sum((x * torch.linspace(-1, 1, len(x))[:, None]).sum() for x in (logits, features)).backward()
        found.append([logits, features, *(p.grad.clone() for p in head.parameters() if p.grad is not None)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


def test_packed_sentences_are_encoded_as_each_alone(tiny_encoder: str) -> None:
    encoder = WordEncoder(load_encoder(tiny_encoder).transformer, frozen=True)
    assert encoder.packs
    torch.manual_seed(0)
    ids = torch.randint(5, 40, (3, 9))
    there = torch.arange(9)[None] < torch.tensor([9, 2, 6])[:, None]
    words = torch.where(there, torch.arange(9), -1)[..., None]
    packed = encoder(ids * there, there.long(), words)
    encoder.packs = False
    padded = encoder(ids * there, there.long(), words)
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    for b, n in enumerate((9, 2, 6)):
        alone = encoder.transformer(input_ids=ids[b : b + 1, :n]).last_hidden_state[0]
        torch.testing.assert_close(packed[b, :n], alone, atol=1e-5, rtol=1e-5)


def test_an_encoder_with_relative_positions_is_not_packed() -> None:
    from transformers import DebertaV2Config, DebertaV2Model, RobertaConfig, RobertaModel

    size = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    deberta = DebertaV2Model(DebertaV2Config(**size, intermediate_size=8, relative_attention=True))
    assert not WordEncoder(deberta, frozen=True).packs
    roberta = RobertaModel(RobertaConfig(**size, intermediate_size=8, max_position_embeddings=20, pad_token_id=1))
    assert WordEncoder(roberta, frozen=True).packs, "its positions start behind the padding id"


def test_words_are_pooled_over_their_own_subwords() -> None:
    states = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [2.0, -9.0], [9.0, 9.0]]])
    words = torch.tensor([[[1, 2], [0, -1], [-1, -1]]])
    assert pool_words(states, words).tolist() == [[[3.0, -7.0], [1.0, -5.0], [0.0, 0.0]]]


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_layer_is_the_hidden_state_of_that_layer(tiny_encoder: str, layer: int) -> None:
    whole = load_encoder(tiny_encoder).transformer.eval()
    cut = load_encoder(tiny_encoder, layer).transformer.eval()
    ids = torch.arange(4, 14)[None]
    expected = whole(input_ids=ids, output_hidden_states=True).hidden_states[layer]
    torch.testing.assert_close(cut(input_ids=ids).last_hidden_state, expected)
    layers = sum(1 for name, _ in cut.named_modules() if name.startswith("encoder.layer.") and name.count(".") == 2)
    assert layers == layer, "upper layers are neither run nor counted"
