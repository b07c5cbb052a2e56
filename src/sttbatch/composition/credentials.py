"""The keys: from variables or files, never from the command line or a folder's settings."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.core.errors import UsageError
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.external.secret import Secret

HOW_TO = "set CLOUDRU_API_KEY, or CLOUDRU_API_KEY_FILE to a file with the key"
WITHOUT_KEY = " (without a key: --engine local)"

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


def load_key(settings: Settings, how_to: str = HOW_TO + WITHOUT_KEY) -> Secret:
    """The API key; raises UsageError with what to do when there is none."""
    value = os.environ.get("CLOUDRU_API_KEY", "").strip()
    if not value:
        file = key_file(settings)
        if file is None:
            raise UsageError(f"there is no API key; {how_to}")
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
        raise UsageError(f"the API key is empty or contains invalid characters; {how_to}")
    return Secret(value)


def payload_seal(settings: Settings) -> PayloadSeal:
    """Seals jobs' payloads with the newest of the keys in the settings, if there are any.

    Raises UsageError if they cannot be read, or are no keys.
    """
    text = settings.payload_key
    if text is None and settings.payload_key_file is not None:
        file = Path(settings.payload_key_file).expanduser()
        try:
            text = file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            name = file if os.sep in str(file) else "what payload_key_file names"
            reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
            raise UsageError(f"the payload keys cannot be read from {name}: {reason}") from error
    if text is None:
        return PLAIN
    lines = [line.partition("#")[0] for line in text.splitlines()]
    keys = [key.strip() for line in lines for key in line.split(",") if key.strip()]
    if not keys:
        raise UsageError("payload_key, or the file that payload_key_file names, holds no key")
    return PayloadSeal(keys)


def describe_seal(settings: Settings) -> str:
    """What `doctor` shows of the payload keys; raises UsageError as `payload_seal`."""
    text = f"jobs are sealed with the key whose id is {payload_seal(settings).key_id}"
    if settings.payload_key is not None or settings.payload_key_file is None:
        return text
    file = Path(settings.payload_key_file).expanduser()
    hint = f", which other users may read: chmod 600 {file}" if is_open(file) else ""
    return f"{text}, in {file}{hint}"


def is_open(file: Path) -> bool:
    """Whether other users may read or change a file."""
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def mask_of(settings: Settings) -> Callable[[str], str]:
    """A function that masks the key in text, if there is a key."""
    try:
        return load_key(settings).masked
    except UsageError:
        return lambda text: text
