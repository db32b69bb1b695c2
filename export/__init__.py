"""From a checkpoint to a verified ONNX bundle, and from a bundle to predictions without torch."""
