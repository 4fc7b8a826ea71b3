"""Readers of the files that others publish, one per file format."""
