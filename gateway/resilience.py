"""The resilience layers of a route, from its configuration; objects that outlive a reload are in the plan."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from gateway.algorithms.adaptive_concurrency import GradientSettings
from gateway.algorithms.circuit_breaker import BreakerSettings
from gateway.algorithms.conditions import Calendar, compile_condition
from gateway.algorithms.retry_budget import BudgetSettings, RetryBudget
from gateway.cache.wanted import cache_of_route
from gateway.config.models import Predicate, RouteConfig
from gateway.config.models.breakers import Breaker as BreakerConfig
from gateway.config.models.breakers import BreakerProfile
from gateway.config.models.resilience import Fallback as FallbackConfig
from gateway.config.models.resilience import Mirror as MirrorConfig
from gateway.config.models.retries import WORDS
from gateway.config.models.splits import SplitWhen
from gateway.config.models.sticky import StickyCookie as StickyConfig
from gateway.config.problems import Path
from gateway.config.route_rules import predicate
from gateway.config.values.addresses import parse_target
from gateway.context import Context
from gateway.http import Handler
from gateway.live import Place
from gateway.routes.conditions import Kind, requirement
from gateway.upstream.breaker import Breaker, Breaking
from gateway.upstream.cluster import Cluster
from gateway.upstream.concurrency import Limited, ServiceLimit
from gateway.upstream.hedging import Hedged, Latencies
from gateway.upstream.mirror import Mirroring, MirrorQueue
from gateway.upstream.request import Timeouts
from gateway.upstream.retry import Retries, RetrySettings, ServiceBudget
from gateway.upstream.service import Upstream
from gateway.upstream.sticky import KEY_FILE, CookieKey, StickyCookie

if TYPE_CHECKING:  # the layers that few routes have are imported where they are made, on the thread that compiles
    from gateway.upstream.split import Keeping, When

Way = Callable[[str, Path], Handler | None]
"""The way to another target of a route, named at this place; None where it cannot be used, which is reported."""


class Resilience:
    """One pass over the routes of a configuration."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._configuration = context.configuration
        self._plan = context.plan
        self._budgets: dict[Upstream, RetryBudget] = {}

    def around(self, route: RouteConfig, path: Path, target: Handler, way: Way, mirror: Way) -> Handler:
        """A route to its target, with all that it does about failures. `path` leads to the route in routes.yaml;
        `mirror` makes a way with connections of its own."""
        handler = target
        if route.split:
            handler = self._split(route, path, handler, way)
        if route.mirror is not None:
            handler = self._mirroring(route, route.mirror, path, handler, mirror)
        if route.fallback is not None:
            handler = self._fallback(route, route.fallback, path, handler, way)
        return handler

    def _split(self, route: RouteConfig, path: Path, target: Handler, way: Way) -> Handler:
        from gateway.upstream.split import Choice, Split  # noqa: PLC0415

        auth = self._configuration.auth
        calendar = Calendar(ZoneInfo(auth.timezone))
        choices = []
        for number, entry in enumerate(route.split):
            own = entry.target == route.target
            handler = target if own else way(entry.target, (*path, "split", number, "target"))
            if handler is not None:
                when = _when(entry.when, calendar) if entry.when is not None else None
                choices.append(Choice(entry.target, handler, entry.weight, when))
        anonymous = frozenset(name for name, scheme in auth.schemes.items() if scheme.kind == "anonymous")
        rest = Choice(route.target, target, 1)
        split = Split(route.id, tuple(choices), rest, anonymous, self._keeping(route, path))
        if (cache := cache_of_route(self._context, route)) is not None:
            cache.split_by(lambda exchange: split.choose(exchange).name)
        return split

    def _keeping(self, route: RouteConfig, path: Path) -> Keeping | None:
        """Those with a weight keep their clients, one of 0 too, and what gets the requests where all are 0."""
        from gateway.upstream.split import Keeping  # noqa: PLC0415

        cookie = sticky_cookie(route.sticky, self._context, ("routes.yaml", (*path, "sticky")))
        if cookie is None:
            return None
        names = [entry.target for entry in route.split if "weight" in entry.model_fields_set]
        return Keeping(cookie, names if any(entry.weight for entry in route.split) else (*names, route.target))

    def _mirroring(self, route: RouteConfig, config: MirrorConfig, path: Path, handler: Handler, way: Way) -> Handler:
        copies = way(config.target, (*path, "mirror", "target"))
        if copies is None:
            return handler
        place = ("routes.yaml", (*path, "mirror"))
        key = ("mirror", route.id, config.target)
        queue = self._plan.need(key, partial(MirrorQueue, route.id, config.target), place)
        return Mirroring(handler, copies, queue, config.percent / 100, config.max_body)

    def _fallback(self, route: RouteConfig, config: FallbackConfig, path: Path, handler: Handler, way: Way) -> Handler:
        from gateway.upstream.fallback import Fallback, FixedAnswer, OtherTarget  # noqa: PLC0415

        if config.target is not None:
            other = way(config.target, (*path, "fallback", "target"))
            return handler if other is None else Fallback(handler, OtherTarget(other), config.target)
        if config.stale:
            cache = cache_of_route(self._context, route)
            return handler if cache is None else Fallback(handler, cache.stale, "a stale copy")
        body, content_type = (config.body or "").encode(), config.content_type.encode("latin-1", "replace")
        answer = FixedAnswer(config.status or 503, body, content_type)
        return Fallback(handler, answer, f"a fixed {answer.status}")

    def retries(self, route: RouteConfig, upstream: Upstream, target: str, place: Place) -> Retries:
        """What of the route is tried again at a service, in whichever way its target is written (`target`), within the
        budget that all routes there share."""
        return Retries(_retry_settings(route), self._budget(upstream, target, place))

    def guarded(self, route: RouteConfig, target: str, path: Path, handler: Handler) -> Handler:
        """The way to one target of a route, with what stands in front of it."""
        limit = self._limit(target)
        if limit is not None:
            handler = Limited(handler, limit)
        if route.breaker is not None:
            handler = Breaking(handler, self._breaker(route.id, target, route.breaker, ("routes.yaml", path)))
        return handler

    def provider(self, name: str, target: str, config: BreakerConfig, place: Place, handler: Handler) -> Handler:
        """The way to a provider of models, with what stands in front of it."""
        limit = self._limit(target)
        if limit is not None:
            handler = Limited(handler, limit)
        return Breaking(handler, self._breaker("models", name, config, place, ("breaker", "models", name)))

    def hedged(self, route: RouteConfig, cluster: Cluster, place: Place) -> Handler:
        """A cluster, with a second attempt where the route asks for it."""
        if route.hedge is None:
            return cluster
        latencies = self._plan.need(("hedging", route.id, cluster.name), Latencies, place)
        cluster = replace(cluster, observers=(*cluster.observers, latencies))
        return Hedged(cluster, replace(cluster, retries=Retries(RetrySettings(1, 1))), latencies, route.hedge.after)

    def _limit(self, target: str) -> ServiceLimit | None:
        service = self._configuration.routes.services.get(target)
        if service is None or service.concurrency is None:
            return None
        config, place = service.concurrency, ("routes.yaml", ("services", target, "concurrency"))
        settings = GradientSettings(config.minimum, config.maximum) if config.limit is None else config.limit
        key = ("concurrency", target, config.adaptive)
        limit = self._plan.need(key, partial(ServiceLimit, target, settings), place)
        if limit.settings != settings:
            self._plan.after_adoption(partial(limit.configure, settings))
        return limit

    def _breaker(
        self, route: str, target: str, config: BreakerConfig, place: Place, key: Hashable | None = None
    ) -> Breaker:
        settings = _breaker_settings(config.judged_by(self._configuration.middleware.breakers))
        key = key or ("breaker", route, parse_target(target))
        made = self._plan.need(key, partial(Breaker, route, target, settings), place)
        if made.settings != settings:
            self._plan.after_adoption(partial(made.configure, settings))
        return made

    def _budget(self, upstream: Upstream, target: str, place: Place) -> RetryBudget:
        if upstream not in self._budgets:
            config = self._configuration.middleware.retry_budget
            settings = BudgetSettings(config.ratio / 100, config.minimum_per_second)
            key = ("retry_budget", upstream)
            made = self._plan.need(key, lambda: ServiceBudget(target, RetryBudget(settings)), place)
            self._budgets[upstream] = made.budget
            if made.budget.settings != settings:
                self._plan.after_adoption(partial(made.budget.configure, settings))
        return self._budgets[upstream]


def sticky_cookie(config: StickyConfig | None, context: Context, place: Place) -> StickyCookie | None:
    """The cookie that a configuration asks for; those without a secret share a key of this gateway."""
    if config is None:
        return None
    secret = config.secret.get_secret_value() if config.secret is not None else ""
    path = None if secret else context.base / context.configuration.middleware.state_directory / KEY_FILE
    key = context.plan.need(("sticky key", secret, path), partial(CookieKey, secret, path), place)
    max_age = round(config.max_age) if config.max_age is not None else None
    return StickyCookie(config.cookie, key, max_age, config.same_site)


def _when(config: SplitWhen, calendar: Calendar) -> When:
    from gateway.upstream.split import When  # noqa: PLC0415

    named: tuple[tuple[Kind, Mapping[str, Predicate]], ...] = (
        ("header", config.header),
        ("cookie", config.cookie),
        ("query parameter", config.query),
    )
    return When(
        requirements=tuple(
            requirement(kind, predicate(name, each), strict=False)
            for kind, several in named
            for name, each in several.items()
        ),
        groups=_names(config.group),
        consumers=_names(config.consumer),
        tenants=_names(config.tenant),
        condition=compile_condition(config.condition) if config.condition is not None else None,
        calendar=calendar,
    )


def _names(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _retry_settings(route: RouteConfig) -> RetrySettings:
    config = route.retry
    if config is None:
        return RetrySettings()
    words = frozenset(each for each in config.on if each in WORDS)
    statuses = frozenset(status for each in config.on if each not in WORDS for status in _statuses(each))
    return RetrySettings(config.attempts, config.attempts, words, statuses, over_again=True)


def _statuses(written: str) -> Iterable[int]:
    """One, or all of `5xx`."""
    if written.endswith("xx"):
        first = 100 * int(written[0])
        return range(first, first + 100)
    return (int(written),)


def _breaker_settings(profile: BreakerProfile) -> BreakerSettings:
    return BreakerSettings(
        error_ratio=profile.error_ratio / 100,
        slow_ratio=profile.slow_ratio / 100,
        slow=profile.slow,
        minimum=profile.minimum,
        window=max(1, round(profile.window)),
        open=profile.open,
        longest_open=max(profile.open, profile.longest_open),
        trials=profile.trials,
        half_open=profile.half_open,
        ramp=profile.ramp,
    )


def timeouts_of(route: RouteConfig, timeouts: Timeouts) -> Timeouts:
    """These, as far as `per_try` allows."""
    longest = route.retry.per_try if route.retry is not None else None
    if longest is None:
        return timeouts
    limits = replace(timeouts, connect=min(timeouts.connect, longest))
    if longest >= timeouts.response_header:
        return limits
    return replace(limits, response_header=longest, response_header_key="retry.per_try")
