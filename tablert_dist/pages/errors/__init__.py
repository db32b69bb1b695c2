"""A model's errors as one page."""
