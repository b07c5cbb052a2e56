"""What the README and deploy/ tell people to paste, run as cron, systemd and CI would."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.shell import Result, load, texts

ROOT = Path(__file__).parents[2]
CRON_PATH = "/usr/bin:/bin"
UNIT_FOLDER = ROOT / "deploy" / "systemd"
UNITS = ("sttbatch.service", "sttbatch-watch.service", "sttbatch-worker.service")
UNIT_PROGRAM = "/opt/sttbatch/bin/sttbatch"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def crontab_command() -> str:
    """The line of the page on cron, as cron hands it to the shell."""
    (line,) = re.findall(
        r"^15 \* \* \* \* +(.+)$", (ROOT / "docs" / "how-to" / "cron.md").read_text(), re.MULTILINE
    )
    assert "%" not in line  # cron would end the line there
    return str(line)


def installed(path: Path, executable: str = sys.executable) -> None:
    """What `pip install` makes of the entry point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {executable} -m sttbatch "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Cron:
    """A user's machine with the line in its crontab; no terminal, next to no environment."""

    def __init__(self, home: Path, recordings: Path, endpoint: CloudRu) -> None:
        self.home = home
        self.log = home / "sttbatch.log"
        self.key = home / ".config" / "cloudru.key"
        installed(home / ".local" / "bin" / "sttbatch")
        config = home / ".config" / "sttbatch" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f"base_url = '{endpoint.base_url}'\n")
        self.key.write_text(f"{endpoint.key}\n")
        self.command = crontab_command().replace("/srv/recordings", f"'{recordings}'")
        assert str(recordings) in self.command

    def run(self) -> Result:
        done = subprocess.run(
            ["env", "-i", f"HOME={self.home}", "LOGNAME=me", "SHELL=/bin/sh", f"PATH={CRON_PATH}",
             "/bin/sh", "-c", self.command],
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=110,
            check=False,
            start_new_session=True,
        )  # fmt: skip
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    @property
    def last(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.log.read_text().splitlines()[-1])
        return found


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    return folder


def record(path: Path, age_s: float) -> list[HeardWord]:
    words = make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return words


def test_the_crontab_line(home: Path, recordings: Path) -> None:
    with CloudRu(tls=False) as endpoint:
        cron = Cron(home, recordings, endpoint)
        said = record(recordings / "погода 1.wav", 120)
        record(recordings / "young.wav", 0)
        well = cron.run()
        assert (well.code, well.out, well.err) == (0, "", "")
        assert load(recordings / "погода 1.json")["text"].split() == texts(said)
        assert (cron.last["event"], cron.last["done"], cron.last["too_young"]) == ("summary", 1, 1)
        (recordings / "broken.mp3").write_bytes(b"no audio" * 100)
        os.utime(recordings / "broken.mp3", (0, 0))
        ill = cron.run()
        assert (ill.code, ill.out) == (1, "")
        (mail,) = ill.err.splitlines()
        assert mail.startswith(f"{recordings}/broken.mp3: failed: ")
        assert (cron.last["exit_code"], cron.last["failed"]) == (1, 1)
        cron.key.unlink()
        keyless = cron.run()
        assert (keyless.code, keyless.out) == (2, "")
        assert "the API key cannot be read from" in keyless.err
        assert cron.last["exit_code"] == 2
    assert endpoint.errors == []
    assert len(endpoint.received) == 1


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A service, beside its timer if it has one; its command is one that exists here."""
    source = UNIT_FOLDER / str(request.param)
    program = tmp_path / "sttbatch"
    installed(program)
    path = tmp_path / source.name
    path.write_text(source.read_text().replace(UNIT_PROGRAM, str(program)))
    assert str(program) in path.read_text()
    if source.with_suffix(".timer").exists():
        shutil.copy(source.with_suffix(".timer"), tmp_path)
    return path


@needs_systemd
def test_systemd_takes_the_units(unit: Path) -> None:
    result = subprocess.run(
        ["systemd-analyze", "verify", *unit.parent.glob("*.service"), *unit.parent.glob("*.timer")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_hardened(unit: Path) -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-400:]


def test_the_unit_hands_over_the_key_under_the_name_that_is_read(unit: Path) -> None:
    from sttbatch.composition.credentials import CREDENTIAL

    assert f"LoadCredential={CREDENTIAL}:" in unit.read_text()


def install_lines() -> list[str]:
    text = (UNIT_FOLDER / "sttbatch.service").read_text()
    return re.findall(r"^#   (.+)$", text, re.MULTILINE)


def test_what_the_unit_names_is_there_once_it_is_installed(unit: Path, home: Path) -> None:
    lines = install_lines()
    values = dict(
        line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"\w+=", line)
    )
    config = values["Environment"].rpartition("STTBATCH_CONFIG=")[2]
    _, _, key = values["LoadCredential"].partition(":")
    for path in (key, values["ReadWritePaths"]):
        assert any(line.startswith("install ") and path in line.split() for line in lines), path
    (init,) = (line for line in lines if config in line)
    program = unit.parent / "sttbatch"
    for path, mine in ((config, home / "etc" / "config.toml"), (UNIT_PROGRAM, program)):
        init = init.replace(path, str(mine))
    environment = {"HOME": str(home), "PATH": CRON_PATH}
    subprocess.run(["/bin/sh", "-c", init], env=environment, cwd=home, check=True)
    environment["STTBATCH_CONFIG"] = str(home / "etc" / "config.toml")
    subprocess.run([program, "config", "show"], env=environment, cwd=home, check=True)


def test_what_is_submitted_as_the_worker_says_is_what_it_may_write() -> None:
    text = (UNIT_FOLDER / "sttbatch-worker.service").read_text()
    (said,) = re.findall(r"^#   (sudo .+\\\n#.+)$", text, re.MULTILINE)
    words = said.replace("\\\n#", "").split()
    program = words.index(UNIT_PROGRAM)
    assert words[program + 1] == "submit"
    recordings, option, outputs = words[program + 2 :]
    assert f"\nReadOnlyPaths={recordings}\n" in text
    assert (option, f"\nReadWritePaths={outputs}\n" in text) == ("-o", True)
    # Its own settings say for which workers a job is.
    assert {each for each in words if each.startswith("STTBATCH_")} == {
        "STTBATCH_CONFIG=/etc/sttbatch/config.toml",
        "STTBATCH_DATA_DIR=/var/lib/sttbatch",
    }


def test_the_unit_leaves_the_boot_id_in_sight(unit: Path) -> None:
    """The rate limit and the locks of workers know by it that the machine was started anew."""
    settings = unit.read_text().splitlines()
    assert not any(line.startswith("ProcSubset=") for line in settings), "all is the default"


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("yaml") is None or importlib.util.find_spec("faster_whisper") is None,
    reason="needs PyYAML and faster-whisper",
)
def test_the_github_workflow(home: Path, tmp_path: Path) -> None:
    import yaml  # type: ignore[import-untyped]

    workflow = yaml.safe_load((ROOT / "deploy" / "github" / "transcription-smoke.yml").read_text())
    job = workflow["jobs"]["transcribe"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    program = tmp_path / "bin" / "sttbatch"
    installed(program)
    (program.parent / "python").symlink_to(sys.executable)
    (home / "recordings").mkdir()
    shutil.copy(ROOT / "fixtures" / "speech" / "bread.flac", home / "recordings")
    for name in ("transcribe", "check"):
        result = subprocess.run(
            # As GitHub's runners call bash.
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", steps[name]],
            env={"HOME": str(home), "PATH": f"{program.parent}:{CRON_PATH}", **job["env"]},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert result.returncode == 0, result.stderr
    assert "bread" in (home / "transcripts" / "bread.txt").read_text()
