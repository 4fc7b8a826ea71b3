"""The tables of papers: as published, as measured here, and whether the difference means anything."""
