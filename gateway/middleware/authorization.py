"""Who of those who are known may do what: scopes, groups, tenants, consumers, and conditions (401, 403)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from gateway.algorithms.conditions import Calendar, Condition, Facts, compile_condition
from gateway.algorithms.linear_regex import TextTooLong
from gateway.auth.schemes import schemes_of
from gateway.config.models import AuthFile, Configuration, RouteConfig
from gateway.config.models.auth.authorization import NOT_TRANSLATED, Authorize
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Decision, Exchange, Handler, Headers, Identity, Response
from gateway.http.decisions import Mode, deny
from gateway.middleware.declaration import Declaration, Read

_LEFT_CLOSED: Final = (
    "gateway import or gateway init left the route closed; set its access rules in auth and authorize, then remove this"
)
_BEARER_KINDS = frozenset({"jwt", "introspection"})


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One rule of `authorize`. What it does not ask for is None."""

    name: str  # authorize:orders[0]
    methods: frozenset[str] | None
    scopes: frozenset[str]
    groups: frozenset[str] | None
    tenants: frozenset[str] | None
    consumers: frozenset[str] | None
    condition: Condition | None
    mode: Mode
    about_caller: bool = field(init=False)

    def __post_init__(self) -> None:
        asks = bool(self.scopes) or not (self.groups is self.tenants is self.consumers is None)
        asks = asks or (self.condition is not None and self.condition.about_caller)
        object.__setattr__(self, "about_caller", asks)

    def lacks(self, exchange: Exchange, identity: Identity | None, calendar: Calendar) -> str | None:
        """The missing permission, in words that reveal nothing; None if there is none."""
        if identity is None:
            if self.about_caller:
                return "it must be known who calls"
        elif (missing := self._missing(identity)) is not None:
            return missing
        if self.condition is None:
            return None
        try:
            holds = self.condition.holds(Facts(exchange, time.time(), calendar))
        except TextTooLong:
            return "its condition is about a text that is too long to be compared"
        if holds:
            return None
        return _LEFT_CLOSED if self.condition.text == NOT_TRANSLATED else "its condition does not hold"

    def _missing(self, identity: Identity) -> str | None:
        if not self.scopes <= identity.scopes:
            return f"it needs the scope {' and '.join(sorted(self.scopes - identity.scopes))}"
        if self.groups is not None and self.groups.isdisjoint(identity.groups):
            return "the caller is in none of its groups"
        if self.tenants is not None and identity.tenant not in self.tenants:
            return "the caller's tenant is not one of its tenants"
        if self.consumers is not None and identity.consumer not in self.consumers:
            return "the caller is not one of its consumers"
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Authorization:
    """All rules of a route. `anonymous` and `bearer_schemes` name schemes; `challenge` is for unknown callers."""

    rules: tuple[AccessRule, ...]
    calendar: Calendar
    anonymous: frozenset[str] = frozenset()
    bearer_schemes: frozenset[str] = frozenset()
    challenge: Headers = field(default_factory=list)

    def wrap(self, handler: Handler) -> Handler:
        """A handler that refuses who is not allowed, and leaves the others to `handler`."""
        rules, calendar = self.rules, self.calendar

        async def authorized(exchange: Exchange) -> Response:
            identity, method = exchange.identity, exchange.method
            for rule in rules:
                if rule.methods is not None and method not in rule.methods:
                    continue
                missing = rule.lacks(exchange, identity, calendar)
                if missing is not None:
                    deny(exchange, rule.name, self._refusal(rule, identity, missing), rule.mode)
            return await handler(exchange)

        return authorized

    def __repr__(self) -> str:
        return f"Authorization({', '.join(rule.name for rule in self.rules)})"

    async def explain(self, exchange: Exchange) -> Decision | None:
        """The first rule that would refuse the exchange, or that all of them let it pass."""
        shadow: Decision | None = None
        asked = [rule for rule in self.rules if rule.methods is None or exchange.method in rule.methods]
        for rule in asked:
            missing = rule.lacks(exchange, exchange.identity, self.calendar)
            if missing is not None and rule.mode == "enforce":
                error = self._refusal(rule, exchange.identity, missing)
                return Decision(rule.name, "deny", f"{error.kind.status}: {error.detail}")
            if missing is not None:
                shadow = shadow or Decision(rule.name, "shadow-deny", missing)
        if shadow is not None or not asked:
            return shadow
        return Decision("authorize", "allow", f"all requirements of {', '.join(rule.name for rule in asked)} are met")

    def _refusal(self, rule: AccessRule, identity: Identity | None, missing: str) -> GatewayError:
        name = rule.name.removeprefix("authorize:")
        if rule.about_caller and (identity is None or identity.scheme in self.anonymous):
            detail = f"rule {name} of this route is for known callers; send a credential"
            public_detail = "this is for known callers; send a credential"
            return GatewayError(
                ErrorKind.UNAUTHENTICATED, detail, headers=tuple(self.challenge), public_detail=public_detail
            )
        headers: tuple[tuple[bytes, bytes], ...] = ()
        public_detail = "the caller may not do this"
        if identity is not None and not rule.scopes <= identity.scopes:
            public_detail = missing  # what a client may ask its user for
        if identity is not None and identity.scheme in self.bearer_schemes and not rule.scopes <= identity.scopes:
            # RFC 6750, 3.1.
            headers = (
                (
                    b"www-authenticate",
                    b'Bearer error="insufficient_scope", scope="%b"'
                    % " ".join(sorted(rule.scopes)).encode("ascii", "replace"),
                ),
            )
        detail = f"rule {name} of this route refuses this: {missing}"
        return GatewayError(ErrorKind.FORBIDDEN, detail, headers=headers, public_detail=public_detail)


def for_route(context: Context, route: RouteConfig) -> Authorization | None:
    """The rules of the route, if it has any."""
    if not route.authorize:
        return None
    auth = context.configuration.auth
    rules = tuple(
        _access_rule(f"authorize:{route.id}[{index}]", config) for index, config in enumerate(route.authorize)
    )
    # The challenges of the route's schemes (RFC 9110, 11.6.1).
    names = context.configuration.auth.default if route.auth is None else route.auth
    schemes = schemes_of(context)
    challenges = dict.fromkeys(schemes[name].challenge(None) for name in names)
    return Authorization(
        rules,
        Calendar(ZoneInfo(auth.timezone)),
        _schemes(auth, lambda kind: kind == "anonymous"),
        _schemes(auth, _BEARER_KINDS.__contains__),
        [(b"www-authenticate", challenge) for challenge in challenges if challenge is not None],
    )


def _schemes(auth: AuthFile, wanted: Callable[[str], bool]) -> frozenset[str]:
    return frozenset(name for name, scheme in auth.schemes.items() if wanted(scheme.kind))


def _access_rule(name: str, config: Authorize) -> AccessRule:
    return AccessRule(
        name=name,
        methods=_methods(config.methods),
        scopes=frozenset(config.scopes or ()),
        groups=_some(config.groups),
        tenants=_some(config.tenants),
        consumers=_some(config.consumers),
        condition=compile_condition(config.when) if config.when is not None else None,
        mode=config.mode,
    )


def _some(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _methods(methods: tuple[str, ...] | None) -> frozenset[str] | None:
    if methods is None:
        return None
    return frozenset((*methods, "HEAD")) if "GET" in methods else frozenset(methods)


def _reads(configuration: Configuration, route: RouteConfig) -> Iterator[Read]:
    for config in route.authorize:
        if config.when is not None and config.mode == "enforce":
            condition = compile_condition(config.when)
            yield from (("header", name) for name in condition.headers)
            yield from (("parameter", name) for name in condition.parameters)


DECLARATION: Final[Declaration] = Declaration(
    "authorization",
    for_route,
    behind={"authentication": "it is not yet known who calls"},
    reads=_reads,
)
