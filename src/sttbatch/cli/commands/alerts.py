"""sttbatch alerts: list, test."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct
from msgspec.structs import asdict

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.console.text import aligned, local_time, printable
from sttbatch.cli.options import AsJson
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.composition.settings import LoadedSettings
    from sttbatch.monitoring.alerts import AlertRule

app = typer.Typer(help="List and test the alerts of the settings file.", no_args_is_help=True)


class _RuleState(Struct, frozen=True):
    """A rule, the value of its metric (None: no data), and since when it fires, if it does."""

    rule: AlertRule
    value: float | None
    firing_since: float | None


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the rules, the current value of each metric, and which rules fire."""
    import asyncio
    import json

    from sttbatch.composition.settings import load_settings

    states = asyncio.run(_rule_states(load_settings()))
    if as_json:
        typer.echo(json.dumps([_facts(state) for state in states], ensure_ascii=False, indent=2))
    elif not states:
        typer.echo(f"no alerts; {_how_to()}")
    else:
        columns = ("NAME", "CONDITION", "NOW", "SEVERITY", "NOTIFY", "STATE")
        print_lines(aligned([columns, *map(_row, states)]))


@app.command("test")
def try_out(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this rule. \\[default: all]")
    ] = None,
) -> None:
    """Send a test notification for each rule; exit 1 if one is not accepted."""
    import asyncio

    from sttbatch.composition.settings import load_settings

    alerts = load_settings().alerts
    rules = [rule for rule in alerts if (rule.enabled if name is None else rule.name == name)]
    if not rules:
        raise UsageError(
            f"there is no alert {name!r}; `sttbatch alerts list` shows all"
            if name is not None
            else f"there are no alerts; {_how_to()}"
        )
    results = [asyncio.run(_tested(rule)) for rule in rules]
    raise typer.Exit(0 if all(results) else 1)


async def _tested(rule: AlertRule) -> bool:
    import time

    from sttbatch.composition.run_monitoring import deliver
    from sttbatch.core.errors import NotificationError
    from sttbatch.monitoring.alerts import Channel, alert_message, payload, triggered

    event = triggered(rule, rule.threshold)
    if Channel.LOG in rule.channels:
        typer.echo(printable(f"ok    {rule.name}: a run prints: {alert_message(event)}"))
    all_accepted = True
    for number, url in enumerate(rule.urls, 1):
        which = "the webhook" if len(rule.urls) == 1 else f"webhook {number}"
        try:
            await deliver(url, payload(event, time.time(), test=True))
        except NotificationError as error:
            typer.echo(printable(f"FAIL  {rule.name}: {error}"))
            all_accepted = False
        else:
            typer.echo(printable(f"ok    {rule.name}: {which} accepted it"))
    return all_accepted


async def _rule_states(loaded: LoadedSettings) -> list[_RuleState]:
    if not loaded.alerts:
        return []
    from sttbatch.composition.stores import opened_stores

    with opened_stores(loaded.settings) as stores:
        return [
            _RuleState(
                rule,
                await stores.alerts.value(rule.metric, rule.window_s, rule.kind),
                await stores.alerts.since(rule.name, rule.condition),
            )
            for rule in loaded.alerts
        ]


def _facts(state: _RuleState) -> dict[str, object]:
    rule, since = asdict(state.rule), state.firing_since
    # URLs may contain tokens.
    del rule["urls"], rule["channels"]
    rule["notify"] = state.rule.notify
    rule["window_seconds"] = rule.pop("window_s")
    fired = None if since is None else datetime.fromtimestamp(since, UTC).isoformat()
    return rule | {"value": state.value, "firing_since": fired}


def _row(state: _RuleState) -> tuple[str, ...]:
    rule, fired = state.rule, f"fired {local_time(state.firing_since)}"
    value = "-" if state.value is None else f"{state.value:.4g}"
    now = "quiet" if state.firing_since is None else fired
    if not rule.enabled:
        now = "disabled"
    return (printable(rule.name), rule.condition, value, rule.severity, rule.notify, now)


def _how_to() -> str:
    from sttbatch.composition.settings import user_file

    return f"add [[alerts]] tables to {user_file()}; `sttbatch config init` shows an example"
