"""A check of the data as one page."""
