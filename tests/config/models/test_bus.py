"""What middleware.yaml may say of the bus."""

from tests.config.support import errors, parsed


def test_a_bus_over_redis_needs_a_redis() -> None:
    """Without one, the error stands at the key and says what to add."""
    (line,) = errors(middleware="bus: redis")
    assert line.startswith("middleware.yaml:1:1: bus: ")
    assert "there is no redis: key with its url; add one" in line
    assert parsed(middleware="redis: {url: 'redis://redis'}\nbus: redis").middleware.bus == "redis"
    assert parsed().middleware.bus == "memory"
