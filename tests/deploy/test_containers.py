"""The image, compose.yaml and the Kubernetes manifests, as far as they run without either."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sttbatch.composition.settings import Settings
from tests.cli.working import endpoint_of, in_flight, record, until_line, working
from tests.deploy.test_prometheus import DEPLOY, RULES, needs_promtool
from tests.shell import Shell

yaml = pytest.importorskip("yaml")

ROOT = DEPLOY.parent
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
MANIFESTS: list[dict[str, Any]] = [
    *yaml.safe_load_all((DEPLOY / "kubernetes" / "sttbatch-worker.yaml").read_text())
]
POD: dict[str, Any] = MANIFESTS[1]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
UNIT = (DEPLOY / "systemd" / "sttbatch-worker.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
WORKERS = ("worker-1", "worker-2")

Steps = list[tuple[str, str]]


def steps() -> Steps:
    """(instruction, rest) of each line of the Dockerfile."""
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]
    assert not any(line.endswith("\\") for line in lines)
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def commands() -> dict[str, list[str]]:
    """How each of them starts a worker."""
    (of_image,) = (json.loads(rest) for name, rest in steps() if name == "CMD")
    services = COMPOSE["services"]
    return {
        "Dockerfile": of_image,
        "kubernetes": CONTAINER["args"],
        **{name: shlex.split(services[name]["command"]) for name in WORKERS},
    }


@pytest.mark.parametrize("place", ["Dockerfile", "kubernetes", *WORKERS])
def test_workers_are_started_with_options_that_exist(home: Path, place: str) -> None:
    command = commands()[place]
    assert command[0] == "worker"
    # What it does not know is an error, with --help too.
    result = Shell(home).run(*command, "--help")
    assert result.code == 0, result.err
    assert command[command.index("--metrics-port") + 1] == "9150"


def test_variables_are_settings() -> None:
    names = {variable["name"] for variable in CONTAINER["env"]}
    for worker in WORKERS:
        names |= COMPOSE["services"][worker]["environment"].keys()
    names |= set(re.findall(r"(\w+)=", " ".join(rest for name, rest in steps() if name == "ENV")))
    of_settings = {f"STTBATCH_{each.upper()}" for each in Settings.__struct_fields__}
    ours = {name for name in names if name.startswith("STTBATCH_")}
    assert "STTBATCH_DATABASE_URL" in ours
    assert ours <= of_settings


def test_compose_mounts_what_is_there() -> None:
    made_by_the_reader = {"recordings", "transcripts"}
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", ()):
            source, target = str(mount).split(":")[:2]
            assert target.startswith("/")
            if source.startswith("./"):
                name = source.removeprefix("./")
                assert name in made_by_the_reader or (DEPLOY / name).is_file(), mount
            else:
                assert source in COMPOSE["volumes"]
        assert "build" in service or re.search(r":v?\d", service["image"])
    mounted = {str(each).split(":")[1] for each in COMPOSE["services"]["grafana"]["volumes"]}
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yml").read_text())["providers"]
    assert f"{provider['options']['path']}/sttbatch.json" in mounted
    of_dashboard = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text())
    (source,) = of_dashboard["datasources"]
    assert source["type"] == "prometheus"
    assert source["isDefault"]


def test_each_worker_has_a_lasting_name_and_a_folder_of_its_own() -> None:
    services = [COMPOSE["services"][name] for name in WORKERS]
    assert [each["hostname"] for each in services] == [*WORKERS]
    folders = [next(v for v in each["volumes"] if ":/var/lib" in v) for each in services]
    assert len({*folders}) == 2
    service, workers = MANIFESTS
    assert workers["kind"] == "StatefulSet"
    assert workers["spec"]["serviceName"] == service["metadata"]["name"]
    assert workers["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == "data"
    claimed = {each["name"] for each in POD["volumes"]} | {"data"}
    assert {each["name"] for each in CONTAINER["volumeMounts"]} == claimed


def test_all_supervisors_wait_as_long_for_a_drain() -> None:
    graces = {COMPOSE["services"][name]["stop_grace_period"] for name in WORKERS}
    assert graces == {"7m"}
    assert POD["terminationGracePeriodSeconds"] == 7 * 60
    assert "TimeoutStopSec=7min" in UNIT


@needs_promtool
def test_prometheus_takes_its_settings() -> None:
    path = DEPLOY / "prometheus" / "prometheus.yml"
    result = subprocess.run(
        ["promtool", "check", "config", path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (job,) = yaml.safe_load(path.read_text())["scrape_configs"]
    assert f'job="{job["job_name"]}"' in RULES.read_text()
    assert job["static_configs"] == [{"targets": [f"{name}:9150" for name in WORKERS]}]


def test_the_hook_before_a_stop_drains(shell: Shell, tmp_path: Path) -> None:
    *shell_command, script = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    record(tmp_path / "talks", 1)
    endpoint_of(shell).hold()
    shell.run("submit", tmp_path / "talks")
    with working(shell) as (worker,):
        in_flight(shell, 1)
        # In its container the worker is process 1.
        script = re.sub(r"(kill \S+) 1\b", rf"\1 {worker.pid}", script)
        assert script.count(f" {worker.pid};") == 2
        with subprocess.Popen([*shell_command, script]) as hook:
            until_line(worker, "stopping")
            assert hook.poll() is None
            endpoint_of(shell).resume()
            assert worker.wait(60) == 128 + signal.SIGTERM
            assert hook.wait(60) == 0
    assert (tmp_path / "talks" / "talk-0.txt").is_file()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="its folders are another user's")
def test_the_image_is_built_line_by_line(tmp_path: Path) -> None:
    """Its RUN lines in a new environment; what would be written below /var is so elsewhere."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    folder, environment = tmp_path, {"PATH": f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"}

    def moved(text: str) -> str:
        return re.sub(r"(/build|/var)\b", lambda match: f"{tmp_path}{match[0]}", text)

    done = []
    for instruction, rest in steps():
        if instruction == "WORKDIR":
            folder = Path(moved(rest))
            folder.mkdir(parents=True, exist_ok=True)
        elif instruction == "ENV":
            environment |= dict(each.split("=", 1) for each in shlex.split(moved(rest)))
        elif instruction == "COPY":
            *sources, target = rest.split()
            if target.endswith("/"):
                (folder / target).mkdir(parents=True, exist_ok=True)
            for source in sources:
                assert f"!{source}" in (DEPLOY / "Dockerfile.dockerignore").read_text().split()
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, folder / target)
        elif instruction == "RUN":
            result = subprocess.run(
                ["/bin/sh", "-c", moved(rest)], cwd=folder, env=os.environ | environment,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert result.returncode == 0, result.stdout + result.stderr
        done.append(instruction)
    # All dependencies are one layer, before the code is copied.
    assert done.index("RUN") < done.index("COPY", done.index("RUN"))
    assert sum(name == "RUN" and "constraints" in rest for name, rest in steps()) == 1
    assert ("USER", "10001:10001") in steps()

    owner = (tmp_path / "var" / "lib" / "sttbatch").stat()
    assert (owner.st_uid, owner.st_mode & 0o777) == (10_001, 0o700)
    # Who runs this cannot be that user, for whom pytest's folders are closed.
    environment["STTBATCH_DATA_DIR"] = str(tmp_path / "data")
    program = [str(tmp_path / "venv" / "bin" / "sttbatch")]
    for arguments, said in (
        (["--version"], "sttbatch "),
        (["jobs", "list"], ""),
        ([*commands()["Dockerfile"], "--help"], "--metrics-port"),
    ):
        result = subprocess.run(
            [*program, *arguments], cwd=folder, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert said in result.stdout
    extras = "boto3, celery, cryptography, opentelemetry.sdk, prometheus_client, psycopg, redis"
    found = subprocess.run(
        [tmp_path / "venv" / "bin" / "python", "-c", f"import {extras}"], check=False
    )
    assert found.returncode == 0
