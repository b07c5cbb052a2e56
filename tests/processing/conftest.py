"""Recordings that several tests cut, each made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.cloudru import HeardWord, make_recording

Recorded: TypeAlias = tuple[Path, list[HeardWord]]
Record: TypeAlias = Callable[..., Recorded]


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A recording and its words, by name and `make_recording`'s arguments."""
    folder = tmp_path_factory.mktemp("recordings")
    made: dict[str, Recorded] = {}

    def recorded(name: str, duration_s: float = 14.0, **how: Any) -> Recorded:
        key = f"{name} {duration_s} {sorted(how.items())}"
        if key not in made:
            path = folder / str(len(made)) / name
            path.parent.mkdir()
            made[key] = path, make_recording(path, duration_s=duration_s, **how)
        return made[key]

    return recorded
