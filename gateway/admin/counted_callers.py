"""Whose counts an operator asks for: those of a consumer of auth.yaml, or of a consumer and tenant that tokens name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from gateway.admin.answers import Refused
from gateway.admin.operations import Parameter
from gateway.config.models import Consumer
from gateway.http import Exchange, Identity
from gateway.snapshot import Snapshot

_MAX_NAME: Final = 200  # characters

CALLER: Final = (
    Parameter("consumer", "The name of a consumer, of auth.yaml or of a token. This or `tenant` is needed."),
    Parameter("tenant", "The name of a tenant: needed where a token names it, as auth.yaml does not know it then."),
)


@dataclass(frozen=True, slots=True)
class CountedCaller:
    """Who it is. `configured`: the consumer of auth.yaml; None: there is none of this name."""

    consumer: str | None
    tenant: str | None
    configured: Consumer | None
    is_known: bool  # auth.yaml names the consumer, or the tenant

    @property
    def name(self) -> str:
        """In sentences."""
        if self.tenant is None or self.configured is not None:
            return self.consumer or ""
        return f"the tenant {self.tenant}" if self.consumer is None else f"{self.consumer} of the tenant {self.tenant}"

    def lacks(self, key: Collection[str]) -> str | None:
        """Why it is not known which counter of this key is theirs: it would be that of an address, and so of others."""
        if "tenant" in key and self.tenant is None:
            return f"it counts by tenant, and auth.yaml has none for {self.name}; name that of its token with tenant"
        if "consumer" in key and self.consumer is None:
            return "it counts by consumer; name one"
        return None

    def exchange(self, route: str | None = None) -> Exchange:
        """A request as they would send it."""
        groups = frozenset(self.configured.groups) if self.configured is not None else frozenset[str]()
        exchange = Exchange("", "GET", "/", b"", [], {}, "http", "", "127.0.0.1", False, "127.0.0.1")
        exchange.identity, exchange.route = Identity(self.consumer or "", "", self.tenant, groups), route
        return exchange

    def nothing_counted(self) -> Refused:
        """There is nothing under a name that auth.yaml does not have either."""
        said = f"nothing is counted of {self.name} in the current windows, and auth.yaml has no such name"
        return Refused(404, f"{said}; tokens are counted by what their claims name: look at `gateway last`")


def caller_of(snapshot: Snapshot, request: Request) -> CountedCaller:
    """Who is asked for. Raises Refused."""
    consumer, tenant = (_name(request, which) for which in ("consumer", "tenant"))
    if consumer is None and tenant is None:
        raise Refused(400, f"name the consumer or the tenant: {request.url.path}?consumer=NAME")
    consumers = snapshot.configuration.auth.consumers
    configured = next((each for each in consumers if each.name == consumer), None)
    if configured is not None and configured.tenant is not None:
        if tenant not in (None, configured.tenant):
            raise Refused(400, f"the tenant of {consumer} is {configured.tenant}, not {tenant}: name one of them")
        tenant = configured.tenant
    known = configured is not None or (consumer is None and any(each.tenant == tenant for each in consumers))
    return CountedCaller(consumer, tenant, configured, known)


def _name(request: Request, which: str) -> str | None:
    name = request.query_params.get(which)
    if name is not None and (not 1 <= len(name) <= _MAX_NAME or not name.isprintable()):
        raise Refused(400, f"this is no name of a {which}: use 1 to {_MAX_NAME} printable characters")
    return name
