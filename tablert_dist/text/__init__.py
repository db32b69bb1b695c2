"""Raw text as sentences of words with exact character offsets, and long sentences as windows (docs/concepts.md#raw-text)."""

from tablert_dist.text.sentences import SURROGATE, split_sentences
from tablert_dist.text.windows import Merged, merge, windows
from tablert_dist.text.words import COMMON, Rule, Span, split_words

__all__ = ["COMMON", "SURROGATE", "Merged", "Rule", "Span", "merge", "split_sentences", "split_words", "windows"]
