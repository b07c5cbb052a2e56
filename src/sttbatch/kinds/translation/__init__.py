"""Translations of transcripts, line by line: times never move."""
