"""The entry point; `--version` is answered before typer is imported."""

import sys

from sttbatch.core.version import __version__


def main() -> None:
    """Run the command line; the process ends here."""
    if sys.argv[1:] == ["--version"]:
        print(f"sttbatch {__version__}")  # noqa: T201
        return
    from sttbatch.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
