"""Transcripts that other tools made, or sttbatch elsewhere, join those of the ledger."""
