"""Tuning: the search over a space, and what becomes of the winner."""
