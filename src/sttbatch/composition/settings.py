"""Settings, strongest first: option, environment, ./sttbatch.toml, the user's file, default."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from sttbatch.composition.setting_values import (
    LANGUAGES,
    check_address,
    check_base_url,
    duration_s,
    line_of,
)
from sttbatch.core.errors import UsageError
from sttbatch.core.models import ChannelMode, Hallucinations, UploadCodec
from sttbatch.core.options import OUTPUT_FORMATS, Backoff

if TYPE_CHECKING:
    from sttbatch.monitoring.alerts import AlertRule

LOCAL_FILE = "sttbatch.toml"
ALERTS = "alerts"
"""The key of the alert tables, which only the user's file may have."""

_MAX_FILE_BYTES = 1 << 20

# A folder from a stranger may decide how recordings are transcribed and written, but not where the
# key is sent, where the state is stored, which model is used (weights are code) or what costs more.
LOCAL_SETTINGS = frozenset(
    {
        "language", "prompt", "temperature", "formats", "words", "timestamps", "embed_audio",
        "max_line_width", "max_lines", "concurrency", "max_concurrency", "chunk_duration",
        "max_chunk_mb", "upload_codec", "channels", "audit", "vad", "hallucinations", "device",
    }
)  # fmt: skip

LOCAL_VALUES = {"channels": ChannelMode.MIX, "audit": False, "vad": "auto"}
"""Settings of which `./sttbatch.toml` may choose only the value that costs less."""

LOCAL_MINIMA = {"chunk_duration": 300, "max_chunk_mb": 24}
"""The same for numbers; more cuts cost more, as chunks overlap where there is no pause."""

SERVERS = {
    "database_url": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    # Any that Celery knows.
    "broker_url": ("",),
    "remote_write": ("",),
}
"""How the addresses of servers begin, which may contain passwords."""

PAYLOAD_KEY = "payload_key"
"""The setting that is a secret as a whole."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, by their names in the file; `STTBATCH_NAME` is the environment variable."""

    engine: str = "cloudru"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    base_url: str = "https://foundation-models.api.cloud.ru/v1"
    api_key_file: str | None = None
    model: str | None = None
    only_internal: bool = False
    language: str | None = None
    prompt: str | None = None
    glossary: str | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    formats: list[str] = msgspec.field(default_factory=lambda: ["txt", "json"])
    output_dir: str | None = None
    words: bool = False
    timestamps: bool = False
    embed_audio: bool = False
    max_line_width: Annotated[int, Meta(ge=10, le=1000)] = 42
    max_lines: Annotated[int, Meta(ge=1, le=10)] = 2
    concurrency: Annotated[int, Meta(ge=1, le=10)] | Literal["auto"] = 4
    max_concurrency: Annotated[int, Meta(ge=1, le=10)] = 10
    rate_limit: Annotated[int, Meta(ge=1, le=100_000)] = 600
    audio_rate_limit: Annotated[float, Meta(ge=10, le=1e9)] | None = None
    chunk_duration: Annotated[float, Meta(ge=10, le=7200)] = 300.0
    max_chunk_mb: Annotated[float, Meta(ge=1, le=24.4)] = 24.0
    upload_codec: UploadCodec = UploadCodec.AUTO
    channels: ChannelMode = ChannelMode.MIX
    audit: bool = True
    audit_share: Annotated[float, Meta(ge=0, le=10)] = 0.25
    vad: Literal["auto", "off"] = "auto"
    hallucinations: Hallucinations = Hallucinations.DROP
    replace: str | None = None
    retries: Annotated[int, Meta(ge=0, le=20)] = 3
    retry_backoff: Backoff = Backoff.EXPONENTIAL
    retry_base: Annotated[float, Meta(ge=0, le=3600)] = 0.5
    retry_cap: Annotated[float, Meta(ge=0, le=3600)] = 60.0
    job_retries: Annotated[int, Meta(ge=0, le=1000)] = 3
    outage_wait: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    chat_model: str = "openai/gpt-oss-120b"
    chat_context: Annotated[int, Meta(ge=1024, le=10_000_000)] | None = None
    embedding_model: str | None = None
    price_per_second: Annotated[float, Meta(ge=0, le=1e6)] = 0.01
    chat_price_in: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    chat_price_out: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    embedding_price: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    budget_per_day: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    budget_per_month: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    data_dir: str | None = None
    database_url: str | None = None
    payload_key: str | None = None
    payload_key_file: str | None = None
    cache_dir: str | None = None
    redis_url: str | None = None
    broker_url: str | None = None
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    remote_write: str | None = None
    s3_endpoint: str | None = None
    public_base_url: str | None = None
    cache_max_age: Annotated[float, Meta(ge=1, le=1e10)] | None = None
    l1_max_mb: Annotated[float, Meta(ge=1, le=65_536)] = 64.0
    l2_max_mb: Annotated[float, Meta(ge=1, le=1_048_576)] = 1024.0


class LoadedSettings(Struct, frozen=True):
    """Settings, the origin of each value by name, and alert rules."""

    settings: Settings
    origins: dict[str, str]
    alerts: tuple[AlertRule, ...] = ()


def user_file() -> Path:
    """The path of the user's settings file, or the one in STTBATCH_CONFIG."""
    named = os.environ.get(OTHER_FILE)
    if named:
        return Path(named)
    from platformdirs import user_config_path

    return user_config_path("sttbatch") / "config.toml"


def load_settings(options: Mapping[str, Any] | None = None) -> LoadedSettings:
    """Merge all layers; `options` are settings from the command line, None if not given.

    Raises UsageError, which names file and line, for an unknown setting or an invalid value.
    """
    user = _file(user_file(), local=False)
    alerts, _ = user.pop(ALERTS, ((), ""))
    layers = user | _file(Path(LOCAL_FILE), local=True) | _environment()
    for name, value in (options or {}).items():
        if value is not None:
            layers[name] = (_checked(name, value, "option"), "option")
    settings = msgspec.convert({name: value for name, (value, _) in layers.items()}, Settings)
    return LoadedSettings(settings, {name: origin for name, (_, origin) in layers.items()}, alerts)


_VARIABLE = "STTBATCH_{}"
OTHER_FILE = "STTBATCH_CONFIG"


_Layer: TypeAlias = dict[str, tuple[Any, str]]
"""Checked values and their origins, by name."""


def _file(path: Path, *, local: bool) -> _Layer:
    try:
        text = _text(path) if local else path.read_text("utf-8")
        # Most have no such file.
        import tomllib

        values = tomllib.loads(text)
    except FileNotFoundError:
        if not local and os.environ.get(OTHER_FILE):
            raise UsageError(
                f"{path}: there is no such settings file, but {OTHER_FILE} names it; "
                "`sttbatch config init` writes one"
            ) from None
        return {}
    except (OSError, ValueError) as error:
        # Not UTF-8, or no TOML.
        raise UsageError(f"{path}: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply") from error
    layer: _Layer = {}
    for name, value in values.items():
        where = f"{path}, line {line_of(text.splitlines(), name)}"
        if name == ALERTS and not local:
            from sttbatch.composition.alert_settings import alert_rules

            layer[ALERTS] = (alert_rules(value, text, path), "")
            continue
        if name == ALERTS:
            raise UsageError(f"{where}: alerts may not be set here, only in {user_file()}")
        if name not in Settings.__struct_fields__:
            raise UsageError(f"{where}: there is no setting {name!r}")
        if local:
            _check_local(name, value, where)
        layer[name] = (_checked(name, value, where), str(path))
    return layer


def _check_local(name: str, value: Any, where: str) -> None:
    """Raises UsageError if a stranger's folder must not decide it."""
    elsewhere = f"here, only in {user_file()} or by {_VARIABLE.format(name.upper())}"
    if name not in LOCAL_SETTINGS:
        raise UsageError(f"{where}: {name} may not be set {elsewhere}")
    is_less = isinstance(value, int | float) and value < LOCAL_MINIMA.get(name, value)
    if is_less or value != LOCAL_VALUES.get(name, value):
        raise UsageError(
            f"{where}: {name} = {value!r} may cost more, so it may not be set {elsewhere}"
        )


def _text(path: Path) -> str:
    # A pipe or a device of this name in a stranger's folder would block.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise OSError(f"larger than {_MAX_FILE_BYTES >> 10} KiB")
    return data.decode("utf-8")


def _environment() -> _Layer:
    layer: _Layer = {}
    for name in Settings.__struct_fields__:
        variable = _VARIABLE.format(name.upper())
        if value := os.environ.get(variable):
            layer[name] = (_checked(name, value, variable), variable)
    return layer


def _checked(name: str, value: Any, where: str) -> Any:
    """The value, converted and checked; `where` is its origin for the message."""
    try:
        if name in _DURATIONS:
            value = duration_s(value)
        if name == "formats" and isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        converted = getattr(msgspec.convert({name: value}, Settings, strict=False), name)
        _check(name, converted)
    except (msgspec.ValidationError, ValueError) as error:
        reason = str(error).split(" - at `")[0]
        if re.match(r"Expected `\w+` [<>]=", reason):
            reason = _range(name)
        # There may be a password before an @, or anywhere in a server's address.
        text = "..." if name in {*SERVERS, PAYLOAD_KEY} or "@" in str(value) else repr(value)
        raise UsageError(f"{where}: {name} = {text}: {reason}") from error
    return converted


_DURATIONS = frozenset({"cache_max_age", "outage_wait", "retry_base", "retry_cap"})


def _range(name: str) -> str:
    schema = msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"][name]
    number = next(kind for kind in schema.get("anyOf", [schema]) if "minimum" in kind)
    return f"it must be {number['minimum']:g} to {number['maximum']:g}"


def _check(name: str, value: Any) -> None:
    if name == "engine" and value not in {"cloudru", "local"}:
        raise ValueError("it must be cloudru or local")
    if name == "formats":
        unknown = [name for name in value if name not in OUTPUT_FORMATS]
        if unknown or not value:
            raise ValueError(f"formats are {', '.join(OUTPUT_FORMATS)}")
    if name == "language" and value is not None and value not in LANGUAGES.split():
        raise ValueError("it must be the ISO-639-1 code of a language Whisper knows, such as ru")
    if name == "base_url":
        check_base_url(value)
    if name in {"s3_endpoint", "public_base_url"} and value is not None:
        check_address(value)
    if name in SERVERS and value is not None and not value.startswith(SERVERS[name]):
        raise ValueError(f"it must begin with {SERVERS[name][0]}")
