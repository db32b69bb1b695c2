"""The public corpora, fetched so that they can be trusted."""
