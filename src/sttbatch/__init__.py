"""Folders of recordings in, transcripts out."""

__version__ = "0.1.0"
