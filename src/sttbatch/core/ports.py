"""What the rooms above the stores need of them, each port named for a use case.

A method that changes several tables is one transaction. Every method raises `StateError` where
the store cannot be read or written.
"""

from __future__ import annotations

# Jobs: JobStore, Liveness.

# Work that is paid for: WorkLedger.

# Results and files: ResultStore, ChunkIndex, FileIndex, OutputStore.

# Figures: MetricsStore, AlertStore.

# Rates: RateStore.
