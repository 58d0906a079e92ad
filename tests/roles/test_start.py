"""Which roles a process may have, and what it says of them when it starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.redis_server import RedisServer
from tests.registry.support import shows
from tests.roles.support import middleware, running
from tests.support import free_port, until
from tests.upstream.test_service import named_backends

ROUTES = "routes: [{path: /x, respond: {status: 204}}]"


def start(directory: Path, *arguments: str) -> str:
    """What `gateway serve` says that ends at once."""
    (directory / "routes.yaml").write_text(ROUTES)
    ports = ["--port", str(free_port()), "--admin", "off"]
    result = CliRunner().invoke(main, ["serve", "--config", str(directory), *ports, *arguments])
    assert result.exit_code != 0
    return result.output


def test_a_part_of_the_roles_needs_a_bus_over_redis(tmp_path: Path) -> None:
    """Without one, the process does not start, and says what to add."""
    said = start(tmp_path, "--roles", "router,auth")
    assert "the roles of this process are router,auth, and the others cannot be reached; add bus: redis" in said


@pytest.mark.parametrize("roles", ["routr", "", "router,,auth", "router;auth"])
def test_an_unknown_role_is_refused(tmp_path: Path, roles: str) -> None:
    """The error names those that there are."""
    assert "name some of discovery,router,auth,monitor, with commas" in start(tmp_path, f"--roles={roles}")


def test_without_the_router_there_is_no_port_for_requests(tmp_path: Path, redis: RedisServer) -> None:
    """Only the admin port is there, which says which roles there are."""
    with running(tmp_path, "monitor", ROUTES, middleware(redis, tmp_path)) as monitor:
        assert monitor.health()["roles"] == "monitor"
        status = CliRunner().invoke(main, ["status", "--admin", f"127.0.0.1:{monitor.admin_port}"])
        assert ", 0 reloads, roles monitor\n" in status.output
        with socket.socket() as tried:
            assert tried.connect_ex(("127.0.0.1", monitor.port)) != 0
        until(lambda: "no requests are served here, without the role router; admin: 127.0.0.1" in monitor.log)


def test_a_router_without_auth_says_so_and_enforces_it(tmp_path: Path, redis: RedisServer) -> None:
    """Decisions are made where the request is: to leave auth out switches nothing off."""
    with running(tmp_path, "router", ROUTES, middleware(redis, tmp_path), AUTH) as router:
        assert router.status("/x") == 401
        [trouble] = router.health()["failing"]
        assert "the role router without auth: it enforces auth.yaml all the same" in trouble
        assert "--roles router,auth" in trouble
        until(lambda: trouble in router.log)


AUTH = """
schemes: {keys: {api_key: {header: X-API-Key}}}
default: [keys]
consumers: []
"""


async def test_instances_are_registered_at_any_process(tmp_path: Path, redis: RedisServer) -> None:
    """A change by a router's admin API reaches discovery, and comes back to the routers."""
    routes = "services: {user-api: {discovery: {registered: true}}}\nroutes: [{path: /x, target: user-api}]"
    async with named_backends("one") as [one]:
        with (
            running(tmp_path, "discovery", routes, middleware(redis, tmp_path)),
            running(tmp_path, "router,auth", routes, middleware(redis, tmp_path)) as router,
        ):
            router.send("/registry", {"service": "user-api", "instances": [f"127.0.0.1:{one}"]})
            await shows(f"{router.url}/x", "one")


def test_a_reload_may_bring_the_bus_and_not_take_it_away(tmp_path: Path, redis: RedisServer) -> None:
    """One with all roles goes over to Redis while it serves; one with a part of them does not lose the others."""
    with running(tmp_path, "discovery,router,auth,monitor", ROUTES, "{}") as whole:
        whole.write(middleware=middleware(redis, tmp_path))
        whole.send("/reload", {})
        assert whole.status("/x") == 204
        until(lambda: redis.ask(f"EXISTS {tmp_path.name}:bus:senders") == b":1\r\n")
        until(lambda: whole.health()["failing"] == [])
        whole.write(middleware="{}")
        whole.send("/reload", {})
        assert whole.status("/x") == 204
        until(lambda: redis.ask(f"ZCARD {tmp_path.name}:bus:senders") == b":0\r\n")
    with running(tmp_path, "router,auth", ROUTES, middleware(redis, tmp_path)) as router:
        router.write(middleware="{}")
        until(lambda: bool(router.health()["errors"]))
        assert "the others cannot be reached; add bus: redis" in router.health()["errors"][0]
        assert router.status("/x") == 204
