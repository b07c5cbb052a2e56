"""The keys that sealed values of the ledger, and sealing all of them with the newest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sttbatch.core.errors import UsageError
from sttbatch.database.database import Database
from sttbatch.database.payload_seal import PayloadSeal
from sttbatch.database.store import Session

_A_TRANSACTION = 200
_NO_LIMIT = 1_000_000_000

KEYS = "SELECT id FROM payload_keys ORDER BY id"
NOTE_KEY = "INSERT INTO payload_keys (id) VALUES (?) ON CONFLICT DO NOTHING"
DROP_KEYS = "DELETE FROM payload_keys WHERE id <> ?"
OTHER_JOBS = """SELECT id, payload FROM processing_jobs
    WHERE id > ? AND substr(payload, 1, ?) <> ? ORDER BY id LIMIT ?"""
OTHER_ORDERS = """SELECT id, path, root, outputs, written FROM orders
    WHERE id > ? AND (substr(path, 1, ?) <> ? OR substr(written, 1, ?) <> ?)
    ORDER BY id LIMIT ?"""
RESEAL_JOB = "UPDATE processing_jobs SET payload = ? WHERE id = ?"
RESEAL_ORDER = "UPDATE orders SET path = ?, root = ?, outputs = ?, written = ? WHERE id = ?"


class Resealed(NamedTuple):
    """How many jobs and orders were sealed anew, or for the first time."""

    jobs: int
    orders: int


def check_keys(session: Session, seal: PayloadSeal) -> None:
    """Raise UsageError if something is sealed with a key that is not given."""
    seal.check([key_id for (key_id,) in session.execute(KEYS).fetchall()])


def note_key(session: Session, seal: PayloadSeal) -> None:
    """Record that something is sealed, in the transaction that stores it."""
    if seal.key_id is not None:
        session.execute(NOTE_KEY, (seal.key_id,))


async def reseal(database: Database) -> Resealed:
    """Seal every payload and order with the newest key, some in each transaction.

    Afterwards no other key is needed, unless a process that is running seals with it. Raises
    UsageError if there is no key.
    """
    seal = database.seal
    if seal.key_id is None:
        raise UsageError("set STTBATCH_PAYLOAD_KEY or payload_key_file to a key to seal with")
    await database.maintain(lambda store: store.erase_on_delete())
    jobs = orders = 0
    last_job = last_order = ""
    is_over = False
    while not is_over:
        some = partial(_some, seal=seal, after=(last_job, last_order))
        job_ids, order_ids = await database.write(some)
        jobs, orders = jobs + len(job_ids), orders + len(order_ids)
        last_job, last_order = max([last_job, *job_ids]), max([last_order, *order_ids])
        is_over = not job_ids and not order_ids
    rest = await database.write(lambda session: _rest(session, seal))
    await database.maintain(lambda store: store.vacuum())
    return Resealed(jobs + rest.jobs, orders + rest.orders)


def _rest(session: Session, seal: PayloadSeal) -> Resealed:
    """What others have sealed meanwhile; then no other key is in use."""
    job_ids, order_ids = _some(session, seal, ("", ""), _NO_LIMIT)
    session.execute(DROP_KEYS, (seal.key_id,))
    return Resealed(len(job_ids), len(order_ids))


def _some(
    session: Session, seal: PayloadSeal, after: tuple[str, str], limit: int = _A_TRANSACTION
) -> tuple[list[str], list[str]]:
    """Seal some jobs and orders whose ids come `after` these; returns their ids."""
    note_key(session, seal)
    mark, length = seal.mark, len(seal.mark)
    jobs = session.execute(OTHER_JOBS, (after[0], length, mark, limit)).fetchall()
    for job_id, payload in jobs:
        session.execute(RESEAL_JOB, (seal.sealed_text(seal.opened_text(payload)), job_id))
    begin = (length, mark.encode())
    orders = session.execute(OTHER_ORDERS, (after[1], *begin, *begin, limit)).fetchall()
    for order_id, *values in orders:
        session.execute(RESEAL_ORDER, (*_resealed(seal, values), order_id))
    return [row[0] for row in jobs], [row[0] for row in orders]


def _resealed(seal: PayloadSeal, values: Sequence[Any]) -> list[Any]:
    path, root, outputs, written = values
    return [
        seal.sealed(seal.opened(path)),
        seal.sealed(seal.opened(root)),
        seal.sealed_text(seal.opened_text(outputs)),
        None if written is None else seal.sealed(seal.opened(written)),
    ]
