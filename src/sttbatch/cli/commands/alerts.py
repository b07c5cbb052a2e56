"""sttbatch alerts: list, test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.composition.settings import Loaded
    from sttbatch.monitoring.alert_rules import AlertRule

app = typer.Typer(
    help="What the settings file asks to be told of: which conditions hold now.",
    no_args_is_help=True,
)


@dataclass(frozen=True, slots=True)
class _Standing:
    """A rule, its metric now (None: nothing to measure), and when it fired if it holds."""

    rule: AlertRule
    value: float | None
    firing_since: float | None


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """List the rules, what each metric is now, and which have fired."""
    import asyncio
    import json

    from sttbatch.composition.settings import load_settings

    loaded = load_settings()
    standings = asyncio.run(_standings(loaded))
    if as_json:
        typer.echo(json.dumps([_facts(each) for each in standings], ensure_ascii=False, indent=2))
        return
    _print_table(standings)


@app.command("test")
def try_out(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One rule. Default: all of them.")
    ] = None,
) -> None:
    """Tell each rule's webhook (or print) that this is a test; exit 1 if one did not take it."""
    import asyncio

    from sttbatch.composition.settings import load_settings

    alerts = load_settings().alerts
    rules = [rule for rule in alerts if (rule.enabled if name is None else rule.name == name)]
    if not rules:
        raise UsageError(
            f"there is no alert {name!r}; sttbatch alerts list"
            if name is not None
            else f"there are no alerts; {_how_to()}"
        )
    results = [asyncio.run(_tested(rule)) for rule in rules]
    raise typer.Exit(0 if all(results) else 1)


async def _tested(rule: AlertRule) -> bool:
    import time

    from sttbatch.cli.console.rendering import printable
    from sttbatch.composition.alert_watch import deliver
    from sttbatch.core.errors import NotificationError
    from sttbatch.monitoring.alert_rules import Channel
    from sttbatch.monitoring.alerts import alert_message, payload, triggered

    event = triggered(rule, rule.threshold)
    if Channel.LOG in rule.channels:
        typer.echo(printable(f"ok    {rule.name}: a run prints: {alert_message(event)}"))
    all_took_it = True
    for number, url in enumerate(rule.urls, 1):
        which = "the webhook" if len(rule.urls) == 1 else f"webhook {number}"
        try:
            await deliver(url, payload(event, time.time(), test=True))
        except NotificationError as error:
            typer.echo(printable(f"FAIL  {rule.name}: {error}"))
            all_took_it = False
        else:
            typer.echo(printable(f"ok    {rule.name}: {which} took it"))
    return all_took_it


async def _standings(loaded: Loaded) -> list[_Standing]:
    if not loaded.alerts:
        return []
    import contextlib

    from sttbatch.composition.paths import data_folder
    from sttbatch.database.alerts import Alerts
    from sttbatch.database.opening import open_ledger

    with contextlib.closing(open_ledger(data_folder(loaded.settings))) as database:
        store = Alerts(database)
        return [
            _Standing(
                rule,
                await store.value(rule.metric, rule.window_s),
                await store.since(rule.name, rule.condition),
            )
            for rule in loaded.alerts
        ]


def _facts(standing: _Standing) -> dict[str, object]:
    from datetime import UTC, datetime

    rule, since = asdict(standing.rule), standing.firing_since
    # They may hold tokens.
    del rule["urls"], rule["channels"]
    rule["notify"] = standing.rule.notify
    rule["window_seconds"] = rule.pop("window_s")
    fired = None if since is None else datetime.fromtimestamp(since, UTC).isoformat()
    return rule | {"value": standing.value, "firing_since": fired}


def _print_table(standings: Sequence[_Standing]) -> None:
    from sttbatch.cli.console.rendering import printable

    if not standings:
        typer.echo(f"no alerts; {_how_to()}")
        return
    rows = [("NAME", "CONDITION", "NOW", "SEVERITY", "NOTIFY", "STATE")]
    for each in standings:
        rule = each.rule
        value = "-" if each.value is None else f"{each.value:.4g}"
        rows.append(
            (printable(rule.name), rule.condition, value, rule.severity, rule.notify, _state(each))
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _state(standing: _Standing) -> str:
    if not standing.rule.enabled:
        return "disabled"
    if standing.firing_since is None:
        return "quiet"
    from datetime import UTC, datetime

    since = datetime.fromtimestamp(standing.firing_since, UTC).astimezone()
    return f"fired {since:%Y-%m-%d %H:%M}"


def _how_to() -> str:
    from sttbatch.composition.settings import user_file

    return f"[[alerts]] tables in {user_file()} make some, sttbatch config init shows one"
