"""How good transcripts are: compared with reference texts of the same recordings."""
