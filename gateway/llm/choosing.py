"""Which providers may answer a request, in which order, and why: a function of the request and of nothing else.

A rule chooses a profile, a profile prefers providers, and the model that the client names decides which of them can
answer. What is going on with a provider at the moment (its cooldown, its breaker) is for `failover.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from gateway.algorithms.globs import Glob
from gateway.algorithms.stable_hash import stable_hash
from gateway.http import Exchange
from gateway.http.model_record import LeftOut
from gateway.llm.guardrails import Guard

ANY: Final = "*"
MOST_REMEMBERED: Final = 1000  # models, by profile and API: clients name them
LONGEST_REMEMBERED: Final = 200  # characters of a name
UNBOUNDED: Final[tuple[float | None, float | None]] = (None, None)
_SPREAD: Final = 2.0**64

Test = Callable[[Exchange], bool]


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider, as far as choosing goes."""

    name: str
    protocol: str  # openai, anthropic, gemini
    models: tuple[str, ...] = (ANY,)  # names and patterns
    weight: int = 1
    translates: frozenset[str] = frozenset()  # APIs in another protocol than its own
    _exact: frozenset[str] = field(init=False, compare=False)
    _patterns: tuple[Glob, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_exact", frozenset(name for name in self.models if ANY not in name))
        object.__setattr__(self, "_patterns", tuple(Glob(name) for name in self.models if ANY in name))

    @property
    def listed(self) -> Iterator[str]:
        """The models that it names itself."""
        return (name for name in self.models if ANY not in name)

    def covers(self, model: str) -> str:
        """The name or pattern among its models that this one fits; empty where none does."""
        if model in self._exact:
            return model
        lowered = model.lower()
        return next((glob.pattern for glob in self._patterns if glob.matches(lowered)), "")

    def speaks(self, family: str, api: str) -> bool:
        """Whether requests of this API can be sent to it."""
        return family == self.protocol or api in self.translates


@dataclass(frozen=True, slots=True)
class Allowed:
    """Callers: one that is in any of these."""

    tenants: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    consumers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a profile keeps answers."""

    ttl: float  # seconds
    by_tenant: bool  # or by consumer
    most: int  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile: its candidates, in order."""

    name: str
    tiers: tuple[tuple[tuple[str, int], ...], ...] = ()  # providers with their weights; tiers in order of preference
    only: bool = False  # no provider beside these
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    most_tokens: int | None = None  # of context: input, and what is asked for as output
    overflow: str | None = None  # the profile for what is longer
    allowed: Allowed | None = None  # who may use it; None: every caller
    most_output: int | None = None
    temperature: tuple[float | None, float | None] = UNBOUNDED  # the least and the most
    hedge: float | None = None  # seconds, after which the next one is asked, too
    guards: tuple[Guard, ...] = ()
    keeping: Keeping | None = None  # how answers are used again; None: not at all

    def allows(self, exchange: Exchange) -> bool:
        """Whether this caller may use it: as one of the consumers, or by tenant or group, where any are named."""
        if self.allowed is None:
            return True
        identity = exchange.identity
        return identity is not None and (
            identity.consumer in self.allowed.consumers
            or identity.tenant in self.allowed.tenants
            or not self.allowed.groups.isdisjoint(identity.groups)
        )


class Ask(NamedTuple):
    """The properties of a request that decide."""

    api: str
    family: str
    model: str
    stream: bool = False
    tools: int = 0
    input_tokens: int = 0  # estimated
    output_tokens: int = 0  # that are asked for; 0: not said
    key: bytes = b""  # of what stays together, for the sake of prompt caches; empty: nothing does
    others: Sequence[str] = ()  # models that the request names beside its own


@dataclass(frozen=True, slots=True)
class When:
    """Which requests a rule is for: all of this must hold. What is None is not asked for."""

    tests: tuple[Test, ...] = ()  # headers, claims
    models: tuple[Glob, ...] | None = None
    routes: tuple[Glob, ...] | None = None
    tenants: frozenset[str] | None = None
    consumers: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    above: int | None = None  # tokens of input
    below: int | None = None
    tools: bool | None = None
    stream: bool | None = None

    def holds(self, ask: Ask, exchange: Exchange) -> bool:
        """Whether a request is one of them."""
        return (
            (self.models is None or fits(self.models, ask.model))
            and (self.routes is None or fits(self.routes, exchange.route or ""))
            and (self.above is None or ask.input_tokens > self.above)
            and (self.below is None or ask.input_tokens < self.below)
            and (self.tools is None or self.tools is (ask.tools > 0))
            and (self.stream is None or self.stream is ask.stream)
            and self._is_caller(exchange)
            and all(test(exchange) for test in self.tests)
        )

    def _is_caller(self, exchange: Exchange) -> bool:
        if self.tenants is self.consumers is self.groups is None:
            return True
        identity = exchange.identity
        return (
            identity is not None
            and (self.tenants is None or identity.tenant in self.tenants)
            and (self.consumers is None or identity.consumer in self.consumers)
            and (self.groups is None or not self.groups.isdisjoint(identity.groups))
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Which profile requests use that are so."""

    when: When
    use: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider that may be asked, and for which of its models."""

    provider: str
    model: str
    backend: str  # "provider/model", with the pattern in place of a name that only a pattern covers
    translated: bool


@dataclass(frozen=True, slots=True)
class Table:
    """All that choosing goes by."""

    offers: Mapping[str, Offer]
    profiles: Mapping[str, Profile]
    default: str
    rules: tuple[Rule, ...] = ()
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # to the model's name at each provider
    remembered: dict[tuple[str, str, str], Found] = field(
        default_factory=dict, init=False, compare=False
    )  # by profile, API, model
    counts: bool = field(init=False, compare=False)  # whether the tokens of a request decide anything
    plain: bool = field(init=False, compare=False)  # the default profile takes every request, whatever it says

    def __post_init__(self) -> None:
        usual = self.profiles.get(self.default)
        plain = usual is not None and usual.allowed is None and usual.most_tokens is None and not self.rules
        object.__setattr__(self, "plain", plain)
        by_size = any(rule.when.above is not None or rule.when.below is not None for rule in self.rules)
        limited = any(profile.most_tokens is not None for profile in self.profiles.values())
        object.__setattr__(self, "counts", by_size or limited)


@dataclass(frozen=True, slots=True)
class Choice:
    """Who may answer, in the order in which they are asked."""

    rule: int | None  # None: the default profile
    profile: Profile
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    overflowed: tuple[str, ...] = ()  # the profiles whose context was too small


@dataclass(frozen=True, slots=True)
class Found:
    """Who can answer a request for one model."""

    tiers: tuple[tuple[tuple[Candidate, int], ...], ...]  # with their weights
    left_out: tuple[LeftOut, ...]
    always: Choice | None  # where no tier has several, so that nothing is to be drawn


class NotAllowed(Exception):
    """The caller may use none of the profiles that the request could have."""


class TooLong(Exception):
    """The request is longer than the profile takes, and there is none for longer ones."""

    def __init__(self, profile: str, tokens: int, most: int) -> None:
        super().__init__(f"the request has about {tokens} tokens, and profile {profile} takes {most}")
        self.profile = profile
        self.tokens = tokens
        self.most = most


def choose(table: Table, ask: Ask, exchange: Exchange, draw: float, loads: Mapping[str, int]) -> Choice:
    """Who may answer. `draw` is drawn from [0, 1) and decides where nothing else does; `loads` are requests in flight
    by provider. Without candidates, `left_out` says why. Raises NotAllowed, TooLong."""
    number, profile = _by_rule(table, ask, exchange) if table.rules else (None, table.profiles[table.default])
    if profile.allowed is not None and not profile.allows(exchange):
        raise NotAllowed(profile.name)
    overflowed: list[str] = []
    while profile.most_tokens is not None and ask.input_tokens + ask.output_tokens > profile.most_tokens:
        overflowed.append(profile.name)
        following = table.profiles.get(profile.overflow or "")
        if following is None or following.name in overflowed or not following.allows(exchange):
            raise TooLong(profile.name, ask.input_tokens + ask.output_tokens, profile.most_tokens)
        profile = following
    choice = candidates_of(table, profile, ask, draw, loads)
    if number is None and not overflowed:
        return choice
    return replace(choice, rule=number, overflowed=tuple(overflowed))


def usual_choice(table: Table, api: str, model: str) -> Choice | None:
    """The choice for requests that name no other model, where nothing else about them decides and it is known; in
    other cases None."""
    found = table.remembered.get((table.default, api, model)) if table.plain else None
    choice = found.always if found is not None else None
    return choice if choice is not None and choice.candidates else None


def candidates_of(table: Table, profile: Profile, ask: Ask, draw: float, loads: Mapping[str, int]) -> Choice:
    """Who may answer under one profile: of those that offer the model, the ones that offer all others, too."""
    key = profile.name, ask.api, ask.model
    known = table.remembered.get(key) or _remember(table, profile, ask)
    choice = known.always
    if choice is None:
        found: list[Candidate] = []
        for tier in known.tiers:
            if len(tier) == 1:
                found.append(tier[0][0])
            else:
                named = {candidate.provider: candidate for candidate, _ in tier}
                weighted = [(candidate.provider, weight) for candidate, weight in tier]
                found += [named[name] for name in ranked(weighted, ask.key, draw, loads)]
        choice = Choice(None, profile, tuple(found), known.left_out)
    return choice if not ask.others else _offering_all(table, choice, ask.others)


def _offering_all(table: Table, choice: Choice, names: Sequence[str]) -> Choice:
    """Without those that do not offer all of these models under just these names."""
    aliases = (table.aliases, choice.profile.aliases)
    found: list[Candidate] = []
    left_out: list[LeftOut] = []
    for candidate in choice.candidates:
        offer = table.offers[candidate.provider]
        if all(offer.covers(name) and not any(name in known for known in aliases) for name in names):
            found.append(candidate)
        else:
            left_out.append(LeftOut(offer.name, "model"))
    return replace(choice, candidates=tuple(found), left_out=(*choice.left_out, *left_out))


def _remember(table: Table, profile: Profile, ask: Ask) -> Found:
    """Who can answer a request for this model, by tiers: those of the profile and, unless it is for these only, the
    others as one more."""
    found: list[tuple[tuple[Candidate, int], ...]] = []
    left_out: list[LeftOut] = []
    tiers = list(profile.tiers)
    if not profile.only:
        named = {name for tier in tiers for name, _ in tier}
        others = [offer for offer in table.offers.values() if offer.name not in named]
        tiers.append(tuple((offer.name, offer.weight) for offer in others))
    for tier in tiers:
        answering: list[tuple[Candidate, int]] = []
        for name, weight in tier:
            candidate = _candidate(table, profile, ask, table.offers[name])
            if isinstance(candidate, LeftOut):
                left_out.append(candidate)
            else:
                answering.append((candidate, weight))
        if answering:
            found.append(tuple(answering))
    only = tuple(tier[0][0] for tier in found)
    always = Choice(None, profile, only, tuple(left_out)) if all(len(tier) == 1 for tier in found) else None
    result = Found(tuple(found), tuple(left_out), always)
    if len(ask.model) <= LONGEST_REMEMBERED:
        if len(table.remembered) >= MOST_REMEMBERED:
            table.remembered.clear()
        table.remembered[profile.name, ask.api, ask.model] = result
    return result


def _candidate(table: Table, profile: Profile, ask: Ask, offer: Offer) -> Candidate | LeftOut:
    alias = profile.aliases.get(ask.model) or table.aliases.get(ask.model)
    model = ask.model if alias is None else alias.get(offer.name, "")
    label = model if alias is not None else offer.covers(model)
    if not model or not label:
        return LeftOut(offer.name, "model")
    if not offer.speaks(ask.family, ask.api):
        return LeftOut(offer.name, "protocol")
    return Candidate(offer.name, model, f"{offer.name}/{label}", ask.api in offer.translates)


def offered(table: Table, exchange: Exchange) -> tuple[str, ...]:
    """The models that a caller may name: aliases, and what providers name themselves, without patterns."""
    names: dict[str, None] = {}
    for profile in table.profiles.values():
        if profile.allows(exchange):
            providers = [name for tier in profile.tiers for name, _ in tier] if profile.only else list(table.offers)
            aliases = (*profile.aliases.items(), *table.aliases.items())
            names.update((alias, None) for alias, models in aliases if any(name in models for name in providers))
            names.update((model, None) for name in providers for model in table.offers[name].listed)
    return tuple(names)


def _by_rule(table: Table, ask: Ask, exchange: Exchange) -> tuple[int | None, Profile]:
    """The first rule that holds, of those whose profile the caller may use: a header alone must not buy another one.
    Where none does, the default."""
    for number, rule in enumerate(table.rules):
        if rule.when.holds(ask, exchange):
            profile = table.profiles[rule.use]
            if profile.allows(exchange):
                return number, profile
    return None, table.profiles[table.default]


def ranked(
    weighted: Sequence[tuple[str, int]], key: bytes, draw: float, loads: Mapping[str, int], factor: float = 1.25
) -> list[str]:
    """Names in the order in which they serve a key, each first in proportion to its weight: rendezvous hashing with
    weights (Thaler and Ravishankar 1998), so that a key moves only when the one that serves it goes.

    With a key, none is first that has more than `factor` times its share of what all have in flight (Mirrokni, Thorup,
    Zadimoghaddam 2016). A weight of 0 is only for what no other one takes.
    """
    if len(weighted) < 2:
        return [name for name, _ in weighted]
    salt = key or draw.hex().encode()
    scored = sorted(weighted, key=lambda pair: _score(salt, pair[0], pair[1]), reverse=True)
    if not key:
        return [name for name, _ in scored]
    total = sum(loads.get(name, 0) for name, _ in weighted) + 1
    shares = sum(weight for _, weight in weighted) or 1

    def is_full(pair: tuple[str, int]) -> bool:
        return loads.get(pair[0], 0) >= max(2, math.ceil(factor * total * pair[1] / shares))

    return [name for name, _ in sorted(scored, key=is_full)]


def _score(salt: bytes, name: str, weight: int) -> float:
    if not weight:
        return -1.0
    place = (stable_hash(salt + b"\0" + name.encode()) + 0.5) / _SPREAD
    return -weight / math.log(place)


def fits(globs: tuple[Glob, ...], text: str) -> bool:
    """Whether a text fits any of these patterns."""
    lowered = text.lower()
    return any(glob.matches(lowered) for glob in globs)
