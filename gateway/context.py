"""What a policy is built from: the configuration, and the services that it may share and that outlive a reload."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

from gateway.config.models import Configuration, RouteConfig
from gateway.http import Decision, Exchange, Handler
from gateway.state import Survivors


class Middleware(Protocol):
    """A policy: `wrap` puts it in front of a handler. Answering without calling the handler is how it refuses."""

    def wrap(self, handler: Handler) -> Handler:
        """A handler that applies the policy and then, if it likes, asks `handler`."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A Middleware that can say what it would decide, without deciding: nothing is counted, sent or changed."""

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The verdict on this exchange and its reason, as of now; None where the policy has nothing to say of it.

        An authentication also sets `exchange.identity`, so that the policies behind it can explain themselves.
        """
        ...


class Service(Protocol):
    """Something that lives beside the request path: a key set that is refreshed, a store, a log."""

    async def start(self) -> None:
        """Begin to work. Called once, on the event loop; must not fail because something outside is down."""
        ...

    async def stop(self) -> None:
        """End, and write what must not be lost."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A Service with numbers that metrics may tell."""

    def measures(self) -> Mapping[str, float]:
        """By name; what ends in `_total` only grows, everything else goes up and down."""
        ...


S = TypeVar("S", bound=Service)
T = TypeVar("T")


class LivingServices:
    """All services of the process, started once, stopped when no configuration asks for them any more."""

    def __init__(self) -> None:
        self._living: Survivors[Hashable, Service] = Survivors()
        self._started: dict[Hashable, Service] = {}

    def get(self, key: Hashable, make: Callable[[], S]) -> S:
        """The service with this identity, or a new one, which is not started yet."""
        return cast(S, self._living.get(key, make))

    async def start(self, keys: Collection[Hashable]) -> None:
        """Start those of these that are new."""
        for key, service in self._living.items():
            if key in keys and key not in self._started:
                self._started[key] = service
                await service.start()

    async def keep_only(self, keys: Collection[Hashable]) -> None:
        """Stop all others."""
        for service in self._living.keep_only(keys):
            await self._stop(service)

    def measures(self) -> dict[str, float]:
        """The numbers of all that are started, added up where several have the same."""
        total: dict[str, float] = {}
        for service in self._started.values():
            if isinstance(service, Measured):
                for name, value in service.measures().items():
                    total[name] = total.get(name, 0) + value
        return total

    async def _stop(self, service: Service) -> None:
        for key, started in list(self._started.items()):
            if started is service:
                del self._started[key]
                await service.stop()


class Services:
    """The services that one configuration asks for; those that a former one had already are the same objects."""

    def __init__(self, living: LivingServices) -> None:
        self._living = living
        self.keys: set[Hashable] = set()

    def get(self, key: Hashable, make: Callable[[], S]) -> S:
        """The service with this identity: its kind and every setting that makes it another one when it changes."""
        self.keys.add(key)
        return self._living.get(key, make)


@dataclass(frozen=True, slots=True)
class Context:
    """What is at hand when the policies of a route are built."""

    configuration: Configuration
    services: Services
    base: Path  # the configuration directory
    _made: dict[Hashable, object] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What the routes of one configuration share, made for the first that asks."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])


Builder = Callable[[Context, RouteConfig], Middleware | None]
"""Builds one policy for one route; None where the configuration does not ask for it there."""
