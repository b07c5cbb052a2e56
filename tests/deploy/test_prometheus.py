"""The rules and the dashboard, against a real Prometheus that scrapes what real runs left."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.working import metrics_port, record, working
from tests.cloudru import CloudRu, Status, always, make_recording, times_per_chunk
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.deploy.prometheus_server import prometheus, wait_until
from tests.monitoring.exposed import Key, samples, value
from tests.shell import Shell

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "sttbatch.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "sttbatch.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    f"{panel['title']} {target['refId']}": str(target["expr"])
    for panel in PANELS
    for target in panel["targets"]
}
# As Grafana fills them in: all machines, and windows that hold both runs.
FILLED_IN = {"$instance": ".*", "$window": "5m", "$__range": "5m"}

UNITS = {"none", "short", "s", "bytes", "percentunit", "currencyRUB"}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed"
)


@needs_promtool
def test_each_alert_fires_and_keeps_silent() -> None:
    tests = RULES.with_name("sttbatch.rules.test.yml")
    result = subprocess.run(
        ["promtool", "test", "rules", tests.name],
        cwd=tests.parent, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    names = set(re.findall("alert: (.+)", RULES.read_text()))
    assert names == set(re.findall("alertname: (.+)", tests.read_text()))
    rules = RULES.read_text().split("- alert: ")[1:]
    for part in (" for: ", " severity: ", " summary: ", " description: "):
        assert all(part in rule for rule in rules)


@pytest.mark.slow
@needs_promtool
def test_dead_letters_are_noticed_at_the_shipped_timer(
    shell: Shell, cloudru: CloudRu, tmp_path: Path
) -> None:
    """What runs a quarter of an hour apart export is what the rule sees."""
    make_recording(tmp_path / "poison.wav", duration_s=6, sample_rate=8_000, channels=1)
    cloudru.faults = always(Status(400))
    values = []
    for _ in range(5):
        assert shell.transcribe(tmp_path / "poison.wav").code == 1
        exported = shell.run("stats", "--prometheus").out
        values.append(f"{value(exported, 'sttbatch_dead_letters'):g}x14")
    # No later run changes it.
    values += values[-1:] * 4
    timer = (DEPLOY / "systemd" / "sttbatch.timer").read_text()
    assert "OnCalendar=*:0/15" in timer
    series = {"series": 'sttbatch_dead_letters{instance="a"}', "values": " ".join(values)}
    # Dead after the fourth run, at 0:45; the rule waits for an hour.
    firing = 'count(ALERTS{alertname="SttbatchDeadLetters", alertstate="firing"})'
    expected = [
        {"expr": firing, "eval_time": at, "exp_samples": [{"value": 1}] * fires}
        for at, fires in (("1h44m", False), ("1h46m", True), ("2h10m", True))
    ]
    tests = [{"interval": "1m", "input_series": [series], "promql_expr_test": expected}]
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    path = tmp_path / "timer.test.yml"
    path.write_text(json.dumps(rules))
    result = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_dashboard_can_be_imported() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used <= {*variables, "__range"}
    assert "id" not in DASHBOARD
    assert "__inputs" not in DASHBOARD
    idents = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(idents)) == len(idents)
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert target["expr"].count("sttbatch_") == target["expr"].count("$instance")


@pytest.mark.parametrize("file", ["grafana/sttbatch.json", "prometheus/sttbatch.rules.yml"])
def test_texts_say_possibly_billed(file: str) -> None:
    text = (DEPLOY / file).read_text().lower()
    assert "possibly billed without an answer" in text
    assert "maybe paid" not in text
    assert "paid for nothing" not in text


def test_no_panel_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def filled_in(expression: str) -> str:
    for name, text in FILLED_IN.items():
        expression = expression.replace(name, text)
    assert "$" not in expression
    return expression


@needs_promtool
@pytest.mark.parametrize(
    ("panel", "metric", "label", "values"),
    [
        ("Living workers A", "sttbatch_workers", "state", ("active", "idle")),
        ("Waiting recordings A", "sttbatch_queue_jobs", "priority", ("high", "low")),
    ],
)
def test_what_changed_between_two_scrapes_counts_once(
    tmp_path: Path, panel: str, metric: str, label: str, values: tuple[str, str]
) -> None:
    """Two workers tell of one ledger, one of them after both had changed."""
    series = [
        {"series": f'{metric}{{instance="{worker}", {label}="{value}"}}', "values": str(count)}
        for worker, counts in (("a", (2, 0)), ("b", (0, 2)))
        for value, count in zip(values, counts, strict=True)
    ]
    asked = {"expr": filled_in(EXPRESSIONS[panel]), "exp_samples": [{"labels": "{}", "value": 2}]}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"tests": [test]}))
    result = subprocess.run(
        ["promtool", "test", "rules", path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


@needs_prometheus
@pytest.mark.slow
def test_every_query_of_the_dashboard_returns_figures_of_two_workers(
    home: Path, cloudru: CloudRu, postgresql_server: PostgreSQL, tmp_path: Path
) -> None:
    del postgresql_server
    shell = Shell(home, cloudru, {"STTBATCH_DATABASE_URL": schema_url(tmp_path)})
    cloudru.faults = times_per_chunk(1, Status(503))
    served = tmp_path / "collector" / "sttbatch.prom"
    served.parent.mkdir()
    record(tmp_path / "talks", 1)

    def export() -> None:
        assert shell.run("stats", "--prometheus", served).code == 0

    assert shell.transcribe(tmp_path / "talks").code == 0
    export()
    with working(shell, "--metrics-port", "0", count=2) as workers:
        addresses = [f"127.0.0.1:{metrics_port(worker)}" for worker in workers]
        with prometheus(tmp_path, RULES, served, addresses) as server:

            def sent() -> list[float]:
                """The requests of the ledger, as the file and each worker tell."""
                found = server.query("sum by (instance) (sttbatch_requests_total)")
                return [float(each["value"][1]) for each in found]

            wait_until(lambda: sent() == [2.0] * 3, sent)
            record(tmp_path / "more", 2, first=1)
            assert shell.run("submit", tmp_path / "more", "--wait").code == 0
            export()
            assert len(cloudru.received) == 6
            wait_until(lambda: sent() == [6.0] * 3, sent)
            (once,) = server.query("sum(max without (instance, job) (sttbatch_requests_total))")
            assert float(once["value"][1]) == 6

            empty: dict[str, object] = {}

            def all_have_figures() -> bool:
                empty.clear()
                for name, expression in EXPRESSIONS.items():
                    found = server.query(filled_in(expression))
                    if not found or any(
                        not math.isfinite(float(each["value"][1])) for each in found
                    ):
                        empty[name] = (expression, found)
                return not empty

            # Workers write what they measured within seconds, and are asked for it as seldom.
            wait_until(all_have_figures, lambda: empty)
            (living,) = server.query(filled_in(EXPRESSIONS["Living workers A"]))
            assert float(living["value"][1]) == 2

            def targets() -> set[tuple[str, str]]:
                found = server.get("targets")["activeTargets"]
                return {(each["health"], each["labels"]["job"]) for each in found}

            # A busy machine may have missed a scrape just now.
            wait_until(lambda: targets() == {("up", "node"), ("up", "sttbatch")})

            def rules() -> list[dict[str, Any]]:
                (group,) = server.get("rules")["groups"]
                return list(group["rules"])

            wait_until(lambda: all(rule["health"] != "unknown" for rule in rules()))
            assert [rule["name"] for rule in rules() if rule["health"] != "ok"] == []
            assert len(rules()) == RULES.read_text().count("alert: ")
            assert not any(alert["state"] == "firing" for alert in server.get("alerts")["alerts"])

            workers[0].kill()
            wait_until(lambda: server.query('up{job="sttbatch"} == 0') != [])


@pytest.mark.slow
@needs_prometheus
def test_what_nothing_can_scrape_is_written(shell: Shell, cloudru: CloudRu, tmp_path: Path) -> None:
    cloudru.faults = times_per_chunk(1, Status(503))
    record(tmp_path / "talks", 1)
    assert shell.transcribe(tmp_path / "talks").code == 0
    with prometheus(tmp_path, RULES, tmp_path / "nothing", ()) as server:

        def written(job: str) -> dict[Key, float]:
            found = server.query(f'{{__name__=~"sttbatch_.*", job="{job}"}}')
            series = {}
            for each in found:
                labels = dict(each["metric"])
                name = labels.pop("__name__")
                assert labels.pop("instance")
                assert labels.pop("job") == job
                series[name, frozenset(labels.items())] = float(each["value"][1])
            return series

        result = shell.run("stats", "--remote-write", server.receiver)
        assert (result.code, result.out, result.err) == (0, "", "")
        assert written("sttbatch") == samples(shell.run("stats", "--prometheus").out)

        with working(shell, "-j", "3", "--remote-write", server.receiver) as (worker,):
            mine = f'sttbatch_worker_lanes{{instance=~".+:{worker.pid}"}}'
            wait_until(lambda: [each["value"][1] for each in server.query(mine)] == ["3"])
