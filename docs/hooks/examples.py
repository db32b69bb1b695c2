"""Griffe extension: a docstring's `Example:` of prompts and results becomes a code block, as `Examples:` does."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Google's style has both words; griffe makes prose of the first."""

    def on_instance(self, *, obj: griffe.Object, **rest: Any) -> None:
        """Rename the section in place."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
