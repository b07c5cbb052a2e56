"""What others try in order to get the key, and what an endpoint says back."""

from __future__ import annotations

import json
import os
from itertools import zip_longest
from pathlib import Path

import psutil
import pytest

from sttbatch.composition.setting_values import check_base_url
from sttbatch.composition.settings import LOCAL_SETTINGS, Settings, load_settings
from sttbatch.core.addresses import without_password
from sttbatch.core.errors import UsageError
from tests.cloudru import (
    KEY,
    CloudRu,
    Fault,
    Fin,
    Goaway,
    Heard,
    HeardWord,
    NotJson,
    Status,
    Truncated,
    always,
    in_turn,
    make_recording,
)
from tests.shell import Shell, load

ECHO = {"error": {"message": f"sent with {KEY}", "code": KEY}}
ESCAPED = "".join(f"\\u{ord(character):04X}" for character in KEY)
HEADERS = {"x-request-id": f"request of {KEY}", "retry-after": "0.05"}


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=50, sample_rate=8_000, channels=1)
    return path


def holders(folder: Path) -> list[Path]:
    return [
        path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ]


def test_every_kind_of_failure_leaves_the_key_in_no_file_and_no_log(
    home_in_use: Path, tmp_path: Path, talk: Path
) -> None:
    """An endpoint that repeats it wherever it can, and a run that logs all it sees."""
    failing: list[Fault] = [
        Status(status, headers=HEADERS, body=ECHO) for status in (400, 404, 413, 422)
    ]
    passing: list[Fault] = [
        *(Status(status, headers=HEADERS, body=ECHO) for status in (408, 429, 500, 503)),
        Status(502, headers=HEADERS, body=f"<html>{KEY}</html>".encode()),
        Status(502, headers=HEADERS, body=f'{{"detail": "{ESCAPED}"}}'.encode()),
        Status(502, headers=HEADERS, body=f"sent with {ESCAPED}".encode("utf-16")),
        Fin(), Fin(after_body=True), Goaway(after_body=True), Truncated(), NotJson(),
    ]  # fmt: skip
    # Never several that look like an outage in a row, which would be waited out; and one answer
    # first, so that a 404 is not of the model.
    pairs = zip_longest(passing, failing)
    faults: list[Fault | None] = [None, *(each for pair in pairs for each in pair)]
    heard = Heard((HeardWord("0000", 0.5, 1.0), HeardWord("0001", 1.5, 2.0)), 10.0)
    with CloudRu(recognise=lambda _: heard) as endpoint:
        shell = Shell(home_in_use, endpoint)
        command = ("transcribe", talk, "-j", "1", "--chunk-duration", "10", "--retries", "5")
        endpoint.faults = in_turn(faults)
        result = shell.run(*command, "--log-format", "json")
        assert len(endpoint.received) > len(passing)
        assert "***" in result.err
        assert "request of ***" in result.err
        endpoint.faults = always(Status(401, headers=HEADERS, body=ECHO))
        assert shell.run(*command, "-v", "--force").code == 3
        assert {post.authorised for post in endpoint.received} == {True}
        for rest in (("jobs", "list"), ("config", "show"), ("doctor",), ("cache", "stats")):
            shell.run(*rest)
    assert holders(tmp_path) == []


SPELLED = {
    "plain": f'{{"text": "Bearer {KEY}"}}'.encode(),
    "escaped": f'{{"text": "Bearer {ESCAPED}"}}'.encode(),
    "in segments": (
        f'{{"segments": [{{"start": 0, "end": 9, "text": "Bearer {ESCAPED}", "words": '
        f'[{{"word": "Bearer", "start": 1}}, {{"word": "{ESCAPED}", "start": 2}}]}}]}}'
    ).encode(),
    "UTF-16": f'{{"text": "Bearer {KEY}"}}'.encode("utf-16"),
}


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(name, marks=[] if name == "in segments" else [pytest.mark.slow])
        for name in SPELLED
    ],
)
def test_a_transcript_that_repeats_the_key_is_stored_without_it(
    home_in_use: Path, tmp_path: Path, talk: Path, spelling: str
) -> None:
    answer = Status(200, headers=HEADERS, body=SPELLED[spelling])
    with CloudRu(faults=always(answer)) as endpoint:
        assert Shell(home_in_use, endpoint).transcribe(talk, "--words", "--no-audit").code == 0
    assert load(talk.with_suffix(".json"))["text"].startswith("Bearer ***")
    assert holders(tmp_path) == []


@pytest.mark.parametrize("status", [302, pytest.param(308, marks=pytest.mark.slow)])
def test_a_redirect_gets_nothing(shell: Shell, talk: Path, status: int) -> None:
    assert shell.endpoint is not None
    with CloudRu() as thief:
        address = f"{thief.base_url}/audio/transcriptions"
        shell.endpoint.faults = always(Status(status, headers={"location": address}))
        result = shell.transcribe(talk, "-j", "1")
        assert result.code == 3
        assert "redirects, which are not followed" in result.err
        assert thief.connections_opened == 0


def test_a_proxy_for_plain_http_is_not_shown_the_key(home_in_use: Path, talk: Path) -> None:
    """To this machine it is spoken directly, whatever the environment says."""
    with CloudRu(tls=False) as endpoint, CloudRu(tls=False) as thief:
        proxy = thief.base_url.removesuffix("/v1")
        variables = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), proxy)
        assert Shell(home_in_use, endpoint, variables).transcribe(talk).code == 0
        assert thief.connections_opened == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/v1", "http://localhost.example.org", "http://127.0.0.1.example.org",
        "http://localhost@example.org", "http://example.org\\@localhost", "http://local\thost",
        "http://localhost\n.example.org", "http://[::2]", "http://127.1", "http://0x7f.1",
        "ftp://localhost", "//localhost", "localhost", "https://", "https://x:y", "https://x:99999",
        "https://.", "https://[::1", "https://user:word@example.org", "https://example.org?a=b",
    ],
)  # fmt: skip
def test_an_address_that_the_key_must_not_go_to(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_base_url(url)


@pytest.mark.parametrize("url", ["https://example.org/v1/", "http://localhost:8000", "http://[::1]:1",
                                 "http://127.0.0.1/v1", "https://пример.рф"])  # fmt: skip
def test_an_address_that_is_fine(url: str) -> None:
    check_base_url(url)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("BASE", "https://user:open-sesame@example.org/v1"),
        ("DATABASE", "mysql://user:open-sesame@example.org/ledger"),
        ("DATABASE", "host=example.org password=open-sesame"),
    ],
)
def test_a_password_in_an_address_is_not_repeated(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"STTBATCH_{name}_URL", url)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "open-sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("//u:open-sesame@db/x", "//u:***@db/x"),
        ("//u:1@/open-sesame@db/x", "//u:***@db/x"),
        ("//db:5432/x?user=u&password=1@open-sesame", "//db:5432/x?user=u&password=***"),
        ("//db/x?sslpassword=open-sesame&port=1", "//db/x?sslpassword=***&port=1"),
        ("//db/x?%70assword=open-sesame", "//db/x?%70assword=***"),
        ("//db/x?options=-c%20a.b%3Dopen-sesame", "//db/x?options=***"),
        ("//u@db/x?target_session_attrs=any", "//u@db/x?target_session_attrs=any"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(f"postgresql:{url}") == f"postgresql:{shown}"


@pytest.mark.parametrize("name", sorted(set(Settings.__struct_fields__) - LOCAL_SETTINGS))
def test_a_folder_may_not_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where the key goes, nor where state lies, nor what may be spent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.toml").touch()
    monkeypatch.setenv("STTBATCH_CONFIG", str(tmp_path / "empty.toml"))
    for text in (f"{name} = 1\n", f"'{name}' = 'x'\n", f"[{name}]\nx = 1\n", f"{name}.x = 1\n"):
        Path("sttbatch.toml").write_text(text, "utf-8")
        with pytest.raises(UsageError, match=rf"sttbatch.toml, line 1: {name} may not be set here"):
            load_settings()


def test_a_folders_settings_that_are_no_file(home_in_use: Path) -> None:
    """A pipe is not waited for, a device not read, and no nesting is too deep."""
    local = home_in_use / "sttbatch.toml"
    shell = Shell(home_in_use)
    os.mkfifo(local)
    complaints = [shell.run("config", "show")]
    for target in ("/dev/zero", str(home_in_use)):
        local.unlink()
        local.symlink_to(target)
        complaints.append(shell.run("config", "show"))
    local.unlink()
    local.write_text("language = " + "[" * 5000)
    complaints.append(shell.run("config", "show"))
    for each in complaints:
        assert each.code == 2
        assert each.err.startswith("sttbatch: sttbatch.toml: ")
        assert "Traceback" not in each.err


def test_a_key_where_its_file_belongs_is_not_repeated(home_in_use: Path, talk: Path) -> None:
    result = Shell(home_in_use, None, {"CLOUDRU_API_KEY_FILE": KEY}).transcribe(talk)
    assert result.code == 2
    assert "the API key cannot be read from what CLOUDRU_API_KEY_FILE" in result.err


def test_no_child_is_given_the_key(shell: Shell, talk: Path, tmp_path: Path) -> None:
    """Media workers, as /proc shows them while a run is under way, and what doctor starts."""
    assert shell.endpoint is not None
    shell.endpoint.latency_s = 30.0
    process = shell.start("transcribe", talk, "-j", "2")
    shell.endpoint.wait_for(lambda e: e.log.in_flight > 0, timeout_s=60)
    parent = psutil.Process(process.pid)
    children = parent.children(recursive=True)
    assert children
    assert KEY in parent.environ().values()
    for child in children:
        assert KEY not in json.dumps(child.environ()) + json.dumps(child.cmdline())
    assert KEY not in json.dumps(parent.cmdline())
    process.kill()
    process.communicate()
    # The child of doctor is over in a moment, so it tells itself.
    (tmp_path / "av").mkdir()
    seen = tmp_path / "seen"
    (tmp_path / "av" / "__init__.py").write_text(
        f"import os, pathlib; pathlib.Path({str(seen)!r}).write_text(repr(dict(os.environ)))"
    )
    shell.extra["PYTHONPATH"] = str(tmp_path)
    shell.run("doctor")
    assert "PATH" in seen.read_text()
    assert KEY not in seen.read_text()
