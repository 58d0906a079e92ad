import pytest

from gateway.config.checks.resilience import needing_others
from tests.config.support import parsed

SERVICES = "services: {a: {endpoints: ['a:1']}, b: {endpoints: ['b:1', 'b:2']}, c: {discovery: {redis: c}}}\n"
REDIS = "redis: {url: redis://127.0.0.1}"


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("target: a, hedge: {}", ["a has one endpoint"]),
        ("target: b, hedge: {}", []),
        ("target: c, hedge: {}", []),
        ("target: a, fallback: {target: a}", ["name another service"]),
        ("target: a, fallback: {target: b}", []),
    ],
)
def test_what_needs_another_endpoint_or_service(route: str, said: list[str]) -> None:
    """Hedging with one endpoint, and a fallback to the target itself, are reported with the remedy."""
    found = list(needing_others(parsed(f"{SERVICES}routes: [{{path: /x, {route}}}]", middleware=REDIS)))
    assert [text in fault.message for text, fault in zip(said, found, strict=True)] == [True] * len(said)
