"""The bridge to an agent network: settings that would bring nothing in, or let something out."""

from collections.abc import Iterator

from gateway.config.models import Configuration
from gateway.config.problems import Fault


def services_without_networks(configuration: Configuration) -> Iterator[Fault]:
    """Services of agents of which no instance would be used."""
    agents = configuration.middleware.agents
    for name, service in configuration.routes.services.items():
        if service.discovery is None or service.discovery.agents is None:
            continue
        place = ("services", name, "discovery", "agents")
        if agents is None:
            message = "the bridge brings its instances, and middleware.yaml has no group agents; add one with networks"
            yield Fault(place, message)
        elif not agents.networks:
            message = "agents.networks of middleware.yaml is empty, so that no instance is used; name their networks"
            yield Fault(place, message)
        elif agents.prefix is not None and agents.prefix != service.discovery.agents:
            message = f"the prefix of the bridge is {agents.prefix}, so that no bridge brings these; is it misspelt?"
            yield Fault(place, message)


def credentials_in_clear(configuration: Configuration) -> Iterator[Fault]:
    """Keys of clients on the network."""
    agents = configuration.middleware.agents
    if agents is not None and agents.send_credentials:
        message = "the API keys of clients go to the agent auth in clear; remove it, and it gets fingerprints"
        yield Fault(("agents", "send_credentials"), message)


def names_of_others(configuration: Configuration) -> Iterator[Fault]:
    """Pins of agents that the bridge never talks with."""
    agents = configuration.middleware.agents
    if agents is not None and agents.prefix is not None:
        known = {f"{agents.prefix}-{role}" for role in ("discovery", "router", "auth", "monitor")}
        for hostname in agents.pins.keys() - known:
            yield Fault(("agents", "pins", hostname), f"the bridge knows {', '.join(sorted(known))}; correct the name")
