"""Which setting wins, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell


@pytest.fixture
def bare(home: Path) -> Shell:
    """No endpoint, no key."""
    return Shell(home)


@pytest.fixture
def user_file(bare: Shell) -> Path:
    path = Path(bare.run("config", "init").out.strip())
    assert path.is_file()
    return path


def shown(shell: Shell) -> dict[str, str]:
    """Setting by name, as `config show` prints it."""
    lines = shell.run("config", "show").out.splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def test_the_nearest_layer_wins(bare: Shell, user_file: Path, home: Path) -> None:
    user_file.write_text('language = "ru"\nconcurrency = 2\nretries = 1\n')
    (home / "sttbatch.toml").write_text('language = "de"\nconcurrency = 3\n')
    bare.extra["STTBATCH_CONCURRENCY"] = "5"
    found = shown(bare)
    assert found["retries"].startswith("1  # ")
    assert found["language"].startswith('"de"  # sttbatch.toml')
    assert found["concurrency"] == "5  # STTBATCH_CONCURRENCY"
    assert found["max_lines"] == "2  # default"


def test_a_written_file_changes_nothing(bare: Shell, user_file: Path) -> None:
    assert all(
        value.endswith("# default") for name, value in shown(bare).items() if name != "data_dir"
    )
    again = bare.run("config", "init")
    assert again.code == 2
    assert str(user_file) in again.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\n\nlangauge = 'ru'\n", "line 3: there is no setting 'langauge'"),
        ("retries = 3\nconcurrency = 99\n", "line 2: concurrency = 99: it must be 1 to 10"),
        ("concurrency = 'many'\n", "line 1: concurrency = 'many'"),
        ("formats = ['pdf']\n", "formats are txt, srt, vtt, tsv, json"),
        ("base_url = 'http://example.org/v1'\n", "https only"),
        ("base_url = 'https://example.org/v1/audio/transcriptions'\n", "leave out"),
        ("language = 'english'\n", "ISO-639-1"),
        ("outage_wait = 'soon'\n", "such as 90"),
        ("retries = \n", "line 1"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(
    bare: Shell, user_file: Path, text: str, complaint: str
) -> None:
    user_file.write_text(text)
    result = bare.run("config", "show")
    assert result.code == 2
    assert str(user_file) in result.err
    assert complaint in result.err
    assert "Traceback" not in result.err


def test_a_folder_cannot_redirect_the_key(home: Path, cloudru: CloudRu, tmp_path: Path) -> None:
    make_recording(home / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    shell = Shell(home, cloudru)
    with CloudRu() as thief:
        (home / "sttbatch.toml").write_text(f"base_url = '{thief.base_url}'\n")
        result = shell.transcribe("talk.wav")
        assert result.code == 2
        assert "base_url may not be set here" in result.err
        assert thief.connections_opened == 0
    assert cloudru.received == []


def test_doctor_says_what_to_do(home: Path, cloudru: CloudRu) -> None:
    healthy = Shell(home, cloudru).run("doctor", "--send")
    assert healthy.code == 0, healthy.out
    assert "HTTP/2" in healthy.out
    assert "the key is accepted" in healthy.out
    broken = Shell(home, cloudru, {"CLOUDRU_API_KEY": "", "SSL_CERT_FILE": ""}).run("doctor")
    assert broken.code == 1
    assert "FAIL  key: there is no API key; set CLOUDRU_API_KEY" in broken.out
    assert "FAIL  endpoint" in broken.out


def test_the_version_is_printed(bare: Shell) -> None:
    assert bare.run("--version").out.startswith("sttbatch ")
