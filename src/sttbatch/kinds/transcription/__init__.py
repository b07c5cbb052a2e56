"""The use case: recordings in, transcripts out. Every collaborator is an argument."""
