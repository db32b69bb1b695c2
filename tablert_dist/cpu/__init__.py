"""What makes the same computation fast on a CPU. Nothing here changes a result."""
