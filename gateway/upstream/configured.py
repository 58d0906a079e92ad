"""Settings of endpoints, their connections, and time limits, in the form that this package uses."""

from __future__ import annotations

from gateway.config.models import Connections
from gateway.config.models import Timeouts as TimeoutsConfig
from gateway.config.models.services import EndpointConfig
from gateway.config.models.timeouts import RouteTimeouts
from gateway.config.values.addresses import parse_address
from gateway.upstream.member import Address, Member
from gateway.upstream.pool import PoolLimits
from gateway.upstream.request import Timeouts


def pool_limits(connections: Connections, drain: float) -> PoolLimits:
    """Settings for the pool. `drain`: seconds for the streams of an endpoint that has left."""
    return PoolLimits(
        connections.max,
        connections.pending,
        connections.idle,
        connections.idle_timeout,
        connections.max_age,
        connections.max_requests or 0,
        drain,
    )


def member_of(config: EndpointConfig) -> Member:
    """An endpoint that stands in the file."""
    return Member(Address(*parse_address(config.address)), config.weight, config.zone, config.priority)


def time_limits_of(config: TimeoutsConfig, *own: RouteTimeouts | None) -> Timeouts:
    """The time limits of a route. `own`: what it, or a provider, says itself."""
    said = {name for each in own if each is not None for name in each.model_dump(exclude_none=True)}
    keys = (f"timeout.{name}" if name in said else f"timeouts.{name}" for name in ("response_header", "idle", "total"))
    default = Timeouts()
    idle, event_stream_idle = default.idle, default.event_stream_idle
    if config.idle is not None:
        idle = event_stream_idle = config.idle
    total = default.total if config.total is None else config.total
    return Timeouts(config.connect, config.response_header, idle, event_stream_idle, total, *keys)
