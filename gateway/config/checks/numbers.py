"""Numbers that contradict each other, so that one of them has no effect, or not the one that is meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from gateway.algorithms.gcra import Window
from gateway.config.model_routes import AutomaticRoute
from gateway.config.models import Configuration, RouteConfig, ServiceConfig
from gateway.config.models.breakers import changed
from gateway.config.models.rate_limits import windows_of
from gateway.config.models.timeouts import Timeouts
from gateway.config.problems import Fault, Path


@dataclass(frozen=True, slots=True)
class Order:
    """`lower` must not be above `upper`. `either`: it is also said where only `upper` is written."""

    lower: str
    upper: str
    effect: str
    unit: str = " s"
    either: bool = True


BREAKER: Sequence[Order] = (
    Order("open", "longest_open", "it stays open so long each time, however often trials fail"),
    Order("slow", "half_open", "trials that take long have failed before they are slow"),
)
HEALTH: Sequence[Order] = (
    Order("timeout", "interval", "an endpoint that hangs is checked without a pause, and found out later"),
)
OUTLIERS: Sequence[Order] = (
    Order("base_ejection", "max_ejection", "each ejection takes so long, the first and all others"),
    Order("interval", "base_ejection", "ejections last longer, as they end with an interval"),
)
CONNECTIONS: Sequence[Order] = (
    Order("idle", "max", "there are never so many connections", "", either=False),
    Order("idle_timeout", "max_age", "a connection is closed for its age before that", either=False),
)
TIMEOUTS: Sequence[Order] = tuple(
    Order(step, "total", "it has no effect, as the exchange ends before", either=False)
    for step in ("connect", "response_header", "idle")
)
DRAIN: Sequence[Order] = (Order("window", "deadline", "the process ends at the deadline, with what is in flight"),)


def in_routes(configuration: Configuration) -> Iterator[Fault]:
    """Those of services and routes."""
    for name, service in configuration.routes.services.items():
        yield from _service(("services", name), service)
    for index, route in enumerate(configuration.routes.routes):
        if not route.answered_here and not isinstance(route, AutomaticRoute):
            place = ("routes", index)
            timeouts = configuration.middleware.timeouts.overridden_by(route.timeout)
            if route.timeout is not None:
                given = route.timeout.model_fields_set
                yield from _contradictions(timeouts, TIMEOUTS, (*place, "timeout"), given)
            yield from _attempts(place, route, timeouts)
            breaker = route.breaker
            if breaker is not None:
                profile = breaker.judged_by(configuration.middleware.breakers)
                yield from _contradictions(profile, BREAKER, (*place, "breaker"), breaker.model_fields_set)
                if breaker.slow is not None and timeouts.total is not None and breaker.slow > timeouts.total:
                    message = f"no call takes so long: the total time-out is {timeouts.total:g} s; make slow smaller"
                    yield Fault((*place, "breaker", "slow"), message)


def in_middleware(configuration: Configuration) -> Iterator[Fault]:
    """Those that hold for all routes."""
    config = configuration.middleware
    yield from _contradictions(config.timeouts, TIMEOUTS, ("timeouts",))
    yield from _contradictions(config.drain, DRAIN, ("drain",))
    for name, profile in changed(config.breakers).items():
        yield from _contradictions(profile, BREAKER, ("breakers", name), config.breakers[name].model_fields_set)
    for name, limit in config.rate_limits.items():
        yield from _windows(limit.limits, limit.burst, ("rate_limits", name, "limits"))
        for group, limits in limit.tiers.items():
            yield from _windows(limits, limit.burst, ("rate_limits", name, "tiers", group))


def no_retries(configuration: Configuration) -> Iterator[Fault]:
    """A budget that pays for nothing."""
    budget = configuration.middleware.retry_budget
    if budget.ratio or budget.minimum_per_second:
        return
    for route in configuration.routes.routes:
        if route.hedge is not None or (route.retry is not None and route.retry.attempts > 1):
            message = f"nothing is ever retried, although {route.id} asks for it; write a ratio, or remove that"
            yield Fault(("retry_budget",), message, show_value=False)
            return


def zones_without_own(configuration: Configuration) -> Iterator[Fault]:
    """Numbers of gateways that lack the zone of this one."""
    zones = configuration.middleware.zones
    if zones.own and zones.gateways and zones.own not in zones.gateways:
        message = f"it lacks {zones.own}, where this gateway is, and which counts as a zone without gateways; add it"
        yield Fault(("zones", "gateways"), message, show_value=False)


def _service(place: Path, service: ServiceConfig) -> Iterator[Fault]:
    yield from _contradictions(service.connections, CONNECTIONS, (*place, "connections"))
    if service.health is not None:
        yield from _contradictions(service.health, HEALTH, (*place, "health"))
    if service.outliers is not None:
        yield from _contradictions(service.outliers, OUTLIERS, (*place, "outliers"))
    limit = service.concurrency
    if limit is not None and limit.limit is not None:
        for key in sorted(limit.model_fields_set & {"minimum", "maximum"}):
            message = "it has no effect beside limit, and is for adaptive: true; remove one of them"
            yield Fault((*place, "concurrency", key), message)
        most = len(service.endpoints) * (service.connections.max + service.connections.pending)
        if 0 < most < limit.limit:  # how many endpoints a source will find is not known
            message = f"it has no effect: the connections of the service take {most} requests at most; make it smaller"
            yield Fault((*place, "concurrency"), message)
    ttl = service.discovery.ttl if service.discovery is not None else None
    if ttl is not None and ttl.override is not None:
        for key in sorted(ttl.model_fields_set & {"min", "max"}):
            message = "it has no effect: override says how long answers are used, whatever they say; remove one of them"
            yield Fault((*place, "discovery", "ttl", key), message)


def _attempts(place: Path, route: RouteConfig, timeouts: Timeouts) -> Iterator[Fault]:
    """Attempts for which there is no time."""
    total, longest = timeouts.total, max(timeouts.connect, timeouts.response_header)
    retry, hedge = route.retry, route.hedge
    if retry is not None and retry.attempts == 1:
        if "on" in retry.model_fields_set:
            message = "it has no effect with attempts: 1, which allows no retry; write more, or remove this"
            yield Fault((*place, "retry", "on"), message)
    elif retry is not None and retry.per_try is not None:
        if total is not None and retry.per_try >= total:
            message = f"the total time-out, {total:g} s, leaves no time for a second attempt; make per_try smaller"
            yield Fault((*place, "retry", "per_try"), message)
        elif retry.per_try >= longest:
            message = f"it has no effect: the time-outs end an attempt after {longest:g} s; make per_try smaller"
            yield Fault((*place, "retry", "per_try"), message)
    if hedge is not None and hedge.after is not None:
        per_try = retry.per_try if retry is not None and retry.per_try is not None else longest
        given_up = min(timeouts.response_header, per_try, total or per_try)
        if hedge.after >= given_up:
            message = f"the first attempt is given up by then, after {given_up:g} s; make after smaller"
            yield Fault((*place, "hedge", "after"), message)


def _contradictions(
    values: BaseModel, orders: Sequence[Order], place: Path, given: Collection[str] | None = None
) -> Iterator[Fault]:
    """Warnings about `values`, of which `given` are set at this place. None: those that the model was given."""
    written = values.model_fields_set if given is None else given
    for order in orders:
        lower, upper = getattr(values, order.lower), getattr(values, order.upper)
        keys = [key for key in (order.lower, order.upper) if key in written]
        if lower is None or upper is None or lower <= upper or not keys or not (order.either or keys[0] == order.lower):
            continue
        message = (
            f"{order.lower}, {lower:g}{order.unit}, is more than {order.upper}, {upper:g}{order.unit}: {order.effect}; "
            f"make {order.lower} smaller, or {order.upper} larger"
        )
        yield Fault((*place, keys[0]), message)


def _windows(limits: tuple[str, ...], burst: int | None, place: Path) -> Iterator[Fault]:
    """Limits that another one leaves nothing to do: it lets fewer pass, both at once and in any time."""
    windows = windows_of(limits, burst)
    for window in windows:
        for other in windows:
            fewer = other.burst <= window.burst and other.interval >= window.interval
            if fewer and other is not window:
                message = f"{_limit(window)} has no effect beside {_limit(other)}, which never lets more pass"
                yield Fault(place, f"{message}; remove one of them", show_value=False)
                break


def _limit(window: Window) -> str:
    at_once = "" if window.burst == window.limit else f", {window.burst} at once,"
    return f"{window.limit} in {window.seconds} s{at_once}"
