"""HTML pages that load nothing: sentences with their arcs, a model's errors, a check of the data."""
