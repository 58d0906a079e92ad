"""Services of a configuration, live: one Upstream for each, shared by all routes to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from gateway.balancing.table import BALANCERS, DEFAULT, balancing_of
from gateway.config.models import ServiceConfig
from gateway.config.models.services import Tls
from gateway.config.problems import Problem
from gateway.config.regular_files import read_regular, to_mend
from gateway.config.values.addresses import AddressTarget, AsgiTarget, ServiceTarget, Target, parse_target
from gateway.context import Context
from gateway.live import Place
from gateway.live.beside import Beside
from gateway.registry.over_bus import plan_remote_health
from gateway.registry.table import discovery_of, host_name_of, identity_of
from gateway.resilience import sticky_cookie
from gateway.upstream.balancer import Balancer
from gateway.upstream.configured import member_of, pool_limits
from gateway.upstream.health_settings import check_of, outliers_of
from gateway.upstream.levels import Rules, Zones
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import PoolLimits
from gateway.upstream.probe_turns import ProbeTurns
from gateway.upstream.prober import Prober
from gateway.upstream.service import Settings, Upstream
from gateway.upstream.tls import ClientCertificate, EndpointTls, Named, TlsSettings, UnusableFile
from gateway.upstream.transport import Connector

if TYPE_CHECKING:
    from gateway.config.models.llm.providers import Provider

MAX_CA_BYTES = 4 * 1024**2
MOST_STREAMS = 10_000
"""Connections to a provider of models at a time, each of which a stream may hold for minutes: as many as clients have
by default. Of a provider that is a service, routes.yaml says how many."""

Change = tuple[Settings, Sequence[Member] | None, EndpointTls | None]
"""The settings of a service from now on; its members, where the file has them; a context of its TLS, if that is another
one."""


class Services:
    """One pass over a configuration."""

    def __init__(self, context: Context, connector: Connector) -> None:
        self.problems: list[Problem] = []
        self._context = context
        self._configuration = context.configuration
        self._plan = context.plan
        self._connector = connector
        self._drain = context.configuration.middleware.drain.deadline
        models = context.configuration.models
        providers = models.in_force.values() if models is not None else ()
        self._origins = {parse_target(each.origin) for each in providers if each.origin}
        self._upstreams: dict[tuple[Target, bool], Upstream] = {}
        self._changed: dict[Upstream, Change] = {}  # of those that live already
        context.plan.after_adoption(partial(_configure, self._changed))

    def of_provider(self, provider: Provider, place: Place) -> Upstream:
        """The upstream of a model provider: that of a service, or its own."""
        target = parse_target(provider.service or provider.origin)
        assert not isinstance(target, AsgiTarget)  # which neither a service nor a URL is
        upstream = self.upstream(target, place)
        if provider.health is not None and not provider.service:
            turns = self._plan.need(("health checks",), ProbeTurns, place)
            probe = partial(Prober, upstream, check_of(provider.health), turns)
            self._plan.need(("prober", upstream, provider.health), probe, place)
        return upstream

    def upstream(self, target: ServiceTarget | AddressTarget, place: Place, *, mirror: bool = False) -> Upstream:
        """`mirror`: with endpoints and connections of its own, which nothing else of the service learns from."""
        known = self._upstreams.get((target, mirror))
        if known is not None:
            return known
        if isinstance(target, AddressTarget):
            named: Named = "base_url" if target in self._origins else "url" if place[0] == "models.yaml" else "target"
            name, tls, endpoint_tls = str(Address(target.host, target.port)), None, None
            if target.protocol == "https":
                tls, endpoint_tls = self._shared(TlsSettings(named=named), place)
            members: Sequence[Member] | None = (Member(Address(target.host, target.port)),)
            limits = PoolLimits(drain=self._drain)
            if target in self._origins:
                limits = replace(limits, connections=MOST_STREAMS)
            settings = Settings(BALANCERS[DEFAULT], limits, tls=tls)
            discovery, health = None, None
        else:
            service = self._configuration.routes.services[target.name]
            place = ("routes.yaml", ("services", target.name))
            name = target.name
            tls, endpoint_tls = self._tls(name, service, place) if service.protocol == "https" else (None, None)
            settings = Settings(
                self._balancing(service, place),
                pool_limits(service.connections, self._drain),
                self._rules(service),
                outliers_of(service.outliers),
                sticky_cookie(service.balance.sticky, self._context, place),
                tls,
            )
            discovery, health = service.discovery, service.health
            members = None if discovery else tuple(member_of(each) for each in service.endpoints)
        host_name = host_name_of(discovery)
        service_name = name
        if mirror:
            name, health = f"mirror:{name}", None
        connector = self._connector if discovery is None else self._connector.guarded()
        make = partial(Upstream, name, connector, settings, members or (), host_name, place[0], endpoint_tls)
        # What it trusts and proves to be may become another; its health, streams and counters stay.
        upstream = self._plan.need(
            ("upstream", target, tls is not None, host_name, mirror, discovery is not None), make, place
        )
        if upstream.settings != settings or (members is not None and upstream.members != members):
            renewed = None if tls == upstream.settings.tls else endpoint_tls
            self._changed[upstream] = settings, members, renewed
        if discovery is not None:
            find = partial(discovery_of, upstream, service_name, discovery, self._context, place)
            self._plan.need(("discovery", upstream, identity_of(discovery, self._context)), find, place)
        if "discovery" not in self._context.roles and not mirror:
            plan_remote_health(upstream, health, self._context, place, discovered=discovery is not None)
        elif health is not None:
            turns = self._plan.need(("health checks",), ProbeTurns, place)
            self._plan.need(("prober", upstream, health), partial(Prober, upstream, check_of(health), turns), place)
        self._upstreams[target, mirror] = upstream
        return upstream

    def _balancing(self, service: ServiceConfig, place: Place) -> Callable[[], Balancer]:
        return balancing_of(service.balance, self._plan.need(("beside",), Beside, place))

    def _rules(self, service: ServiceConfig) -> Rules:
        """Settings that depend on the time or on this gateway do not apply to hashing: all gateways must agree on
        it."""
        config = self._configuration.middleware.zones
        if service.balance.consistent_hash is not None:
            return Rules(panic_below=service.panic)
        zones = Zones(config.own, config.gateways) if config.own else None
        return Rules(service.slow_start, service.panic, zones)

    def _tls(self, name: str, service: ServiceConfig, place: Place) -> tuple[TlsSettings, EndpointTls]:
        """The settings of a service, and their context; others, with a problem, where its files cannot be used."""
        config = service.tls
        client = self._client_certificate(name, config)
        settings = TlsSettings(None, config.server_name, config.verify, client)
        try:
            if config.ca is not None:
                settings = replace(settings, ca=self._read_once(config.ca))
            return self._shared(settings, place)
        except UnusableFile as error:  # it has changed since it was looked at
            self._unusable_file(name, config, error)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            reason = f"{error.strerror}; {to_mend(error)}" if isinstance(error, OSError) and error.strerror else error
            self._unusable(name, "ca", f"{config.ca} cannot be used: {reason}")
        return self._shared(TlsSettings(), place)

    def _read_once(self, ca: str) -> str:
        path = self._configuration.base / ca
        return self._context.once(("ca", path), lambda: read_regular(path, MAX_CA_BYTES).decode())

    def _shared(self, tls: TlsSettings, place: Place) -> tuple[TlsSettings, EndpointTls]:
        """With the one context of all that have the same: it takes a megabyte where it trusts what the system does."""
        same = replace(tls, server_name=None)  # of which each connection tells its context
        return tls, EndpointTls(self._plan.need(("tls", same), same.context, place), tls.named)

    def _client_certificate(self, name: str, config: Tls) -> ClientCertificate | None:
        if config.certificate_file is None or config.key_file is None:
            return None
        base = self._configuration.base
        try:
            files = base / config.certificate_file, base / config.key_file
            return self._context.once(("client certificate", *files), lambda: ClientCertificate.read(*files))
        except UnusableFile as error:
            self._unusable_file(name, config, error)
            return None

    def _unusable_file(self, name: str, config: Tls, error: UnusableFile) -> None:
        self._unusable(name, error.key, f"{getattr(config, error.key)} cannot be used: {error}")

    def _unusable(self, name: str, key: str, message: str) -> None:
        self.problems.append(self._configuration.problem("routes.yaml", ("services", name, "tls", key), message))


def _configure(changed: Mapping[Upstream, Change]) -> None:
    for upstream, (settings, members, tls) in changed.items():
        upstream.configure(settings, tls)
        if members is not None:
            upstream.replace(members)
