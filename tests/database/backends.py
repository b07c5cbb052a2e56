"""The databases that the suite of every port runs over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sttbatch.database.database import Database
from sttbatch.database.opening import open_ledger

Opener = Callable[[Path, Callable[[], float]], Database]

BACKENDS: dict[str, Opener] = {"sqlite": open_ledger}
