"""An encoder's tokenizer and its limit without its weights, and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from tablert_dist.errors import InputError
from tablert_dist.storage.paths import PACKAGE, locate
from tablert_dist.tokenization import AFTER_PADDING, SubwordTokenizer, read_tokenizer, subword_limit

FILES = ("tokenizer.json", "config.json")


def find_tokenizer(source: str) -> SubwordTokenizer:
    """The tokenizer of a hub id, a local folder or `package:NAME/FOLDER`.

    Raises InputError where it cannot be found or has no `tokenizer.json`, the only form that is read here.
    """
    if source.startswith(PACKAGE) or Path(source).expanduser().exists():
        folder = locate(source, "encoder")
        paths = [folder / name for name in FILES]
        for path in paths:
            if not path.is_file():
                raise InputError(f"encoder '{source}' has no {path.name}")
    else:
        paths = [_from_hub(source, name) for name in FILES]
    tokenizer, config = paths
    try:
        tree = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{config}: not JSON: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{config}: not an encoder's configuration")
    # What a configuration file leaves out has its architecture's default; only RoBERTa's padding id is not 0.
    kind = tree.get("model_type", "")
    defaults = {"model_type": kind, "pad_token_id": 1 if kind in AFTER_PADDING else 0}
    return read_tokenizer(tokenizer, subword_limit(SimpleNamespace(**{**defaults, **tree})))


def _from_hub(source: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source, name))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"encoder '{source}': {name} cannot be loaded: {reason}") from None
