"""What kinds of jobs share that ask language models about transcripts."""
