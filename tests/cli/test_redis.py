"""Redis as L2, as its users meet it."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from sttbatch.caching.redis_level import PREFIX
from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.redis_server import RedisServer, redis_server, redis_url
from tests.shell import Shell, texts, words_of

from .working import record, working

PASSWORD = "a-password-of-redis"


@pytest.fixture
def url(shared_redis: RedisServer, tmp_path: Path) -> str:
    del shared_redis
    return redis_url(tmp_path)


@pytest.fixture
def with_redis(shell: Shell, url: str) -> Shell:
    shell.extra["STTBATCH_REDIS_URL"] = url
    return shell


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as found:
        yield found


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    return make_recording(folder / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)


def findings(shell: Shell) -> dict[str, dict[str, Any]]:
    found = json.loads(shell.run("doctor", "--json").out)["findings"]
    return {each["name"]: each for each in found}


def test_results_are_found_in_redis_and_nowhere_else(
    with_redis: Shell, client: redis.Redis, folder: Path, talk: list[HeardWord], tmp_path: Path
) -> None:
    shell = with_redis
    first = shell.transcribe(folder)
    assert first.code == 0, first.err
    assert client.dbsize() == 2
    again = shell.transcribe(folder, "-o", tmp_path / "out")
    assert again.code == 0, again.err
    assert words_of(tmp_path / "out" / "talk.json") == texts(talk)
    assert "L2 1, L3 0" in shell.run("stats").out
    assert not (shell.home / ".cache" / "sttbatch" / "l2").exists()

    stats = json.loads(shell.run("cache", "stats", "--json").out)["levels"]["L2"]
    assert (stats["entries"], stats["disk_bytes"]) == (2, None)
    table = shell.run("cache", "stats").out.splitlines()
    assert table[2].split()[:2] == ["L2", "2"]
    assert "in Redis" in table[2]
    client.flushdb()
    assert shell.run("cache", "warm", folder).out.startswith("2 entries loaded")
    assert client.dbsize() == 2
    assert shell.run("cache", "verify").out == "sound: L2 2, L3 2 values checked\n"
    (name, _) = sorted(client.scan_iter())
    client.set(name, b"damaged")
    found = shell.run("cache", "verify", "--repair")
    assert found.code == 1
    assert found.out.startswith(f"damaged: {name.removeprefix(PREFIX).decode()} in L2\n")
    assert client.dbsize() == 1
    removed = shell.run("cache", "invalidate", "--file", folder / "talk.wav")
    assert removed.out.startswith("removed: L1 0, L2 1, L3 2\n")
    assert "Redis's files and its backups" in removed.out
    assert client.dbsize() == 0


def test_without_redis_all_goes_on_after_one_warning(
    shell: Shell, cloudru: CloudRu, folder: Path, talk: list[HeardWord], tmp_path: Path
) -> None:
    shell.extra["STTBATCH_REDIS_URL"] = f"unix://:{PASSWORD}@{tmp_path}/nobody.sock"
    assert shell.transcribe(folder).code == 0
    make_recording(folder / "more.wav", duration_s=12, sample_rate=8_000, first_word=900)
    second = shell.transcribe(folder, "-o", tmp_path / "out")
    assert second.code == 0, second.err
    assert words_of(tmp_path / "out" / "talk.json") == texts(talk)
    assert len(cloudru.received) == 2
    assert second.err.count("the L2 cache cannot be used") == 1
    stats = shell.run("cache", "stats")
    assert "L2     cannot be read; `sttbatch doctor` says" in stats.out
    verified = shell.run("cache", "verify")
    assert verified.code == 1
    assert "not checked: L2, Redis at unix://:***@" in verified.out
    assert "L3 4 values checked, none damaged" in verified.out
    refused = shell.run("cache", "invalidate", "--all")
    assert (refused.code, "Nothing was removed" in refused.err) == (1, True)
    doctor = findings(shell)["redis"]
    assert not doctor["ok"]
    assert "No such file" in doctor["text"]
    assert "redis-cli" in doctor["advice"]
    told = second.err + stats.out + verified.out + refused.err + str(doctor)
    assert PASSWORD not in told + shell.run("config", "show").out


@pytest.mark.slow
def test_a_worker_outlives_its_redis(shell: Shell, cloudru: CloudRu, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    truth = record(one, 1) | record(other, 3, first=1)
    with redis_server() as own:
        shell.extra["STTBATCH_REDIS_URL"] = own.socket_url
        with working(shell) as (worker,):
            assert shell.run("submit", one, "--wait").code == 0
            with redis.Redis.from_url(own.socket_url) as client:
                assert client.dbsize() == 2
            own.stop()
            assert shell.run("submit", other, "--wait").code == 0
            worker.send_signal(signal.SIGTERM)
            said = shell.finish(worker)
    assert said.err.count("the L2 cache cannot be used") == 1
    assert len(cloudru.received) == 4
    for folder in (one, other):
        for path in folder.glob("*.json"):
            assert words_of(path) == texts(truth[path.stem])


def test_doctor_describes_redis_without_its_password(
    shell: Shell, shared_redis: RedisServer, tmp_path: Path
) -> None:
    del shared_redis
    assert "redis" not in findings(shell)
    with redis_server("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as own:
        with redis.Redis.from_url(own.url) as client:
            client.config_set("requirepass", PASSWORD)
        address = own.url.replace("//", f"//:{PASSWORD}@")
        shell.extra["STTBATCH_REDIS_URL"] = address
        found = findings(shell)["redis"]
        assert found["ok"], found
        for wanted in (f"redis://:***@127.0.0.1:{own.port}, Redis ", " ms away", "allkeys-lru"):
            assert wanted in found["text"]
        assert "broker" in found["text"]
        shell.extra["STTBATCH_REDIS_URL"] = own.url
        unknown = findings(shell)["redis"]
        assert (unknown["ok"], "authenticated" in unknown["text"].lower()) == (False, True), unknown
    assert PASSWORD not in str(found) + str(unknown)


@pytest.mark.slow
def test_redis_is_reached_over_tls(home: Path, shared_redis: RedisServer, tmp_path: Path) -> None:
    del shared_redis
    authority, names = trustme.CA(), ("ca.pem", "cert.pem", "key.pem")
    ca, certificate, key = (tmp_path / name for name in names)
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"tls-port": port, "tls-cert-file": certificate, "tls-key-file": key}
    options |= {"tls-ca-cert-file": ca, "tls-auth-clients": "no"}
    shell = Shell(home, extra={"STTBATCH_REDIS_URL": f"rediss://127.0.0.1:{port}"})
    with redis_server(
        *(part for name, value in options.items() for part in (f"--{name}", str(value)))
    ):
        distrusted = findings(shell)["redis"]
        assert (distrusted["ok"], "certificate" in distrusted["text"]) == (False, True)
        shell.extra["SSL_CERT_FILE"] = str(ca)
        found = findings(shell)["redis"]
    assert found["ok"], found


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://:{PASSWORD}@db", "it must begin with redis://"),
        (f"redis://:{PASSWORD}@db:port", "redis_url is not valid"),
        (f"redis://db?socket_timeout={PASSWORD}", "redis_url is not valid"),
    ],
)
def test_a_wrong_address_is_wrong_usage(shell: Shell, url: str, reason: str) -> None:
    shell.extra["STTBATCH_REDIS_URL"] = url
    refused = shell.run("cache", "stats")
    assert (refused.code, reason in refused.err) == (2, True), refused.err
    assert PASSWORD not in refused.err


def test_a_folder_does_not_choose_a_redis(shell: Shell) -> None:
    (shell.home / "sttbatch.toml").write_text('redis_url = "redis://thief:6379"\n')
    refused = shell.run("cache", "stats")
    assert (refused.code, "redis_url may not be set here" in refused.err) == (2, True)


def test_without_its_client_redis_is_wrong_usage(shell: Shell, tmp_path: Path) -> None:
    """An installation without the extra `cluster`; a module of its name stands before it."""
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "redis.py").write_text("raise ImportError('No module', name='redis')\n")
    shell.extra["PYTHONPATH"] = str(missing)
    assert shell.run("cache", "stats").code == 0, "it is imported only where it is chosen"
    shell.extra["STTBATCH_REDIS_URL"] = "redis://127.0.0.1:1"
    refused = shell.run("cache", "stats")
    assert refused.code == 2
    assert "redis_url needs redis: pip install 'sttbatch[cluster]'" in refused.err
