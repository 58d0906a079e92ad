"""What `health:` and `outliers:` of a service mean, and which mistakes are found."""

from __future__ import annotations

import pytest

from gateway.config.models import ServiceConfig
from tests.config.support import errors, routes_of


def text(**keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"services:\n  s:\n    endpoints: [10.0.0.1:80]\n{lines}routes:\n- path: /x\n  target: s\n"


def service(**keys: str) -> ServiceConfig:
    return routes_of(text(**keys)).services["s"]


def test_the_sample_check() -> None:
    """The sample of the documentation is read as it stands; what it leaves out has its default."""
    health = service(health="{path: /health, interval: 10s, timeout: 2s, unhealthy_after: 3, healthy_after: 2}").health
    assert health is not None
    assert (health.path, health.interval, health.timeout) == ("/health", 10, 2)
    assert (health.unhealthy_after, health.healthy_after, health.initial) == (3, 2, "healthy")
    assert (health.method, health.status) == ("GET", ((200, 399),))


@pytest.mark.parametrize(
    ("written", "read"),
    [("204", ((204, 204),)), ("[200, '300-399']", ((200, 200), (300, 399))), ("'200-299'", ((200, 299),))],
)
def test_statuses(written: str, read: tuple[tuple[int, int], ...]) -> None:
    """Single ones, ranges, and lists of both."""
    health = service(health=f"{{path: /, status: {written}}}").health
    assert health is not None
    assert health.status == read


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{interval: 5s}", "health needs either path"),
        ("{path: /x, tcp: true}", "health needs either path"),
        ("{tcp: true, status: 200}", "tcp asks for none"),
        ("{path: x}", "a path begins with a slash"),
        ("{path: /x, status: 700}", "a status is a number such as 200"),
        ("{path: /x, status: '299-200'}", "the range ends before it begins"),
    ],
)
def test_mistakes_in_a_check(written: str, message: str) -> None:
    """Each is found where it stands, with what to do."""
    (error,) = errors(text(health=written))
    assert message in str(error)
