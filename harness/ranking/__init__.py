"""Sweeps of kind ``ranking``: how well scorers order architectures that were trained."""
