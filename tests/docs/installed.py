"""`pip install` for the examples: whether what they name is installed and has their extras."""

from __future__ import annotations

import sys
from importlib.metadata import metadata

from packaging.requirements import Requirement


def main() -> None:
    command, *names = sys.argv[1:]
    assert command == "install", command
    for name in names:
        wanted = Requirement(name)
        known = set(metadata(wanted.name).get_all("Provides-Extra") or ())
        assert wanted.extras <= known, f"{wanted.name} has no extra {wanted.extras - known}"


if __name__ == "__main__":
    main()
