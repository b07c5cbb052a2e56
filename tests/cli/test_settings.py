"""Which setting wins, and what is said of a wrong one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sttbatch import __version__
from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell


@pytest.fixture
def bare(home: Path) -> Shell:
    """No endpoint, no key."""
    return Shell(home)


@pytest.fixture
def user_file(home: Path) -> Path:
    path = home / ".config" / "sttbatch" / "config.toml"
    path.parent.mkdir(parents=True)
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
    assert bare.run("config", "init").out.strip() == str(user_file)
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
        ("formats = ['pdf']\n", "formats are txt, srt, vtt, tsv, json, md, html, docx, rttm"),
        ("base_url = 'http://example.org/v1'\n", "https only"),
        (
            "base_url = 'https://example.org/v1/audio/transcriptions'\n",
            "omit /audio/transcriptions",
        ),
        ("language = 'english'\n", "ISO-639-1"),
        ("\nlanguage = 'zz'\n", "line 2: language = 'zz': it must be the ISO-639-1 code"),
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


def test_a_language_that_whisper_does_not_know_is_wrong_usage(bare: Shell) -> None:
    for code in ("zz", "RU", "ru-RU", ""):
        result = bare.run("transcribe", ".", "--language", code)
        assert (result.code, result.out) == (2, ""), code
        assert f"option: language = {code!r}: it must be" in result.err
    bare.extra["STTBATCH_LANGUAGE"] = "yue"
    assert 'language = "yue"  # STTBATCH_LANGUAGE' in bare.run("config", "show").out


def test_a_settings_file_that_is_named_has_to_be_there(bare: Shell, tmp_path: Path) -> None:
    bare.extra["STTBATCH_CONFIG"] = str(tmp_path / "mistyped.toml")
    result = bare.run("config", "show")
    assert (result.code, result.out) == (2, "")
    assert "mistyped.toml: there is no such settings file" in result.err
    assert bare.run("config", "init").code == 0
    assert bare.run("config", "show").code == 0


def test_a_folder_cannot_redirect_the_key(
    home_in_use: Path, cloudru: CloudRu, tmp_path: Path
) -> None:
    make_recording(home_in_use / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    shell = Shell(home_in_use, cloudru)
    with CloudRu() as thief:
        (home_in_use / "sttbatch.toml").write_text(f"base_url = '{thief.base_url}'\n")
        result = shell.transcribe("talk.wav")
        assert result.code == 2
        assert "base_url may not be set here" in result.err
        assert thief.connections_opened == 0
    assert cloudru.received == []


@pytest.mark.parametrize(
    "text",
    [
        "channels = 'split'",
        "model = 'a/dearer-one'",
        *(
            pytest.param(text, marks=pytest.mark.slow)
            for text in (
                "audit = true",
                "vad = 'off'",
                "chunk_duration = 299",
                "max_chunk_mb = 1.5",
                "model = './weights'",
            )
        ),
    ],
)
def test_a_folder_cannot_raise_the_cost(shell: Shell, home: Path, text: str) -> None:
    """Nobody is asked, as cron could not answer: whoever wants it says so in a place of theirs."""
    make_recording(home / "talk.wav", duration_s=6, sample_rate=8_000, channels=2)
    (home / "sttbatch.toml").write_text(f"words = true\n{text}\n")
    name = text.partition(" ")[0]
    result = shell.transcribe("talk.wav")
    assert result.code == 2
    assert "sttbatch.toml, line 2: " in result.err
    assert f"may not be set here, only in {home}" in result.err
    assert f"or by STTBATCH_{name.upper()}" in result.err
    assert shell.endpoint is not None
    assert shell.endpoint.received == []


def test_a_folder_may_lower_the_cost(bare: Shell, user_file: Path, home: Path) -> None:
    user_file.write_text("channels = 'split'\n")
    (home / "sttbatch.toml").write_text("channels = 'mix'\naudit = false\nchunk_duration = 600\n")
    found = shown(bare)
    assert found["channels"].startswith('"mix"  # sttbatch.toml')
    assert found["audit"].startswith("false  # sttbatch.toml")


def test_doctor_says_what_to_do(home_in_use: Path, cloudru: CloudRu) -> None:
    healthy = Shell(home_in_use, cloudru).run("doctor", "--send")
    assert healthy.code == 0, healthy.out
    assert "HTTP/2" in healthy.out
    assert "the key is accepted" in healthy.out
    broken = Shell(home_in_use, cloudru, {"CLOUDRU_API_KEY": "", "SSL_CERT_FILE": ""}).run("doctor")
    assert broken.code == 1
    assert "FAIL  key: there is no API key; set CLOUDRU_API_KEY" in broken.out
    assert "FAIL  endpoint" in broken.out
    assert "curl -v" in broken.out


def test_doctor_for_programs(home_in_use: Path, cloudru: CloudRu, user_file: Path) -> None:
    key = home_in_use / "key"
    key.write_text(cloudru.key)
    key.chmod(0o640)
    shell = Shell(home_in_use, cloudru, {"CLOUDRU_API_KEY": "", "CLOUDRU_API_KEY_FILE": str(key)})
    result = shell.run("doctor", "--json")
    assert result.code == 0, result.out
    found = json.loads(result.out)
    names = [
        "settings", "key", "endpoint", "clock", "model", "disk", "database", "codecs",
        "local engine",
    ]  # fmt: skip
    assert [each["name"] for each in found["findings"]] == names
    texts = {each["name"]: each["text"] for each in found["findings"]}
    assert "chmod 600" in texts["key"]
    assert "HTTP/2, TLSv1.3" in texts["endpoint"]
    (home_in_use / "data" / "ledger.db").write_bytes(b"no database " * 1000)
    user_file.write_text("\n[[alerts]]\nmetric = 'cost'\nthreshold = 1\n")
    damaged = json.loads(shell.run("doctor", "--json").out)
    assert damaged["ok"] is False
    (wrong,) = (each for each in damaged["findings"] if not each["ok"])
    assert wrong["name"] == "database"
    assert "backup" in wrong["advice"]
    assert "1 alert" in damaged["findings"][0]["text"]
    user_file.write_text("retries = 'many'\n")
    mistaken = shell.run("doctor")
    assert mistaken.code == 1
    assert f"FAIL  settings: {user_file}, line 1: retries" in mistaken.out


def test_the_key_of_a_systemd_unit(home_in_use: Path, cloudru: CloudRu) -> None:
    (home_in_use / "cloudru-api-key").write_text(f"{cloudru.key}\n")
    extra = {"CLOUDRU_API_KEY": "", "CREDENTIALS_DIRECTORY": str(home_in_use)}
    make_recording(home_in_use / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    result = Shell(home_in_use, cloudru, extra).transcribe("talk.wav")
    assert result.code == 0, result.err


def test_the_version_is_printed_at_once(bare: Shell) -> None:
    assert bare.run("--version").out == f"sttbatch {__version__}\n"
    bare.extra["PYTHONPROFILEIMPORTTIME"] = "1"
    assert "typer" not in bare.run("--version").err


def test_bash_completes(bare: Shell) -> None:
    # The shell is recognised among the processes that the command was called by.
    script = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m sttbatch --show-completion; true"],
        env=bare.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "complete -o default -F _sttbatch_completion sttbatch" in script.stdout
    bare.extra |= {"_STTBATCH_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    bare.extra["COMP_WORDS"] = "sttbatch alerts "
    assert bare.run().out.split() == ["list", "test"]
    bare.extra["COMP_WORDS"] = "sttbatch stats --p"
    assert bare.run().out.split() == ["--prometheus", "--push"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete(bare: Shell, shell: str) -> None:
    bare.extra |= {
        "_STTBATCH_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "sttbatch alerts ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    offered = bare.run().out
    assert "list" in offered
    assert "List the rules" in offered
    bare.extra["_STTBATCH_COMPLETE"] = f"source_{shell}"
    script = bare.run().out
    assert script.lstrip().startswith({"zsh": "#compdef sttbatch", "fish": "complete "}[shell])
    interpreter = shutil.which(shell)
    if interpreter is None:
        pytest.skip(f"{shell} is not installed: its script was printed, not read")
    subprocess.run([interpreter, "-n"], input=script.encode(), check=True)
