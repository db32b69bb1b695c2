"""Prediction: engines, what is opened behind them, and the predictor that texts go through."""
