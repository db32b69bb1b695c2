"""Which families of encoders work: tiny random models of each, trained a step, exported, and read at their limit.

`make families` writes the table of docs/guides/encoders.md. The default tests try all but the export, the slow ones that of a
few.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.timing import interleaved
from export.graph import export_bundle
from tablert_dist.config import ExportConfig, load_config, public_config
from tablert_dist.data import formats
from tablert_dist.inference.predictor import Predictor
from tablert_dist.model import build_model
from tablert_dist.model.checkpoint import ModelCard, save_checkpoint
from tablert_dist.model.encoder import WordEncoder, load_encoder
from tablert_dist.model.probe import freeze_unread
from tablert_dist.storage.atomic import write_text
from tablert_dist.tags import TagSet
from tablert_dist.tokenization import SubwordTokenizer
from tablert_dist.train.context import Examples, TrainContext
from tablert_dist.train.features import SubwordFeatures
from tablert_dist.train.step import backward
from tests.support import ROOT
from tests.support.tiny import SCHEMA, WORDS, tiny_records, write_corpus, write_tiny_encoder

DOCUMENT = ROOT / "docs" / "guides" / "encoders.md"
BEGIN, END = "<!-- begin: make families -->", "<!-- end: make families -->"
SIZE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 66,
}  # fmt: skip
AFTER = {"pad_token_id": 1}
OTHER = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "camembert": AFTER,
    "convbert": {"embedding_size": 32, "pad_token_id": 0},
    "data2vec-text": AFTER,
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "max_relative_positions": -1,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
    },
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "electra": {"embedding_size": 32},
    "ernie": {},
    "esm": {"pad_token_id": 1, "mask_token_id": 4, "position_embedding_type": "rotary"},
    "eurobert": {"head_dim": 8, "num_key_value_heads": 4, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3},
    "flaubert": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 0},
    "gemma3_text": {"head_dim": 8, "num_key_value_heads": 4},
    "ibert": AFTER,
    "layoutlm": {},
    "lilt": {"pad_token_id": 1, "hidden_size": 48},
    "llama": {"num_key_value_heads": 4, "pad_token_id": 0},
    "luke": {"pad_token_id": 1, "entity_vocab_size": 10},
    "markuplm": AFTER,
    "megatron-bert": {},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "modernbert": {
        "global_attn_every_n_layers": 2,
        "local_attention": 16,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "mpnet": AFTER,
    "nomic_bert": {},
    "nystromformer": {"segment_means_seq_len": 64, "pad_token_id": 0},
    "rembert": {"input_embedding_size": 32, "output_embedding_size": 32},
    "roberta": AFTER,
    "roformer": {"embedding_size": 32},
    "splinter": {},
    "squeezebert": {"embedding_size": 32},
    "xlm": {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "pad_index": 0},
    "xlm-roberta": AFTER,
    "xlm-roberta-xl": AFTER,
}
REFUSED: dict[str, dict[str, Any]] = {
    "bart": {**OTHER, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
             "decoder_ffn_dim": 64, "pad_token_id": 1},
    "canine": {},
    "fnet": {},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3},
    "led": OTHER,
    "longformer": {"attention_window": 16, "pad_token_id": 1},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64, "pad_token_id": 0},
    "xmod": {"pad_token_id": 1, "languages": ("en_XX",)},
}  # fmt: skip


def write_family(name: str, folder: Path) -> Path:
    """A random model of two layers, with the tiny encoder's tokenizer."""
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    write_tiny_encoder(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    keys = {**SIZE, "vocab_size": 149, **{**FAMILIES, **REFUSED}[name]}
    if name == "xlnet":
        del keys["max_position_embeddings"]
    torch.manual_seed(0)
    AutoModel.from_config(CONFIG_MAPPING[name](**keys)).save_pretrained(folder)
    return folder


@dataclass
class Tried:
    """What one family did; a reason where it did not."""

    name: str
    limit: int = 0
    packed: bool = False
    train: str = ""
    export: str = ""


def try_family(name: str, folder: Path, export: bool) -> Tried:
    """Load the encoder, train a step, and read a sentence of exactly the limit; with `export`, from the bundle too."""
    encoder = folder / "encoder"
    encoder.mkdir()
    write_family(name, encoder)
    config = load_config(None, {"model.encoder": str(encoder), "model.cnn.hidden": [8], "model.none_bias": 0.0})
    torch.manual_seed(0)
    parts, tags = load_encoder(str(encoder)), TagSet(SCHEMA)
    model = build_model(config.model, parts, tags)
    tried = Tried(name, parts.tokenizer.limit, model.encoder.packs)
    train = formats.read(write_corpus(folder / "data", {"train": tiny_records(8)}) / "tiny_train.json")
    examples = Examples(train, SubwordFeatures(parts.tokenizer.encode([s.words for s in train]), parts.pad_id))
    loss = backward(model.train(), examples, list(range(8)), tags, 1, TrainContext())
    missed = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    tried.train = (
        f"no gradient for {missed[0]}" if missed else "" if np.isfinite(float(loss)) else "the loss is no number"
    )
    card = ModelCard(public_config(config), SCHEMA, parts.tokenizer, parts.pad_id, {"epoch": 1})
    save_checkpoint(folder / "checkpoint", model, card)
    longest = longest_sentence(parts.tokenizer)
    words = [longest, WORDS[:7], longest[:9]]
    found = Predictor.load(folder / "checkpoint").annotate(words)
    assert [len(sentence.words) for sentence in found] == [len(each) for each in words]
    if export:
        try:
            export_bundle(folder / "checkpoint", folder / "bundle", ExportConfig(allow="random weights"), words)
            again = Predictor.load(folder / "bundle").annotate(words)
            same = [(s.entities, s.relations) for s in found] == [(s.entities, s.relations) for s in again]
            tried.export = "" if same else "the bundle finds something else"
        except Exception as error:
            tried.export = (str(error).strip() or type(error).__name__).splitlines()[0]
    return tried


def longest_sentence(tokenizer: SubwordTokenizer) -> list[str]:
    """Words of one subword each that fill the limit to the last place."""
    words = ["near"] * tokenizer.limit
    while len(tokenizer.encode([words], within_limit=False)[0].ids) > tokenizer.limit:
        words.pop()
    assert len(tokenizer.encode([words])[0].ids) == tokenizer.limit
    return words


WIDER = 8
"""Times the widths of the tiny models, for their speed."""
WIDTHS = ("_size", "_dim", "d_model", "dim", "n_embd", "d_kv", "d_ff")


def speed_over_bert(name: str) -> float:
    """Steps of BERT's encoder in the time of one of this family's, 256 wide, 8 rows of 24 subwords: in turns, medians."""
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    def step_of(kind: str) -> Callable[[], object]:
        keys = {**SIZE, "vocab_size": 149, **FAMILIES[kind]}
        wide = {k: v * WIDER if k.endswith(WIDTHS) and k != "vocab_size" else v for k, v in keys.items()}
        torch.manual_seed(0)
        model = AutoModel.from_config(CONFIG_MAPPING[kind](**wide))
        freeze_unread(model)
        encoder = WordEncoder(model, frozen=False).train()
        ids = 10 + torch.arange(8 * 24).view(8, 24) % 100
        words = torch.arange(22)[None, :, None].expand(8, 22, 1) + 1
        return lambda: encoder(ids, torch.ones_like(ids), words).sum().backward()

    ours, berts = step_of(name), step_of("bert")
    return interleaved(berts, ours, 15)["ratio"]


def main() -> None:
    """Try all families and write the page's table."""
    logging.disable(logging.WARNING)
    rows = []
    for name in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            tried = try_family(name, Path(folder), export=True)
        rows.append(tried)
        print(tried, file=sys.stderr, flush=True)
    lines = [
        "| `model_type` | train | export, predict at the limit | batches on a CPU | speed, BERT = 1 |",
        "|---|---|---|---|---|",
    ]
    for tried in rows:
        batches = "packed" if tried.packed else "padded"
        train, export = tried.train or "yes", tried.export or "yes"
        lines.append(f"| `{tried.name}` | {train} | {export} | {batches} | {speed_over_bert(tried.name):.1f} |")
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(DOCUMENT, "\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]))


if __name__ == "__main__":
    main()
