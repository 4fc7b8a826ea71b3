"""The engine of the NAS benchmark harness."""

__version__ = "0.1.0"
