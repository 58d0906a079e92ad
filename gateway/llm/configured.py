"""The settings of models.yaml as values for the request path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Final

from gateway.algorithms.globs import Glob
from gateway.algorithms.linear_regex import LinearRegex, TextTooLong
from gateway.auth.identities import header_names
from gateway.cache.configured import cache_of
from gateway.config.models.llm.file import ModelsFile
from gateway.config.models.llm.providers import Provider
from gateway.config.models.llm.routing import Choice, ValueWhen
from gateway.config.models.llm.routing import Profile as ProfileConfig
from gateway.config.models.llm.routing import When as WhenConfig
from gateway.context import Context
from gateway.deadlines import NEVER
from gateway.http import Exchange, Handler
from gateway.http.fields import lines_of
from gateway.limits.held_bodies import held_bodies_of
from gateway.live import Place
from gateway.llm.affinity import KEY_FILE, Seal
from gateway.llm.cache import AnswerCache
from gateway.llm.choosing import Allowed, Keeping, Offer, Profile, Rule, Table, Test, When
from gateway.llm.content import contents_of
from gateway.llm.cooldown import Cooldowns, SharedCooldowns
from gateway.llm.draining import Drains
from gateway.llm.failover import Failover
from gateway.llm.guardrails import Guard
from gateway.llm.handler import Models, Settings
from gateway.llm.holding import Limits
from gateway.llm.issued import Issuing
from gateway.llm.money import money_of
from gateway.llm.origins import Origins
from gateway.llm.providers import CREDENTIALS, OF_BROWSERS, Key, Loads, key_of
from gateway.llm.providers import Provider as ProviderLive
from gateway.outside.redis_link import redis_identity, redis_link
from gateway.upstream.sticky import CookieKey

EVERYTHING: Final = "default"
"""The profile where none is configured: every provider, without limits."""

PLACE: Final[Place] = ("models.yaml", ("providers",))

MOST_PATHS: Final = 256  # of one provider that are remembered: those of Gemini name models

_TRANSLATED: Final = {
    "chat": ("openai.chat",),
    "messages": ("anthropic.messages",),
    "responses": ("openai.responses",),
}


def table_of(models: ModelsFile, guards: Mapping[str, Guard] | None = None) -> Table:
    """Providers, profiles and rules."""
    guards = guards or {}
    routing = models.model_routing
    providers = models.in_force
    profiles = {name: _profile(name, config, guards) for name, config in routing.profiles.items()}
    default = routing.default
    if default is None:
        default = EVERYTHING
        while default in profiles:
            default += "-"
        profiles[default] = Profile(default)
    offers = {name: _offer(name, provider) for name, provider in providers.items()}
    return Table(
        offers, profiles, default, tuple(Rule(_when(rule.when), rule.use) for rule in routing.rules), models.aliases
    )


def _offer(name: str, provider: Provider) -> Offer:
    translates = frozenset(api for word in provider.translate for api in _TRANSLATED[word])
    return Offer(name, provider.speaks, provider.models, provider.weight, translates)


def _profile(name: str, config: ProfileConfig, guards: Mapping[str, Guard]) -> Profile:
    preferred = tuple(((provider, 1),) for provider in config.prefer_providers)
    allow = config.allow
    allowed = Allowed(frozenset(allow.tenants), frozenset(allow.groups), frozenset(allow.consumers))
    return Profile(
        name,
        preferred or tuple(_tiers(config.providers)),
        only=bool(config.providers),
        aliases=config.aliases,
        most_tokens=config.max_context_tokens,
        overflow=config.overflow,
        allowed=None if allow.everybody else allowed,
        most_output=config.max_output_tokens,
        temperature=(config.temperature.min, config.temperature.max),
        hedge=config.hedge.after if config.hedge is not None else None,
        keeping=Keeping(config.cache.ttl, config.cache.shared_by == "tenant", config.cache.max_size)
        if config.cache is not None
        else None,
        guards=tuple(guards[guard] for guard in config.guardrails if guard in guards),
    )


def _tiers(choices: Sequence[Choice]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Those with a weight are one tier, at the place of the first of them; each of the others is one of its own."""
    weighted = tuple((choice.name, choice.weight) for choice in choices if choice.weight is not None)
    shared = False
    for choice in choices:
        if choice.weight is None:
            yield ((choice.name, 1),)
        elif not shared:
            shared = True
            yield weighted


def _when(config: WhenConfig) -> When:
    tests: list[Test] = [_header(each.name.lower().encode(), _value(each)) for each in config.header]
    tests += [_claim(tuple(each.name.split(".")), _value(each)) for each in config.claim]
    tokens = config.estimated_tokens
    return When(
        tests=tuple(tests),
        models=_globs(config.model),
        routes=_globs(config.route),
        tenants=frozenset(config.tenant) or None,
        consumers=frozenset(config.consumer) or None,
        groups=frozenset(config.group) or None,
        above=tokens.gt if tokens is not None else None,
        below=tokens.lt if tokens is not None else None,
        tools=config.tools,
        stream=config.stream,
    )


def _globs(patterns: Iterable[str]) -> tuple[Glob, ...] | None:
    return tuple(Glob(pattern) for pattern in patterns) or None


def _value(config: ValueWhen) -> Callable[[Sequence[str]], bool]:
    """The condition on the values of a header or claim. One with several values only counts as present."""
    if config.present is not None:
        present = config.present
        return lambda values: bool(values) is present
    if config.equals is not None:
        return lambda values: len(values) == 1 and values[0] == config.equals
    if config.prefix is not None:
        prefix = config.prefix
        return lambda values: len(values) == 1 and values[0].startswith(prefix)
    if config.regex is None:
        return bool
    pattern = LinearRegex(config.regex)
    return lambda values: len(values) == 1 and _matches(pattern, values[0])


def _matches(pattern: LinearRegex, text: str) -> bool:
    try:
        return bool(pattern.matches(text))
    except TextTooLong:
        return False


def _header(name: bytes, fits: Callable[[Sequence[str]], bool]) -> Test:
    def test(exchange: Exchange) -> bool:
        lines = lines_of(exchange.headers, exchange.fields, name)
        return fits([line.decode("utf-8", "replace") for line in lines])

    return test


def _claim(path: tuple[str, ...], fits: Callable[[Sequence[str]], bool]) -> Test:
    def test(exchange: Exchange) -> bool:
        value: Any = exchange.identity.claims if exchange.identity is not None else {}
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, Sequence) and not isinstance(value, str):
            return any(fits([_text(entry)]) for entry in value) if value else fits([])
        return fits([] if value is None else [_text(value)])

    return test


def _text(value: object) -> str:
    return (
        value if isinstance(value, str) else ("true" if value else "false") if isinstance(value, bool) else str(value)
    )


Way = Callable[[str, Provider], Handler]
"""Forwards exchanges to a provider, behind its breaker."""


def models_of(context: Context, way: Way, total: float, guards: Mapping[str, Guard]) -> Models:
    """The models of a configuration that has some, by these ways. `total`: seconds that a request may take."""
    models = context.configuration.models
    assert models is not None
    cooldowns = context.plan.need(("model cooldowns",), Cooldowns, PLACE)
    if context.configuration.middleware.redis is not None:
        share = ("model cooldowns shared", *redis_identity(context))
        context.plan.need(share, lambda: SharedCooldowns(cooldowns, redis_link(context)), PLACE)
    loads = context.plan.need(("model loads",), Loads, PLACE)
    providers = {name: provider_of(name, config, way(name, config)) for name, config in models.in_force.items()}
    asked = {name: str(config.service or config.origin) for name, config in models.in_force.items()}
    keys_at = {(name, key.fingerprint): asked[name] for name, provider in providers.items() for key in provider.keys}
    context.plan.after_adoption(partial(cooldowns.configure, keys_at))
    settings = Settings(
        most_body=models.max_body,
        session_headers=tuple(name.encode() for name in models.affinity.headers),
        says_who=models.response_headers,
        list_stored=models.list_stored,
        total=total,
        concealed=CREDENTIALS | OF_BROWSERS | header_names(context.configuration.auth.identity_headers),
        revision=context.configuration.digest,
        contents=contents_of(models),
        allowed={each.name: _globs(each.models) for each in context.configuration.auth.consumers if each.models},
    )
    drains = context.plan.need(("model drains",), Drains, PLACE) if models.on_disconnect == "drain" else None
    if drains is not None:
        context.plan.after_adoption(partial(setattr, drains, "most", models.drains))
    failover = Failover(providers, cooldowns, loads, Limits(models.hold_size, models.hold_time), drains)
    money = context.once("model money", lambda: money_of(context))
    keys = sum(len(provider.keys) for provider in providers.values() if provider.protocol == "openai")
    protocols = Counter(provider.protocol for provider in providers.values())
    made = context.plan.need(("model origins",), Origins, PLACE)
    origins = made if keys > 1 or protocols["anthropic"] > 1 or protocols["gemini"] > 1 else None
    seal = _seal(context, models)
    keeping = any(profile.cache is not None for profile in models.model_routing.profiles.values())
    answers = AnswerCache(cache_of(context), context.configuration.digest) if keeping else None
    return Models(
        table_of(models, guards),
        money,
        failover,
        seal if keys > 1 else None,
        Issuing(seal, made),
        settings,
        held_bodies_of(context),
        answers,
        origins,
    )


def _seal(context: Context, models: ModelsFile) -> Seal:
    secret = models.affinity.secret.get_secret_value() if models.affinity.secret is not None else ""
    path = None if secret else context.base / context.configuration.middleware.state_directory / KEY_FILE
    return Seal(
        context.plan.need(
            ("model ids key", secret, path), partial(CookieKey, secret, path, "ids of what models have made"), PLACE
        )
    )


def provider_of(name: str, config: Provider, handler: Handler) -> ProviderLive:
    """A provider as it is configured."""
    keys = tuple(key_of(name, config.speaks, key.get_secret_value()) for key in config.keys) or (Key(),)
    if len(keys) == 1:
        keys = (replace(keys[0], load=""),)
    total = config.timeout.total if config.timeout is not None else None
    path_of = lru_cache(MOST_PATHS)(config.path_of)
    return ProviderLive(
        name, config.speaks, handler, keys, path_of, config.unsupported, NEVER if total is None else total
    )
