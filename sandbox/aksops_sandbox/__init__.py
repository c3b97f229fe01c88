"""A local Azure for unmodified clients (see docs/sandbox.md)."""

__version__ = "0.1.0"
