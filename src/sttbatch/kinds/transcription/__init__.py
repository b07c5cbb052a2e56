"""The use case: recordings in, transcripts out. Every collaborator is an argument.

The only room where the others meet.
"""
