"""Alerts as their users set them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sttbatch.composition.alert_settings import alert_rules
from sttbatch.core.errors import UsageError
from tests.cloudru import CloudRu, Status, make_recording
from tests.listener import Listener
from tests.shell import Shell

RULE = """
[[alerts]]
name = "requests fail"
metric = "failed_share"
threshold = 0.4
"""


@pytest.fixture
def user_file(home: Path) -> Path:
    path = home / ".config" / "sttbatch" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


class Hook(Listener):
    """A webhook whose address is a secret."""

    @property
    def url(self) -> str:
        return f"http://{self.address}/T0/s3cr3t"

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook.running() as server:
        yield server


@pytest.fixture
def talk(home: Path) -> str:
    make_recording(home / "talk.wav", duration_s=11, sample_rate=8_000, channels=1)
    return "talk.wav"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[alerts]]\nthreshold = 1\n", "line 1: an alert needs a metric"),
        ("[[alerts]]\nmetric = 'cost'\n", "line 1: an alert needs a threshold"),
        ("\n[[alerts]]\nmetric = 'speed'\nthreshold = 1\n", "line 3: there is no metric 'speed'"),
        (f"{RULE}\n{RULE}", "line 9: there are two alerts 'requests fail'"),
        (f"{RULE}comparison = '=>'\n", "line 6: comparison = '=>'"),
        (f"{RULE}window = 'soon'\n", "line 6: window = 'soon': it must be a duration"),
        (f"{RULE}window = 0\n", "line 6: window = 0: it must be 1s to 366d"),
        (f"{RULE}threshold_s = 1\n", "line 6: an alert has no 'threshold_s'"),
        (f"{RULE}notify = 'mail'\n", "line 6: notify = 'mail'"),
        (f"{RULE}notify = 'webhook'\n", 'line 6: notify = "webhook" needs a url'),
        (
            f"{RULE}notify = 'webhook'\nurl = 'http://a.example/b'\n",
            "line 7: a webhook needs https",
        ),
        (f"{RULE}notify = 'webhook'\nurl = 'https://u:p@a.example/b'\n", "line 7: the url must"),
        (f"{RULE}url = 'https://a.example/b'\n", "line 6: a url is for"),
        (f"{RULE}notify = []\n", "line 6: notify = []: name a channel"),
        (f"{RULE}notify = ['log', 'mail']\n", "line 6: notify = ['log', 'mail']"),
        (f"{RULE}enabled = 'no'\n", "line 6: enabled = 'no'"),
        (
            f"{RULE}notify = 'webhook'\nurl = ['https://a.example/b', 'http://a.example/b']\n",
            "line 7: a webhook needs https",
        ),
        ("retries = 1\nalerts = 3\n", "line 2: alerts are tables"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"config.toml, {complaint}")):
        alert_rules(tomllib.loads(text)["alerts"], text, Path("config.toml"))


def test_a_mistake_ends_every_command(home: Path, user_file: Path) -> None:
    user_file.write_text(f"retries = 1\n{RULE}retries = 2\n")
    result = Shell(home).run("transcribe", ".", "--engine", "local")
    assert (result.code, result.out) == (2, "")
    assert f"{user_file}, line 7: an alert has no 'retries'" in result.err
    assert "Traceback" not in result.err


def test_a_folder_from_a_stranger_sets_no_alert(
    shell: Shell, home: Path, talk: str, hook: Hook
) -> None:
    (home / "sttbatch.toml").write_text(
        f"language = 'en'\n[[alerts]]\nmetric = 'requests'\nthreshold = 0\nnotify = 'webhook'\n"
        f"url = '{hook.url}'\n"
    )
    result = shell.transcribe(talk)
    assert result.code == 2
    assert "sttbatch.toml, line 2: alerts may not be set here" in result.err
    assert shell.run("alerts", "test").code == 2
    shell.extra["STTBATCH_ALERTS"] = "[]"
    (home / "sttbatch.toml").unlink()
    assert shell.transcribe(talk).code == 0
    assert hook.told == []


def test_it_is_told_at_the_end_of_a_run_and_once(
    shell: Shell, cloudru: CloudRu, user_file: Path, talk: str, hook: Hook
) -> None:
    user_file.write_text(
        f"{RULE}[[alerts]]\nmetric = 'requests'\ncomparison = '>='\nthreshold = 1\n"
        f"severity = 'critical'\nwindow = '1d'\nnotify = 'webhook'\nurl = '{hook.url}'\n"
    )
    cloudru.faults = lambda _: Status(400)
    result = shell.transcribe(talk, "-q")
    assert result.code == 1
    alert = "warning alert: requests fail: failed_share is 1 over the last 3600 s (> 0.4)"
    assert alert in result.err.splitlines()
    (told,) = hook.told
    assert told["alert"] == "requests >= 1 over 86400 s"
    assert (told["severity"], told["value"], told["test"]) == ("critical", 1.0, False)
    assert cloudru.key not in json.dumps(told)
    cloudru.faults = None
    again = shell.transcribe(talk)
    assert again.code == 0, again.err
    assert "alert" not in again.err
    assert len(hook.told) == 1
    table = shell.run("alerts", "list").out.splitlines()
    assert table[1].split()[:2] == ["requests", "fail"]
    assert "fired" in table[1]
    listed = json.loads(shell.run("alerts", "list", "--json").out)
    assert [each["value"] for each in listed] == [0.5, 2.0]
    assert "s3cr3t" not in json.dumps(listed)


@pytest.mark.slow
def test_a_rule_may_have_several_channels_or_none_for_a_while(
    shell: Shell, user_file: Path, talk: str, hook: Hook
) -> None:
    several = (
        "[[alerts]]\nname = 'sent'\nmetric = 'requests'\nthreshold = 0\n"
        f"notify = ['log', 'webhook']\nurl = ['{hook.url}', '{hook.url}-too']\n"
    )
    user_file.write_text(f"{several}enabled = false\n")
    assert "alert" not in shell.transcribe(talk).err
    table = shell.run("alerts", "list").out.splitlines()
    assert table[1].split()[-2:] == ["log,webhook", "disabled"]
    assert shell.run("alerts", "test").code == 2
    assert hook.told == []

    user_file.write_text(several)
    assert "warning alert: sent: requests is 1" in shell.transcribe(talk).err
    assert [each["alert"] for each in hook.told] == ["sent", "sent"]
    (listed,) = json.loads(shell.run("alerts", "list", "--json").out)
    assert (listed["notify"], listed["enabled"]) == ("log,webhook", True)
    assert "s3cr3t" not in json.dumps(listed)
    tried = shell.run("alerts", "test").out.splitlines()
    assert [line.split()[0] for line in tried] == ["ok"] * 3
    assert len(hook.told) == 4


@pytest.mark.slow
def test_what_has_cleared_is_told_again_when_it_comes_back(
    shell: Shell, cloudru: CloudRu, user_file: Path, talk: str, hook: Hook
) -> None:
    user_file.write_text(
        f"[[alerts]]\nmetric = 'failed_share'\nthreshold = 0.5\nnotify = 'webhook'\n"
        f"url = '{hook.url}'\n"
    )
    told = []
    for fails in (True, False, True):
        cloudru.faults = (lambda _: Status(400)) if fails else None
        assert shell.transcribe(talk, "--force", "-q").code == int(fails)
        told.append(len(hook.told))
    assert told == [1, 1, 2]
    assert hook.told[-1]["value"] == pytest.approx(2 / 3)


def test_a_webhook_that_fails_fails_no_run(
    shell: Shell, cloudru: CloudRu, user_file: Path, talk: str, hook: Hook
) -> None:
    user_file.write_text(
        f"[[alerts]]\nname = 'sent'\nmetric = 'requests'\nthreshold = 0\nnotify = 'webhook'\n"
        f"url = '{hook.url}'\n"
    )
    hook.status = 500
    result = shell.transcribe(talk, "--log-format", "json")
    assert result.code == 0, result.err
    events = [json.loads(line) for line in result.err.splitlines()]
    (warning,) = (each["message"] for each in events if each["event"] == "Warned")
    assert warning.startswith(f"alert sent: the webhook at 127.0.0.1:{hook.server_port} answered")
    assert events[-1]["event"] == "summary"
    assert "s3cr3t" not in result.err
    failing = shell.run("alerts", "test")
    assert failing.code == 1
    assert "FAIL  sent" in failing.out
    hook.status = 200
    assert shell.run("alerts", "test", "sent").out == "ok    sent: the webhook accepted it\n"
    assert hook.told[-1]["test"] is True
    assert shell.run("alerts", "test", "absent").code == 2
    assert shell.transcribe(talk).code == 0
    assert hook.told[-1]["test"] is False
