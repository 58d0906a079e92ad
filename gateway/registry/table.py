"""The source that a configuration asks for, and what asks it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Final

from gateway.bus.configured import bus_identity
from gateway.config.models.discovery import Discovery as Config
from gateway.config.models.kubernetes import Kubernetes
from gateway.config.models.registries import Consul
from gateway.context import Context
from gateway.live import Place
from gateway.outside.redis_link import redis_identity
from gateway.registry.agents import AgentsSource, agent_registries, stale_after
from gateway.registry.allowed import AllowedNetworks
from gateway.registry.discovery import Caution, Discovery
from gateway.registry.over_bus import BusSource, bus_registry
from gateway.registry.registered import RegisteredSource, registered_identity, registered_of
from gateway.registry.source import Source
from gateway.upstream.service import Upstream

IN_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def discovery_of(upstream: Upstream, service: str, config: Config, context: Context, place: Place) -> Discovery:
    """Keeps the endpoints of a service up to date. An empty set over the bus was held back already."""
    networks = config.allowed_networks
    if config.agents is not None and not networks and context.configuration.middleware.agents is not None:
        networks = context.configuration.middleware.agents.networks
    hold_empty = config.hold_empty if "discovery" in context.roles else 0.0
    caution = Caution(hold_empty, AllowedNetworks(networks), config.first_answer)
    return Discovery(upstream, source_of(service, config, context, place), caution)


def source_of(service: str, config: Config, context: Context, place: Place) -> Source:
    """`service`: its name; `place`: where the configuration asks for it.

    A process without the role discovery subscribes to one that has it.
    """
    if "discovery" not in context.roles:
        return BusSource(bus_registry(context), service)
    if config.file is not None:
        from gateway.registry.file import FileSource  # noqa: PLC0415

        return FileSource(context.base / config.file)
    if config.dns is not None:
        return _dns(config.dns, config, context, place)
    if config.redis is not None:
        from gateway.registry.redis import RedisSource, redis_registry  # noqa: PLC0415

        networks = ",".join(map(str, config.allowed_networks))
        return RedisSource(redis_registry(context), config.redis, networks=networks)
    if config.agents is not None:
        return AgentsSource(agent_registries(context), config.agents, service, stale_after(context))
    registered = config.registered is not None
    return RegisteredSource(registered_of(context), service) if registered else _over_http(config, context.base)


def identity_of(config: Config, context: Context) -> Hashable:
    """The identity of a source: its settings, including those from other parts of the files."""
    if "discovery" not in context.roles:
        return config, bus_identity(context)
    if config.registered is not None:
        return config, registered_identity(context)
    if config.agents is not None:
        agents = context.configuration.middleware.agents
        return config, bus_identity(context), stale_after(context), agents.networks if agents is not None else ()
    return config, redis_identity(context) if config.redis is not None else None


def host_name_of(config: Config | None) -> str | None:
    """The name of the endpoints in Host and in TLS, if it is not their addresses."""
    if config is not None and config.dns is not None:
        return ".".join(label for label in config.dns.split(".") if config.type != "SRV" or not label.startswith("_"))
    if config is not None and config.kubernetes is not None:
        return f"{config.kubernetes.service}.{config.kubernetes.namespace}.svc"
    return None


def _over_http(config: Config, base: Path) -> Source:
    """Each needs an HTTP client: megabytes, and time at the start, for those who use it."""
    if config.kubernetes is not None:
        return _kubernetes(config.kubernetes, base)
    if config.consul is not None:
        return _consul(config.consul, base)
    from gateway.registry.etcd import EtcdSource  # noqa: PLC0415

    etcd = config.etcd
    assert etcd is not None  # as there is exactly one
    login = (etcd.user, etcd.password.get_secret_value()) if etcd.user and etcd.password else None
    return EtcdSource(etcd.url, etcd.prefix, login, base / etcd.ca if etcd.ca else None)


def _dns(name: str, config: Config, context: Context, place: Place) -> Source:
    from gateway.outside.names import NameServers  # noqa: PLC0415
    from gateway.registry.dns import BOTH, DnsSource, Ttl  # noqa: PLC0415

    key, make = ("name servers", config.server), partial(NameServers, config.server)
    servers: NameServers = context.plan.need(key, make, place)
    ttl = Ttl(config.ttl.min, config.ttl.max, config.ttl.override)
    if config.type == "SRV":
        return DnsSource(name, None, servers, BOTH, ttl, config.hold_missing)
    families = BOTH if config.type is None else (config.type,)
    return DnsSource(name, config.port, servers, families, ttl, config.hold_missing)


def _kubernetes(config: Kubernetes, base: Path) -> Source:
    from gateway.registry.kubernetes import KubernetesSource  # noqa: PLC0415
    from gateway.registry.kubernetes_api import Access  # noqa: PLC0415

    default = Access() if config.url else Access(None, IN_POD / "token", IN_POD / "ca.crt")
    token = base / config.token_file if config.token_file else default.token
    access = Access(config.url, token, base / config.ca if config.ca else default.ca)
    return KubernetesSource(config.namespace, config.service, config.port, access)


def _consul(config: Consul, base: Path) -> Source:
    from gateway.registry.consul import ConsulQuery, ConsulSource  # noqa: PLC0415

    query = ConsulQuery(
        config.url,
        config.service,
        config.tag,
        config.datacenter,
        config.stale,
        config.token.get_secret_value() if config.token else None,
        base / config.ca if config.ca else None,
    )
    return ConsulSource(query)
