"""A ledger whose jobs are sealed, as its users meet it."""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sttbatch.database.payload_seal import PayloadSeal
from tests.cloudru import KEY
from tests.shell import Shell, texts, words_of

from .working import endpoint_of, in_flight, record, rows, until_rows, working

OLD, NEW = (base64.urlsafe_b64encode(bytes([n]) * 32).decode() for n in (1, 2))
BOTH = PayloadSeal((NEW, OLD))
VOCABULARY = "Hippopotomonstrosesquippedalia"


def sealed_with(shell: Shell, *keys: str) -> Shell:
    """The same user, with other keys."""
    return Shell(
        shell.home, shell.endpoint, {**shell.extra, "STTBATCH_PAYLOAD_KEY": ",".join(keys)}
    )


def marks(shell: Shell) -> set[str]:
    """How payloads and paths of orders begin."""
    stored: list[tuple[Any, ...]] = rows(
        shell, "SELECT payload FROM processing_jobs UNION ALL SELECT path FROM orders"
    )
    return {each[:24] if isinstance(each, str) else each[:24].decode() for (each,) in stored}


def test_what_is_ordered_is_sealed_and_done(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    truth = record(folder, 2)
    shell = sealed_with(shell, OLD)
    with working(shell):
        done = shell.run("submit", folder, "--prompt", VOCABULARY, "--wait")
        assert done.code == 0, done.err
    assert words_of(folder / "talk-1.json") == texts(truth["talk-1"])
    again = shell.transcribe(folder, "--prompt", VOCABULARY, "--force")
    assert again.code == 0, again.err
    assert "talk-0" in shell.run("jobs", "list").out
    assert "talk-0" in shell.run("stats").out
    assert marks(shell) == {PayloadSeal((OLD,)).mark}
    held = b"".join(path.read_bytes() for path in (shell.home / "data").glob("ledger.db*"))
    assert VOCABULARY.encode() not in held
    for (payload,) in rows(shell, "SELECT payload FROM processing_jobs"):
        opened = BOTH.opened_text(str(payload))
        assert VOCABULARY in opened
        assert KEY not in opened
    for (outputs,) in rows(shell, "SELECT outputs FROM orders"):
        assert KEY not in BOTH.opened_text(str(outputs))


@pytest.mark.parametrize(
    "keys", [(), pytest.param((NEW,), marks=pytest.mark.slow)], ids=["none", "another"]
)
def test_without_the_key_it_is_said_which_setting_to_give(
    shell: Shell, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    folder = tmp_path / "talks"
    record(folder, 1)
    assert sealed_with(shell, OLD).run("submit", folder).code == 0
    (job,) = json.loads(sealed_with(shell, OLD).run("jobs", "list", "--json").out)
    other = sealed_with(shell, *keys)
    for command in (
        ("jobs", "list"),
        ("jobs", "show", job["id"]),
        ("jobs", "reseal"),
        ("transcribe", folder),
        ("submit", folder),
        ("worker",),
        ("stats",),
    ):
        refused = other.run(*command)
        assert refused.code == 2, (command, refused.err)
        assert "set STTBATCH_PAYLOAD_KEY or payload_key_file" in refused.err
        assert "Traceback" not in refused.err
        assert not any(key in refused.err for key in (OLD, NEW))
    (found,) = [
        each
        for each in json.loads(other.run("doctor", "--json").out)["findings"]
        if each["name"] == "database"
    ]
    assert "payload_key_file" in found["text"]
    assert endpoint_of(shell).received == []


@pytest.mark.slow
def test_keys_are_rotated_while_workers_run(shell: Shell, tmp_path: Path) -> None:
    """Each worker knows both keys: first the new one is added everywhere, then it seals."""
    folders = [tmp_path / name for name in ("one", "other")]
    record(folders[0], 1)
    # More than one worker takes at a time.
    record(folders[1], 8, first=1)
    before, after = sealed_with(shell, OLD, NEW), sealed_with(shell, NEW, OLD)
    endpoint_of(shell).hold()
    assert before.run("submit", folders[0]).code == 0
    with working(before, "-j", "1") as (first,):
        in_flight(shell, 1)
        assert after.run("submit", folders[1]).code == 0
        with working(after, "-j", "1"):
            in_flight(shell, 2)
            done = after.run("jobs", "reseal")
            assert done.code == 0, done.err
            assert done.out.endswith("sealed\n")
            assert marks(shell) == {BOTH.mark}
            endpoint_of(shell).resume()
            until_rows(shell, "SELECT count(*) FROM orders WHERE done_at IS NULL", [(0,)])
            first.send_signal(signal.SIGTERM)
            assert first.wait(60) == 128 + signal.SIGTERM
    # What the first one wrote meanwhile may be sealed with the key that is to go.
    assert after.run("jobs", "reseal").code == 0
    assert rows(shell, "SELECT id FROM payload_keys") == [(BOTH.key_id,)]
    listed = sealed_with(shell, NEW).run("jobs", "list", "--json")
    assert listed.code == 0, listed.err
    assert {job["status"] for job in json.loads(listed.out)} == {"COMPLETED"}
    assert sealed_with(shell, OLD).run("jobs", "list").code == 2


@pytest.mark.slow
def test_keys_come_from_a_file_and_are_never_shown(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    record(folder, 2)
    assert shell.run("submit", folder).code == 0
    file = tmp_path / "payload-keys"
    file.write_text(f"# the newest first\n{NEW}  # of May\n{OLD}\n", "utf-8-sig")
    file.chmod(0o644)
    shell.extra["STTBATCH_PAYLOAD_KEY_FILE"] = str(file)
    assert "talk-1" in shell.run("jobs", "list").out, "plain payloads stay readable"
    checked = shell.run("doctor").out
    assert f"{BOTH.key_id}, in {file}, which other users may read: chmod 600" in checked
    done = shell.run("jobs", "reseal", "--json")
    assert json.loads(done.out) == {"jobs": 2, "orders": 2}
    assert shell.run("jobs", "reseal").out == "0 jobs and 0 orders sealed\n"
    log = tmp_path / "log"
    named = sealed_with(shell, OLD, NEW)
    ran = named.transcribe(folder, "-v", "--log-file", log)
    assert ran.code == 0, ran.err
    shown = named.run("config", "show").out
    assert 'payload_key = "***"  # STTBATCH_PAYLOAD_KEY' in shown
    for text in (shown, checked, ran.err, log.read_text()):
        assert OLD not in text
        assert NEW not in text
    file.unlink()
    missing = shell.run("jobs", "list")
    assert (missing.code, f"cannot be read from {file}" in missing.err) == (2, True)


@pytest.mark.slow
def test_a_damaged_payload_can_be_removed(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    record(folder, 2)
    named = sealed_with(shell, OLD)
    assert named.run("submit", folder).code == 0
    with sqlite3.connect(shell.home / "data" / "ledger.db") as ledger:
        ledger.execute("UPDATE processing_jobs SET payload = substr(payload, 1, 90)")
    ledger.close()
    refused = named.run("jobs", "list")
    assert (refused.code, "jobs purge --all" in refused.err) == (1, True), refused.err
    assert named.run("jobs", "purge", "--all").out == "2 jobs removed\n"
    assert named.run("submit", folder).code == 0
    assert "talk-1" in named.run("jobs", "list").out


def test_a_wrong_key_is_wrong_usage(shell: Shell) -> None:
    wrong = sealed_with(shell, NEW, "not a key").run("jobs", "list")
    assert wrong.code == 2
    assert "key 2 is not a Fernet key" in wrong.err
    assert "not a key" not in wrong.err
    empty = sealed_with(shell, " ", " ").run("jobs", "list")
    assert (empty.code, "holds no key" in empty.err) == (2, True), empty.err
    (shell.home / "sttbatch.toml").write_text(f'payload_key = "{NEW}"\n')
    strange = shell.run("jobs", "list")
    assert (strange.code, "payload_key may not be set here" in strange.err) == (2, True)
    assert NEW not in strange.err


@pytest.mark.slow
def test_without_cryptography_a_key_is_wrong_usage(shell: Shell, tmp_path: Path) -> None:
    """An installation without the extra `sealed`."""
    missing = tmp_path / "missing" / "cryptography"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError('No module', name='cryptography')\n")
    shell.extra["PYTHONPATH"] = str(missing.parent)
    assert shell.run("jobs", "list").code == 0, "it is imported only where it is needed"
    refused = sealed_with(shell, NEW).run("jobs", "list")
    assert (refused.code, "pip install 'sttbatch[sealed]'" in refused.err) == (2, True)
