"""Summaries of transcripts, whose every point says where it was said."""
