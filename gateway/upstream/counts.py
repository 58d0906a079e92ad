"""What an endpoint is asked, as numbers that can be shown, and added up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """What an endpoint has had and has now, at one moment. The counts of several processes add up."""

    requests: int = 0  # attempts, begun
    failures: int = 0  # attempts that failed by its fault, answers of 500 and above included
    in_flight: int = 0
    open: int = 0  # connections
    idle: int = 0  # of those, without a request

    def __add__(self, other: EndpointCounts) -> EndpointCounts:
        return EndpointCounts(
            self.requests + other.requests,
            self.failures + other.failures,
            self.in_flight + other.in_flight,
            self.open + other.open,
            self.idle + other.idle,
        )
