"""Strategies driven by language models."""
