"""Writes the reference from the code: commands, settings, exit codes, events, metrics, man page.

    python docs/generate.py [--check]

With --check nothing is written; exit 1 when a page is stale.
"""

from __future__ import annotations

import asyncio
import html
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Without them the text would follow the terminal that it is made in.
os.environ.update(TERM="dumb", NO_COLOR="1", COLUMNS="100")

import msgspec
import typer
from rich.text import Text
from schemas import json_page
from typer.cli import get_docs_for_click

from sttbatch.cli import exit_codes
from sttbatch.cli.app import program
from sttbatch.composition.setting_descriptions import DESCRIPTIONS
from sttbatch.composition.settings import (
    LOCAL_MINIMA,
    LOCAL_SETTINGS,
    LOCAL_VALUES,
    Settings,
)
from sttbatch.core import events
from sttbatch.core.version import __version__

DOCS = Path(__file__).parent
VARIABLES = {
    "CLOUDRU_API_KEY": "the API key",
    "CLOUDRU_API_KEY_FILE": "a file with the API key",
    "STTBATCH_CONFIG": "another settings file",
    "STTBATCH_NAME": "the setting `name`, such as STTBATCH_LANGUAGE",
    "SSL_CERT_FILE, HTTPS_PROXY, NO_PROXY": "certificates and proxies, as elsewhere",
}
HEAD = "<!-- Made by `make docs` from the code; change it there. -->\n\n"


def commands() -> str:
    """All commands with their options."""
    root = typer.main.get_command(program())
    context = typer.Context(root, info_name="sttbatch")
    _as_plain_text(root)
    page = get_docs_for_click(obj=root, ctx=context, name="sttbatch")
    # What it escapes stands in code spans or is an apostrophe.
    return html.unescape(page)


def man_page() -> str:
    """All commands with their options, in the language of man (7)."""
    root = typer.main.get_command(program())
    _as_plain_text(root)
    lines = [
        f'.TH STTBATCH 1 "" "sttbatch {__version__}"',
        *(".SH NAME", "sttbatch \\- folders of recordings in, transcripts out"),
        *(".SH SYNOPSIS", ".B sttbatch", "[OPTIONS] COMMAND [ARGS]..."),
        *(".SH DESCRIPTION", *_roff(root.help or "")),
    ]
    for context in _contexts(typer.Context(root, info_name="sttbatch")):
        command = context.command
        if command is not root:
            usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
            lines += [f".SH {context.command_path.upper()}", ".B " + _escaped(usage), ".PP"]
            lines += _roff(command.help or "")
        for record in (param.get_help_record(context) for param in command.get_params(context)):
            if record is not None:
                lines += [".TP", ".B " + _escaped(record[0]), *_roff(record[1])]
    title, _, examples = (root.epilog or "").partition(":\n\n")
    lines += [f".SH {title.upper()}", ".nf", *_roff(examples), ".fi"]
    lines.append(".SH EXIT STATUS")
    for code, meaning in exit_codes.MEANINGS.items():
        lines += [".TP", f".B {code}", *_roff(meaning)]
    lines.append(".SH ENVIRONMENT")
    for variable, meaning in VARIABLES.items():
        lines += [".TP", f".B {variable}", *_roff(meaning)]
    return "\n".join(lines) + "\n"


def _contexts(context: typer.Context) -> Iterator[typer.Context]:
    yield context
    for name, command in getattr(context.command, "commands", {}).items():
        yield from _contexts(typer.Context(command, info_name=name, parent=context))


def _roff(text: str) -> list[str]:
    return [_escaped(line) or ".PP" for line in inspect.cleandoc(text).splitlines()]


def _escaped(line: str) -> str:
    # A line that begins with a dot or an apostrophe would be a request.
    escaped = line.strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _as_plain_text(command: object) -> None:
    """Help texts without rich's markup, and whole: lists of commands cut them at 45 characters."""
    for each in getattr(command, "params", ()):
        each.help = Text.from_markup(getattr(each, "help", None) or "").plain
    for each in getattr(command, "commands", {}).values():
        each.short_help = (each.help or "").strip().splitlines()[0]
        _as_plain_text(each)


def settings() -> str:
    """The table of settings."""
    defaults = Settings()
    rows = []
    for name, text in DESCRIPTIONS.items():
        value = getattr(defaults, name)
        default = "" if value is None else f"`{msgspec.json.encode(value).decode()}`"
        rows.append((f"`{name}`{_star(name)}", default, _range(name), text))
    return f"""\
# Settings

Strongest first: option, environment, `./sttbatch.toml`, the user's file (`sttbatch config path`;
`sttbatch config init` writes one with all settings). `sttbatch config show` prints the origin of each
value. Each setting is also an environment variable: `STTBATCH_LANGUAGE`, `STTBATCH_CONCURRENCY`, …
`STTBATCH_CONFIG` names another settings file; the key is in `CLOUDRU_API_KEY` or in the file that
`CLOUDRU_API_KEY_FILE` names.

`./sttbatch.toml` may only contain settings marked with \\*: a folder from a stranger must not redirect
the key, name a model or raise the cost. Anything else in it ends the run with exit code 2 before
anything is sent. Give what costs more as an option, an environment variable or in the user's file.

{_table(("setting", "default", "values", "meaning"), rows)}
Durations are seconds, or numbers with a unit: 90, 90s, 10m, 2h, 7d. [Alerts](../how-to/alerts.md) are
tables `[[alerts]]` at the end of the user's file.

A run needs 1 GiB of address space (`ulimit -v`) and 64 open files (`ulimit -n`); with less it ends
with exit code 2 before anything is sent. `SSL_CERT_FILE` and the proxy variables are honoured.
"""


def _star(name: str) -> str:
    if name in LOCAL_VALUES:
        return f" \\* (`{msgspec.json.encode(LOCAL_VALUES[name]).decode()}` only)"
    if name in LOCAL_MINIMA:
        return f" \\* (from {LOCAL_MINIMA[name]})"
    return " \\*" if name in LOCAL_SETTINGS else ""


_SCHEMAS = msgspec.json.schema(Settings)["$defs"]


def _range(name: str) -> str:
    """Which values a setting may have, where the type alone does not say it."""
    schema = _SCHEMAS["Settings"]["properties"][name]
    found = []
    for kind in schema.get("anyOf", [schema]):
        of = _SCHEMAS[kind["$ref"].rpartition("/")[2]] if "$ref" in kind else kind
        if "enum" in of:
            found += map(str, of["enum"])
        elif "minimum" in of:
            found.append(f"{of['minimum']:,g} to {of['maximum']:,g}")
        elif of.get("type") == "boolean":
            found += ["true", "false"]
    return ", ".join(found)


def codes() -> str:
    """The table of exit codes."""
    rows = [(str(code), text) for code, text in exit_codes.MEANINGS.items()]
    return f"""\
# Exit codes

{_table(("code", "meaning"), rows)}
Where several apply: a signal, then 3, 4, 2, 1. `search` exits as grep does: 1 if nothing is found.
"""


def log_events() -> str:
    """The events of the log and their fields."""
    parts = [
        f"""\
# Events

`--log-format json` writes one object a line, with `time` (ISO 8601, UTC), `event` (the names below),
`recording` (its path as it was given), `job` (its id) and the fields of the event. The last line is the
[summary](../how-to/logs.md). {_text(events)}
"""
    ]
    for name, event in inspect.getmembers(events, inspect.isclass):
        if not (issubclass(event, events.Event) and event is not events.Event):
            continue
        fields = [field.name for field in msgspec.structs.fields(event)]
        listed = ", ".join(f"`{field}`" for field in fields if field != "recording")
        parts.append(f"## {name}\n\n{_text(event)}\n\n{listed and f'Fields: {listed}.'}\n")
    return "\n".join(parts)


def _text(described: Any) -> str:
    """A docstring without its first line if that only names the module, as Markdown."""
    text = inspect.getdoc(described) or ""
    # Google's style: a list of `name: meaning`.
    return re.sub(r"(?m)^ {4}(\w[\w, ]*): ", r"- `\1`: ", text.replace("Attributes:\n", "\n"))


def metrics() -> str:
    """The tables of Prometheus's families."""
    of_ledger, of_worker = asyncio.run(_all_families())
    return f"""\
# Metrics

What Prometheus, a Pushgateway, remote write and OpenTelemetry get; [how to](../how-to/prometheus.md).
Counters end in `_total`; all are of the whole lifetime of a ledger, whose name is the label `ledger`,
and name no recordings.

## Of a ledger

{_families(of_ledger)}
## Of a worker

{_families(of_worker)}"""


async def _all_families() -> tuple[list[Any], list[Any]]:
    """Those of a ledger with one run, and those of a worker that has it."""
    from sttbatch.composition.stores import statistics_sources
    from sttbatch.core.jobs import WorkerLoad
    from sttbatch.core.metrics import RunEnd
    from sttbatch.monitoring import exporter, worker_exporter

    with tempfile.TemporaryDirectory() as folder:
        with statistics_sources(Settings(data_dir=folder)) as sources:
            of_ledger = await exporter.ledger_families(sources)
            ledger = worker_exporter.LedgerFigures(sources, _NoOrders(), _nobody, "")
            of_worker = await worker_exporter._queue_families(ledger, 600)
    of_ledger += exporter._last_run_families((0.0, 1), (0.0, RunEnd(1, 0, 0, 0)))
    pool = ("pool_size", "pool_available", "requests_waiting", "requests_num", "requests_wait_ms")
    connections = dict.fromkeys((*pool, "connections_lost"), 0)
    own = worker_exporter.OwnFigures(WorkerLoad(), connections)
    return of_ledger, [*worker_exporter._own_families(own), *of_worker]


class _NoOrders:
    async def queued(self, _route: str) -> dict[Any, Any]:
        return {}


async def _nobody() -> list[Any]:
    return []


def _families(families: Sequence[Any]) -> str:
    rows = []
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in family._labelnames)
        rows.append((f"`{name}`", family.type, labels, family.documentation))
    return _table(("metric", "type", "labels", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def pages() -> dict[str, str]:
    """All pages, by their paths below docs/."""
    made = {
        "cli.md": commands(),
        "reference/settings.md": settings(),
        "reference/exit-codes.md": codes(),
        "reference/events.md": log_events(),
        "reference/json.md": json_page(),
        "reference/metrics.md": metrics(),
    }
    markdown = {name: HEAD + page.rstrip() + "\n" for name, page in made.items()}
    return {"sttbatch.1": man_page(), **markdown}


def main() -> None:
    made = pages()
    stale = [
        name
        for name, page in made.items()
        if not (DOCS / name).is_file() or (DOCS / name).read_text("utf-8") != page
    ]
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"{', '.join(stale)}: stale; run `make docs`")
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(made[name], "utf-8")


if __name__ == "__main__":
    main()
