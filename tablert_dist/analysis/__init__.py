"""Numbers about results: what a model gets wrong, calibration, significance."""
