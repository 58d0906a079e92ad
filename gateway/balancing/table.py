"""The ways to choose among the endpoints of a service: a line for each. A new one is a file and a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.balancing.round_robin import RoundRobin
from gateway.upstream.service import Balancer

BALANCERS: Final[Mapping[str, Callable[[], Balancer]]] = {
    "round_robin": RoundRobin,
}
