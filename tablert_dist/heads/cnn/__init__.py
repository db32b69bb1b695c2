"""TablERT-CNN: its scheme (numpy) and its module (torch)."""
