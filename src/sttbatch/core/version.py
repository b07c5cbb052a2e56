"""The version, which has one place."""

__version__ = "0.1.0"
