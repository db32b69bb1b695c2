"""Measurements: each file prints one JSON line last, with the ratio of two things measured in the same run."""
