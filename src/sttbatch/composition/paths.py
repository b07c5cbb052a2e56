"""Where state lies: the data folder and what is in it."""

from __future__ import annotations

from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.database.private_files import private_folder

ANSWERS = "answers"
RATES = "rate.db"


def data_folder(settings: Settings) -> Path:
    """Made on first use, private."""
    if settings.data_dir:
        return private_folder(Path(settings.data_dir).expanduser())
    from platformdirs import user_data_path

    return private_folder(user_data_path("sttbatch"))
