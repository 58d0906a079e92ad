from tests.config.support import errors, parsed

ROUTES = "services:\n  jobs:\n    discovery: {redis: jobs}\nroutes: [{path: /x, target: jobs}]"


def test_instances_in_redis_need_one() -> None:
    """Where there is no Redis, the service that needs it is named, and what to do."""
    (error,) = errors(ROUTES)
    assert error.startswith(
        "routes.yaml:3:17: services.jobs.discovery.redis: it is found in the Redis of middleware.yaml"
    )
    assert parsed(ROUTES, middleware="redis: {url: redis://127.0.0.1}")
