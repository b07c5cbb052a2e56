"""The API key: from a variable or a file, never from the command line or a folder's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.core.errors import UsageError
from sttbatch.external.secret import Secret

HOW_TO = (
    "set CLOUDRU_API_KEY, or CLOUDRU_API_KEY_FILE to a file with the key "
    "(without a key: --engine local)"
)

CREDENTIAL = "cloudru-api-key"
"""The name of the key in a systemd unit: LoadCredential=cloudru-api-key:/etc/…"""


def key_file(settings: Settings) -> Path | None:
    """The file that the key is read from; None: it is in CLOUDRU_API_KEY, or nowhere."""
    if os.environ.get("CLOUDRU_API_KEY", "").strip():
        return None
    named = os.environ.get("CLOUDRU_API_KEY_FILE")
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not named and folder and Path(folder, CREDENTIAL).is_file():
        return Path(folder, CREDENTIAL)
    named = named or settings.api_key_file
    return Path(named).expanduser() if named else None


def load_key(settings: Settings) -> Secret:
    """The API key; raises UsageError with what to do when there is none."""
    value = os.environ.get("CLOUDRU_API_KEY", "").strip()
    if not value:
        file = key_file(settings)
        if file is None:
            raise UsageError(f"there is no API key; {HOW_TO}")
        try:
            value = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            # The value may be the key itself by mistake, which must not be printed.
            name = (
                file if os.sep in str(file) else "what CLOUDRU_API_KEY_FILE or api_key_file names"
            )
            reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
            raise UsageError(f"the API key cannot be read from {name}: {reason}") from error
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise UsageError(f"the API key is empty or contains invalid characters; {HOW_TO}")
    return Secret(value)


def mask_of(settings: Settings) -> Callable[[str], str]:
    """A function that masks the key in text, if there is a key."""
    try:
        return load_key(settings).masked
    except UsageError:
        return lambda text: text
