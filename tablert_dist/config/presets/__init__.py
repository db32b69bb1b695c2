"""Shipped configurations: Table 5 of the paper, and `sample`."""
