"""Baselines: strategies without a language model."""
