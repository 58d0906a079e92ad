"""The context in which policies are built: the configuration, and the plan of live objects that outlive a reload."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

from gateway.config.models import Configuration, RouteConfig
from gateway.http import Decision, Exchange, Handler
from gateway.live import Plan
from gateway.roles import ALL, Roles


class Middleware(Protocol):
    """A policy: `wrap` puts it in front of a handler. Answering without calling the handler is how it refuses."""

    def wrap(self, handler: Handler) -> Handler:
        """A handler that applies the policy and then, where it lets the exchange pass, calls `handler`."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A Middleware that can say what it would decide, without deciding: nothing is counted, sent or changed."""

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The verdict on this exchange and its reason, as of now; None where the policy has nothing to say of it.

        An authentication also sets `exchange.identity`, so that the policies behind it can explain themselves.
        """
        ...


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """The context in which the policies of a route are built."""

    configuration: Configuration
    plan: Plan  # of what must live for this configuration
    roles: Roles = ALL  # of this process
    _made: dict[Hashable, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def base(self) -> Path:
        """The configuration directory."""
        return self.configuration.base

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """State that the routes of one configuration share, made on first use."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])


Builder = Callable[[Context, RouteConfig], Middleware | None]
"""Builds one policy for one route; None where the configuration does not ask for it there."""
