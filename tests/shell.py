"""sttbatch as a user has it: a process of its own, a home of its own, nothing inherited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cloudru import KEY, CloudRu, HeardWord
from tests.schemas import check


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def summary(self) -> str:
        return self.err.strip().splitlines()[-1]


@dataclass
class Shell:
    """Runs the command line in `home`, against `endpoint` if there is one."""

    home: Path
    endpoint: CloudRu | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        found = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "STTBATCH_DATA_DIR": str(self.home / "data"),
        }
        if self.endpoint is not None:
            found |= {
                "CLOUDRU_API_KEY": self.endpoint.key,
                "STTBATCH_BASE_URL": self.endpoint.base_url,
                "SSL_CERT_FILE": str(self.endpoint.ca_file),
            }
        return found | self.extra

    def start(
        self, *arguments: str | Path, cwd: Path | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sttbatch", *map(str, arguments)],
            env=self.environment,
            cwd=cwd or self.home,
            stderr=subprocess.PIPE,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options},
        )

    def finish(self, process: subprocess.Popen[bytes]) -> Result:
        """Its result once it has ended, for which the test as a whole has a limit."""
        try:
            out, err = process.communicate()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        assert KEY.encode() not in (out or b"") + err
        return Result(process.returncode, (out or b"").decode(), err.decode())

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> Result:
        return self.finish(self.start(*arguments, cwd=cwd))

    def transcribe(self, *arguments: str | Path, cwd: Path | None = None) -> Result:
        return self.run("transcribe", *arguments, cwd=cwd)


def words_of(path: Path) -> list[str]:
    """The words of a json output, as its text has them."""
    return str(load(path)["text"]).split()


def load(path: Path) -> dict[str, Any]:
    """A file of JSON; a transcript is checked against its schema."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if {"sha256", "segments"} <= found.keys():
        check("transcript", found)
    return found


def texts(words: Sequence[HeardWord]) -> list[str]:
    return [word.text for word in words]


def worst_offset_s(path: Path, truth: Sequence[HeardWord]) -> float:
    """How far the worst word of a json output with --words is from where it was said."""
    found = [word for segment in load(path)["segments"] for word in segment["words"]]
    assert [word["word"] for word in found] == texts(truth)
    worst: float = max(
        max(abs(word["start"] - true.start_s), abs(word["end"] - true.end_s))
        for word, true in zip(found, truth, strict=True)
    )
    return worst
