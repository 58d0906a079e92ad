"""models.yaml: names that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gateway.config.models import Configuration
from gateway.config.models.breakers import PROFILES
from gateway.config.models.llm.well_known import WELL_KNOWN
from gateway.config.problems import Fault, Path, suggest

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile
    from gateway.config.models.llm.routing import Profile

_TRANSLATED = {"openai": ("messages", "responses"), "anthropic": ("chat",), "gemini": ()}
_KNOWN = ", ".join(WELL_KNOWN)


def unknown_names(configuration: Configuration) -> Iterator[Fault]:
    """Providers, profiles, guardrails, services and breakers that are named, and not there."""
    if (models := configuration.models) is None:
        return
    routing = models.model_routing
    profiles = list(routing.profiles)
    if routing.default is not None:
        yield from _unknown(routing.default, profiles, ("model_routing", "default"), "profiles")
    for number, rule in enumerate(routing.rules):
        yield from _unknown(rule.use, profiles, ("model_routing", "rules", number, "use"), "profiles")
    for name, profile in routing.profiles.items():
        yield from _in_profile(models, profile, ("model_routing", "profiles", name))
    for path, name in _named_in_aliases(models.aliases, ("aliases",)):
        yield from _unknown_provider(models, name, path)
    services = list(configuration.routes.services)
    breakers = [*PROFILES, *configuration.middleware.breakers]
    for name, provider in models.providers.items():
        place = ("providers", name)
        if provider.service is not None:
            yield from _unknown(provider.service, services, (*place, "service"), "services of routes.yaml")
        if provider.breaker.profile not in breakers:
            yield from _unknown(provider.breaker.profile, breakers, (*place, "breaker"), "breakers of middleware.yaml")


def incomplete_providers(configuration: Configuration) -> Iterator[Fault]:
    """Providers of which it is not said where they are or what they speak, and translations that there are not."""
    models = configuration.models
    for name, provider in models.providers.items() if models is not None else ():
        place = ("providers", name)
        if name not in WELL_KNOWN and provider.protocol is None:
            message = f"the protocol is missing: openai, anthropic or gemini; only {_KNOWN} need none"
            yield Fault(place, message, show_value=False)
        if name not in WELL_KNOWN and provider.base_url is None and provider.service is None:
            message = f"base_url or service is missing; add where it is. Only {_KNOWN} need neither"
            yield Fault(place, message, show_value=False)
        possible = _TRANSLATED.get(provider.protocol or (WELL_KNOWN[name].protocol if name in WELL_KNOWN else ""), ())
        for number, each in enumerate(provider.translate):
            if each not in possible:
                remedy = f"it can be {' or '.join(possible)}" if possible else "remove it"
                yield Fault(
                    (*place, "translate", number), f"this translation does not exist for its protocol; {remedy}"
                )


def endless_overflow(configuration: Configuration) -> Iterator[Fault]:
    """Profiles whose overflow leads back to them."""
    profiles = configuration.models.model_routing.profiles if configuration.models is not None else {}
    reported: set[str] = set()
    for name in profiles:
        way = [name]
        while (following := profiles[way[-1]].overflow) in profiles and following not in way:
            way.append(following)
        if following == name and reported.isdisjoint(way):
            reported.update(way)
            message = f"what is too long goes round in a circle: {' -> '.join([*way, name])}; end it at the largest"
            yield Fault(("model_routing", "profiles", name, "overflow"), message)


def without_redis(configuration: Configuration) -> Iterator[Fault]:
    """Budgets and quotas of tools in a Redis that there is not."""
    models = configuration.models
    if models is None or configuration.middleware.redis is not None:
        return
    for place, (store, _) in models.stores.items():
        if store == "redis":
            message = "the store is redis, and middleware.yaml has no redis: with its url; add that there"
            yield Fault((*place, "store"), message)


def paths_of_servers(configuration: Configuration) -> Iterator[Fault]:
    """MCP endpoints that share a path."""
    first: dict[str, str] = {}
    for name, endpoint in configuration.models.mcp.items() if configuration.models is not None else ():
        other = first.setdefault(endpoint.path, name)
        if other != name:
            yield Fault(("mcp", name, "path"), f"{other} has this path, too; give each of them its own")


def _in_profile(models: ModelsFile, profile: Profile, place: Path) -> Iterator[Fault]:
    for number, name in enumerate(profile.prefer_providers):
        yield from _unknown_provider(models, name, (*place, "prefer_providers", number))
        if name in profile.prefer_providers[:number]:
            yield Fault((*place, "prefer_providers", number), "this provider is there already; remove one of them")
    names = [choice.name for choice in profile.providers]
    for number, name in enumerate(names):
        yield from _unknown_provider(models, name, (*place, "providers", number))
        if name in names[:number]:
            yield Fault((*place, "providers", number), "this provider is there already; remove one of them")
    for path, name in _named_in_aliases(profile.aliases, (*place, "aliases")):
        yield from _unknown_provider(models, name, path)
    if profile.overflow is not None:
        profiles = list(models.model_routing.profiles)
        yield from _unknown(profile.overflow, profiles, (*place, "overflow"), "profiles")
    for number, name in enumerate(profile.guardrails):
        yield from _unknown(name, list(models.guardrails), (*place, "guardrails", number), "guardrails")


def _named_in_aliases(aliases: Mapping[str, Mapping[str, str]], place: Path) -> Iterator[tuple[Path, str]]:
    for alias, names in aliases.items():
        for name in names:
            yield (*place, alias, name, "[key]"), name


def _unknown_provider(models: ModelsFile, name: str, place: Path) -> Iterator[Fault]:
    if name not in models.in_force:
        likely = suggest(name, [*models.providers, *WELL_KNOWN])
        message = f"providers has no entry of this name, and it is none of {_KNOWN}; define it"
        yield Fault(place, message, f', or did you mean "{likely}"?' if likely else "")


def _unknown(name: str, known: Sequence[str], place: Path, where: str) -> Iterator[Fault]:
    if name not in known:
        likely = suggest(name, list(known))
        message = f"{where} has no entry of this name; define it"
        yield Fault(place, message, f', or did you mean "{likely}"?' if likely else "")
