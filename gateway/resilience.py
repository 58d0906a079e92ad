"""What a route does about failures, made of its configuration; what must outlive a reload is in the plan."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gateway.algorithms.circuit_breaker import BreakerSettings
from gateway.algorithms.retry_budget import BudgetSettings, RetryBudget
from gateway.config.models import Configuration, RouteConfig
from gateway.config.models.breakers import Breaker as BreakerConfig
from gateway.config.models.breakers import BreakerProfile
from gateway.config.values.addresses import Target
from gateway.http import Handler
from gateway.live import Place, Plan
from gateway.upstream.breaker import Breaker, Breaking
from gateway.upstream.request import Timeouts
from gateway.upstream.retry import Retries, RetrySettings


class Resilience:
    """One pass over the routes of a configuration."""

    def __init__(self, configuration: Configuration, plan: Plan) -> None:
        self._configuration = configuration
        self._plan = plan
        self._budgets: dict[Target, RetryBudget] = {}

    def retries(self, route: RouteConfig, target: Target, place: Place) -> Retries:
        """What of the route is tried again at this service, within the budget that all its routes share."""
        return Retries(_retry_settings(route), self._budget(target, place))

    def guarded(self, route: RouteConfig, target: Target, name: str, handler: Handler, place: Place) -> Handler:
        """The way to one target of a route, with what stands in front of it."""
        if route.breaker is not None:
            handler = Breaking(handler, self._breaker(route.id, target, name, route.breaker, place))
        return handler

    def _breaker(self, route: str, target: Target, name: str, config: BreakerConfig, place: Place) -> Breaker:
        settings = _breaker_settings(config.judged_by(self._configuration.middleware.breakers))
        made = self._plan.need(("breaker", route, target), partial(Breaker, route, name, settings), place)
        if made.settings != settings:
            self._plan.after_adoption(partial(made.configure, settings))
        return made

    def _budget(self, target: Target, place: Place) -> RetryBudget:
        known = self._budgets.get(target)
        if known is None:
            config = self._configuration.middleware.retry_budget
            settings = BudgetSettings(config.ratio / 100, config.minimum_per_second)
            known = self._plan.need(("retry_budget", target), partial(RetryBudget, settings), place)
            self._budgets[target] = known
            if known.settings != settings:
                self._plan.after_adoption(partial(known.configure, settings))
        return known


def _retry_settings(route: RouteConfig) -> RetrySettings:
    config = route.retry
    if config is None:
        return RetrySettings()
    statuses = frozenset(int(each) for each in config.on if each.isdecimal())
    words = frozenset(each for each in config.on if not each.isdecimal())
    return RetrySettings(config.attempts, config.attempts, words, statuses, over_again=True)


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
    connect, response_header = min(timeouts.connect, longest), min(timeouts.response_header, longest)
    return replace(timeouts, connect=connect, response_header=response_header)
