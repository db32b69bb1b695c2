"""From files to sentences: formats, splits, overlap policies."""

from tablert_dist.data.splits import Corpus, load_corpus

__all__ = ["Corpus", "load_corpus"]
