"""ModelCheck: compares the chosen model with the endpoint's list of models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sttbatch.core.errors import EndpointUnreachable, UsageError
from sttbatch.external.cloudru.catalogue import EXTERNAL, Model, choices
from sttbatch.external.cloudru.reachability import Reachability, check_reachability
from sttbatch.external.cloudru.retry_policy import Action, RetryDecision


class ModelCheck:
    """Requests the list of models when it is first needed, once for all lanes.

    Args:
        mask: removes the key from the endpoint's text.
        only_internal: refuse models that an external provider runs.
    """

    def __init__(
        self, base_url: str, mask: Callable[[str], str], *, only_internal: bool = False
    ) -> None:
        self._base_url = base_url
        self._mask = mask
        self._only_internal = only_internal
        self._asking: asyncio.Task[Reachability] | None = None
        self._allowed: set[str] = set()

    async def check_provider(self, name: str) -> None:
        """Raises UsageError if `only_internal` forbids the model, or its provider is unknown."""
        if not self._only_internal or name in self._allowed:
            return
        check_internal(name, (await self._ask()).models)
        self._allowed.add(name)

    async def unknown(self, name: str, message: str, chosen_by: str) -> UsageError:
        """The error that ends a run whose model the endpoint does not serve."""
        try:
            listed = choices((await self._ask()).models)
        except EndpointUnreachable as error:
            listed = f"its list of models cannot be read ({error})"
        return UsageError(
            f"the endpoint does not serve the model {name} ({message}); {listed}. Choose one by "
            f"{chosen_by}"
        )

    async def listed(self, name: str) -> Model | None:
        """The model's entry in the list; None: there is none, or the list cannot be read."""
        try:
            models = (await self._ask()).models
        except EndpointUnreachable:
            return None
        return next((model for model in models or () if model.id == name), None)

    async def is_up(self) -> bool:
        """Whether the endpoint answers a request for its models with 200."""
        try:
            return (await check_reachability(self._base_url, self._mask)).status == 200
        except EndpointUnreachable:
            return False

    async def _ask(self) -> Reachability:
        if self._asking is None or (self._asking.done() and self._asking.exception() is not None):
            self._asking = asyncio.create_task(check_reachability(self._base_url, self._mask))
        # Shielded: the other lanes wait for it as well.
        return await asyncio.shield(self._asking)


def check_internal(name: str, models: tuple[Model, ...] | None) -> None:
    """Raises UsageError unless the list names a provider of the model that is not external."""
    provider = next((model.provider for model in models or () if model.id == name), None)
    if provider == EXTERNAL:
        raise UsageError(
            f"the model {name} is run by an external provider, and only_internal = true forbids "
            "that; choose another one (`sttbatch models` shows providers). Nothing was sent"
        )
    if provider is None:
        raise UsageError(
            f"only_internal = true, and the endpoint does not say who runs the model {name}; "
            "`sttbatch models` shows what it says. Nothing was sent"
        )


def concerns_model(decision: RetryDecision, name: str) -> bool:
    """Whether the endpoint refuses the model, not this request."""
    if decision.action is not Action.FAIL_CHUNK:
        return False
    if decision.status == 404:
        return True
    return decision.status == 400 and (
        "model" in decision.code.lower() or name.lower() in decision.message.lower()
    )
