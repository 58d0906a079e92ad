"""Custom adapters: made from a class that the configuration names, and checked against the protocol.

Whatever such an adapter raises is its failure, and no error of the control plane; none takes longer than it may.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.control_plane.adapters.protocol import (
    Adapter,
    AdapterError,
    Deployed,
    FieldError,
    GatewaySpec,
    Health,
    Metrics,
    Registered,
    Resource,
    Revision,
)
from gateway.control_plane.settings.adapter import Custom

logger = logging.getLogger("gateway.control_plane")

T = TypeVar("T")

_METHODS: Final = (
    "validate", "register", "update", "deregister", "check_health", "metrics", "deploy", "undeploy", "deployed", "close"
)  # fmt: skip


class UnusableAdapter(Exception):
    """The adapter that the configuration names cannot be made; the text says why."""


def custom_adapter(settings: Custom, directory: Path) -> CustomAdapter:
    """The adapter of a module in the configuration directory, or installed. Raises UnusableAdapter."""
    module, _, name = settings.class_.partition(":")
    if (place := str(directory.resolve())) not in sys.path:
        sys.path.append(place)
    try:
        made = getattr(importlib.import_module(module), name)(**settings.options)
    except Exception as error:
        message = f"gateway.adapter: custom: {settings.class_} cannot be made: {type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError):
            message += f"; put it into {directory}, or install it"
        raise UnusableAdapter(message) from error
    missing = [each for each in _METHODS if not callable(getattr(made, each, None))]
    if missing:
        raise UnusableAdapter(f"gateway.adapter: custom: {settings.class_} has no {', '.join(missing)}")
    return CustomAdapter(settings, made)


class CustomAdapter:
    """Wraps an adapter that is not part of this package: checks its answers, and bounds its time."""

    type = "custom"

    def __init__(self, settings: Custom, made: Adapter) -> None:
        self._name = settings.class_
        self._made = made
        # All attempts, and the pauses between them, are the adapter's own.
        self._seconds = settings.default_timeout * settings.retry_policy.max_attempts
        self._probe_seconds = settings.health_check.timeout

    def validate(self, config: Mapping[str, Any], credentials: Mapping[str, Any] | None) -> Sequence[FieldError]:
        try:
            return [FieldError(str(each.field), str(each.message)) for each in self._made.validate(config, credentials)]
        except Exception as error:
            raise self._failed("validate", error) from error

    async def register(self, spec: GatewaySpec) -> Registered:
        return await self._kept("register", lambda: self._made.register(spec), Registered)

    async def update(self, gateway: GatewaySpec, config: Mapping[str, Any]) -> Registered:
        return await self._kept("update", lambda: self._made.update(gateway, config), Registered)

    async def deregister(self, gateway: GatewaySpec) -> None:
        await self._kept("deregister", lambda: self._made.deregister(gateway), object)

    async def check_health(self, gateway: GatewaySpec) -> Health:
        """A failure is an unhealthy gateway."""
        try:
            return await self._kept(
                "check_health", lambda: self._made.check_health(gateway), Health, self._probe_seconds
            )
        except AdapterError as error:
            return Health(False, reason=error.reason, message=str(error))

    async def metrics(self, gateway: GatewaySpec) -> Metrics:
        return await self._kept("metrics", lambda: self._made.metrics(gateway), Metrics)

    async def deploy(self, gateway: GatewaySpec, revision: Revision) -> Deployed:
        return await self._kept("deploy", lambda: self._made.deploy(gateway, revision), Deployed)

    async def undeploy(self, gateway: GatewaySpec, revision: Revision) -> None:
        await self._kept("undeploy", lambda: self._made.undeploy(gateway, revision), object)

    async def deployed(self, gateway: GatewaySpec) -> Sequence[Resource]:
        found: Sequence[Resource] = await self._kept("deployed", lambda: self._made.deployed(gateway), list | tuple)
        return [each for each in found if isinstance(each, Resource)]

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._made.close(), self._probe_seconds)
        except Exception:
            logger.exception("%s could not be closed", self._name)

    async def _kept(self, method: str, call: Callable[[], Awaitable[T]], kind: Any, seconds: float | None = None) -> T:
        """Its result, if it is of this kind and within the time limit. Raises AdapterError."""
        limit = self._seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(limit) as time_limit:
                returned = await call()
        except AdapterError:
            raise
        except TimeoutError as error:
            if not time_limit.expired():
                raise self._failed(method, error) from error
            raise AdapterError("timeout", f"{self._name}.{method} has not ended within {limit:g} s") from None
        except Exception as error:
            raise self._failed(method, error) from error
        if not isinstance(returned, kind):
            raise AdapterError("answer", f"{self._name}.{method} returned {type(returned).__name__}")
        return returned

    def _failed(self, method: str, error: Exception) -> AdapterError:
        """The text of the error is in the log only: it may hold anything."""
        logger.error("%s.%s failed", self._name, method, exc_info=error)
        return AdapterError("answer", f"{self._name}.{method} failed with {type(error).__name__}: see the log")
