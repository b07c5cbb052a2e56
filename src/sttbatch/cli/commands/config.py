"""sttbatch config: show, path, init."""

from __future__ import annotations

import os

import typer

from sttbatch.cli.console.text import printable

app = typer.Typer(help="Show and create settings.", no_args_is_help=True)

_ALERT = """\
# [[alerts]]
# name = "requests fail"
# metric = "failed_share"
# comparison = ">"
# threshold = 0.1
# window = "1h"
# severity = "warning"          # info, warning, critical
# notify = "webhook"            # or log, or both: ["log", "webhook"]
# url = "https://hooks.example.org/…"   # or several: ["https://…", "https://…"]
# enabled = true
"""


@app.command()
def show() -> None:
    """Print every setting, its value and its origin."""
    from sttbatch.composition.settings import PAYLOAD_KEY, SERVERS, Settings, load_settings
    from sttbatch.core.addresses import without_password

    loaded = load_settings()
    for name in Settings.__struct_fields__:
        value = getattr(loaded.settings, name)
        if name in SERVERS and value is not None:
            value = without_password(value)
        elif name == PAYLOAD_KEY and value is not None:
            value = "***"
        origin = loaded.origins.get(name, "default")
        typer.echo(printable(f"{name} = {_toml(value)}  # {origin}"))
    typer.echo(f"# {len(loaded.alerts)} alerts; see sttbatch alerts list")
    has_key = bool(os.environ.get("CLOUDRU_API_KEY"))
    typer.echo(f"# CLOUDRU_API_KEY is {'set' if has_key else 'not set'}")


@app.command()
def path() -> None:
    """Print the path of the user's settings file."""
    from sttbatch.composition.settings import user_file

    typer.echo(str(user_file()))


@app.command()
def init() -> None:
    """Write a settings file with every setting, commented out."""
    from sttbatch.composition.setting_descriptions import DESCRIPTIONS
    from sttbatch.composition.settings import Settings, user_file
    from sttbatch.core.errors import UsageError
    from sttbatch.monitoring.alerts import ALERT_METRICS

    file = user_file()
    defaults = Settings()
    lines = ["# Settings of sttbatch. Uncomment a line to change its setting.", ""]
    for name, text in DESCRIPTIONS.items():
        value = getattr(defaults, name)
        lines += [f"# {text}", f"# {name} = {_toml('' if value is None else value)}", ""]
    lines += ["# Alerts, notified once per incident; these tables come last. Metrics:"]
    lines += [f"#   {name}: {text}" for name, text in ALERT_METRICS.items()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as target:
            target.write("\n".join([*lines, _ALERT]))
    except FileExistsError:
        raise UsageError(f"{file} exists; edit it, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from error
    typer.echo(str(file))


def _toml(value: object) -> str:
    import json

    if value is None:
        return '""  (not set)'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)
