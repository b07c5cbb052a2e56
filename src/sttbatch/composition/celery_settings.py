"""The settings of this machine as Celery reads them, when its application is first used."""

from __future__ import annotations

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import load_settings
from sttbatch.core.errors import UsageError
from sttbatch.execution.celery_app import queues
from sttbatch.kinds.ordering import route_of

# Celery shows everything else with a traceback.
try:
    _settings = load_settings().settings
    _config = run_config_of(_settings)
except UsageError as error:
    raise SystemExit(f"sttbatch: {error}") from None
if _settings.broker_url is None:
    raise SystemExit("sttbatch: there is no broker; set STTBATCH_BROKER_URL, as redis://host/0")

broker_url = _settings.broker_url
task_queues = queues(route_of(_config.request))
worker_concurrency = _config.concurrency.value
include = ["sttbatch.composition.celery_worker"]
