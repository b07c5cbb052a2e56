"""What a run leaves behind: transcripts as files, and who owns which file's name."""
