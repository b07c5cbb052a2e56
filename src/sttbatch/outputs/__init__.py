"""Transcripts as files, and the owners of their names."""
