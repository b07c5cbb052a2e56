"""The data folder and the names of the files in it."""

from __future__ import annotations

from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.database.private_files import private_folder

ANSWERS = "answers"
RATES = "rate.db"


def data_folder(settings: Settings) -> Path:
    """The folder of the ledger and the other files of state; created private on first use."""
    if settings.data_dir:
        return private_folder(Path(settings.data_dir).expanduser())
    from platformdirs import user_data_path

    return private_folder(user_data_path("sttbatch"))
