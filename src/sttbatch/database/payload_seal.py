"""PayloadSeal: what jobs' payloads and orders' values look like at rest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sttbatch.core.errors import ExtraMissing, StateError, UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

PREFIX = "fernet:"
"""How a sealed value begins; others are JSON or absolute paths."""

_ID_LENGTH = 16


class PayloadSeal:
    """Seals with the newest of several Fernet keys, and opens what any of them sealed.

    A sealed value names its key: what its id is made of is never stored.

    Args:
        keys: the newest first; none: nothing is sealed.

    Raises:
        UsageError: one of them is no key, or cryptography is not installed.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._by_id = dict(map(_named, keys, range(1, len(keys) + 1)))
        self.key_id = next(iter(self._by_id), None)
        """The id of the key that seals, if there is one."""

    @property
    def mark(self) -> str:
        """How a value begins that this seals."""
        return "" if self.key_id is None else f"{PREFIX}{self.key_id}:"

    def sealed(self, value: bytes) -> bytes:
        if self.key_id is None:
            return value
        return self.mark.encode() + bytes(self._by_id[self.key_id].encrypt(value))

    def opened(self, stored: bytes) -> bytes:
        """Raises UsageError if its key is not given, StateError if it is damaged."""
        if not stored.startswith(PREFIX.encode()):
            return stored
        key_id, _, token = stored[len(PREFIX) :].partition(b":")
        name = key_id.decode("utf-8", "replace")
        self.check((name,))
        from cryptography.fernet import InvalidToken

        try:
            return bytes(self._by_id[name].decrypt(token))
        except InvalidToken as error:
            raise StateError(
                "a sealed payload of the ledger is damaged; restore the ledger from a backup, or "
                "have `sttbatch jobs purge --all` remove what is not done, and submit it again"
            ) from error

    def sealed_text(self, text: str) -> str:
        return self.sealed(text.encode()).decode()

    def opened_text(self, stored: str) -> str:
        return self.opened(stored.encode()).decode() if stored.startswith(PREFIX) else stored

    def check(self, key_ids: Sequence[str]) -> None:
        """Raise UsageError if one of these keys is not given."""
        missing = [each for each in key_ids if each not in self._by_id]
        if missing:
            raise UsageError(
                "the payloads of jobs are sealed in this ledger with a key that is not given "
                f"(its id is {missing[0]}): set STTBATCH_PAYLOAD_KEY or payload_key_file"
            )


def _named(key: str, number: int) -> tuple[str, Fernet]:
    """A key's id and what seals with it."""
    try:
        from cryptography.fernet import Fernet
    except ImportError as error:
        raise ExtraMissing(
            f"payload_key needs {error.name}: pip install 'sttbatch[sealed]'"
        ) from error
    try:
        fernet, secret = Fernet(key), base64.urlsafe_b64decode(key)
    except ValueError as error:
        # Without its cause, whose text might show it.
        raise UsageError(
            f"payload_key: key {number} is not a Fernet key, which is 32 random bytes in URL-safe "
            "base64: head -c 32 /dev/urandom | base64 | tr +/ -_"
        ) from error
    return hashlib.sha256(b"sttbatch payload key\0" + secret).hexdigest()[:_ID_LENGTH], fernet


PLAIN = PayloadSeal()
"""It seals nothing."""
