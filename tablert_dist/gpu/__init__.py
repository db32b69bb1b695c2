"""What makes the same computation fast on a GPU. Nothing here changes a result."""
