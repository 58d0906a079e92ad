"""Instances that are registered by the admin API, and what monitors say of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.registry.registered import Registered
from gateway.upstream.member import Address, Member
from tests.lifecycle.support import admin_url
from tests.redis_server import RedisServer
from tests.registry.support import shows
from tests.support import GatewayProcess, running_gateway, until
from tests.upstream.test_service import named_backends

ROUTES = """
services:
  user-api: {discovery: {registered: true}}
  unrouted: {discovery: {registered: true}}
  held: {discovery: {registered: true, allowed_networks: [10.0.0.0/8, "fd00::/8", "::ffff:192.0.2.0/120"]}}
  fixed: {endpoints: ["127.0.0.1:1"]}
routes:
- {path: /x, target: user-api}
- {path: /fixed, target: fixed}
"""
WITHIN = ["10.255.0.1", "fd00::1", "::ffff:c000:201", "::ffff:a00:1"]
MIDDLEWARE = "audit_log: {file: audit.jsonl}"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("registered"), ROUTES, MIDDLEWARE) as it:
        yield it


def send(gateway: GatewayProcess, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """The answer of the admin API to a change."""
    answer = httpx2.request(method, admin_url(gateway, path), json=body, headers=gateway.admin_token, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()


def registered(gateway: GatewayProcess, service: str = "user-api") -> list[Any]:
    listed = httpx2.get(admin_url(gateway, "/registry"), timeout=60).json()
    return next(each["instances"] for each in listed if each["service"] == service)


def instance(port: int) -> str:
    return f"/registry/user-api/instances/127.0.0.1:{port}"


async def test_the_service_registry_message(gateway: GatewayProcess) -> None:
    """It says all instances of a service, which are asked at once; those that it does not name any more are not."""
    message = {"service": "user-api", "instances": [{"host": "10.0.1.5", "port": 8080, "health": "passing"}]}
    answer = send(gateway, "POST", "/registry", message)
    assert (answer["service"], answer["instances"], answer["kept"], answer["shared"]) == ("user-api", 1, True, None)
    until(lambda: registered(gateway) == message["instances"])
    async with named_backends("one", "two") as (one, two):
        send(gateway, "POST", "/registry", {"service": "user-api", "instances": [f"127.0.0.1:{one}"]})
        await shows(f"{gateway.url}/x", "one")
        send(gateway, "POST", "/registry", {"service": "user-api", "instances": [f"127.0.0.1:{two}"]})
        await shows(f"{gateway.url}/x", "two")


def test_single_instances(gateway: GatewayProcess) -> None:
    """One is put, changed, and taken out, and the others stay."""
    send(gateway, "POST", "/registry", {"service": "user-api", "instances": ["127.0.0.1:7"]})
    send(gateway, "PUT", instance(8))
    send(gateway, "PUT", instance(8), {"weight": 3, "zone": "a", "health": "failing"})
    other = {"host": "127.0.0.1", "port": 7, "health": "passing"}
    eight = {"host": "127.0.0.1", "port": 8, "weight": 3, "zone": "a", "health": "failing"}
    until(lambda: registered(gateway) == [other, eight])
    send(gateway, "DELETE", instance(8))
    until(lambda: registered(gateway) == [other])
    assert "has no instance 127.0.0.1:8" in send(gateway, "DELETE", instance(8), status=404)["error"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"service": "fixed", "instances": []}, 409, "the instances of fixed come from endpoints in routes.yaml"),
        ({"service": "user-app", "instances": []}, 404, "no service 'user-app'; did you mean \"user-api\"?"),
        ({"service": "user-api"}, 400, "instances: Field required"),
        ({"service": "user-api", "instances": [], "extra": 1}, 400, "extra: Extra inputs are not permitted"),
        ({"service": "user-api", "instances": ["a:1", {"host": "a"}]}, 400, "instances[1]: port is missing"),
        ({"service": "user-api", "instances": [3]}, 400, "instances[0]: "),
        ({"service": "user-api", "instances": ["a:1", "A:1"]}, 400, "instances[1]: a:1 is listed twice"),
    ],
)
def test_messages_that_are_refused(gateway: GatewayProcess, body: Any, status: int, error: str) -> None:
    """With the place, the cause, and the remedy; and nothing changes."""
    before = registered(gateway)
    assert error in send(gateway, "POST", "/registry", body, status)["error"]
    assert registered(gateway) == before


def test_instances_that_are_refused(gateway: GatewayProcess) -> None:
    """The same of single ones."""
    put = "/registry/user-api/instances"
    assert "whole number from 1" in send(gateway, "PUT", f"{put}/a:0", status=400)["error"]
    assert "weight is a whole" in send(gateway, "PUT", f"{put}/a:1", {"weight": -1}, status=400)["error"]
    assert "those of the path" in send(gateway, "PUT", f"{put}/a:1", {"port": 2}, status=400)["error"]
    assert httpx2.put(admin_url(gateway, f"{put}/a:1")).status_code == 401


@pytest.mark.parametrize(
    "host",
    [
        "11.0.0.1",
        "169.254.169.254",
        "metadata.google.internal",
        "localhost",
        "10.1",  # to some systems 10.0.0.1, to others a name
        "012.0.0.1",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "::10.0.0.1",
        "64:ff9b::10.0.0.1",
    ],
)
def test_an_instance_outside_of_the_allowed_networks(gateway: GatewayProcess, host: str) -> None:
    """It is refused, with the setting and what to do, and nothing of the message is kept."""
    message = {"service": "held", "instances": [{"host": "10.0.0.1", "port": 80}, {"host": host, "port": 80}]}
    error = send(gateway, "POST", "/registry", message, status=422)["error"]
    assert error.startswith("instances[1]: ")
    assert "is outside of allowed_networks (10.0.0.0/8, fd00::/8, 192.0.2.0/24); register it" in error
    bracketed = f"[{host}]".replace("%", "%25") if ":" in host else host
    error = send(gateway, "PUT", f"/registry/held/instances/{bracketed}:80", {"weight": 2}, status=422)["error"]
    assert "is outside of allowed_networks" in error
    assert not [each for each in registered(gateway, "held") if each["host"] not in WITHIN]


@pytest.mark.parametrize("host", WITHIN)
def test_an_instance_in_the_allowed_networks(gateway: GatewayProcess, host: str) -> None:
    """However its address is written, it is registered and taken out again."""
    bracketed = f"[{host}]" if ":" in host else host
    send(gateway, "PUT", f"/registry/held/instances/{bracketed}:80")
    assert host in [each["host"] for each in registered(gateway, "held")]
    send(gateway, "DELETE", f"/registry/held/instances/{bracketed}:80")


def test_a_service_without_a_route(gateway: GatewayProcess) -> None:
    """What is registered for it is kept until there is one."""
    assert send(gateway, "PUT", "/registry/unrouted/instances/a:1")["kept"]
    assert registered(gateway, "unrouted") == [{"host": "a", "port": 1, "health": "passing"}]


def test_changes_are_in_the_audit_log(gateway: GatewayProcess) -> None:
    """With the caller that made them."""
    send(gateway, "PUT", instance(4242))
    log = gateway.directory / "audit.jsonl"

    def recorded() -> bool:
        records = map(json.loads, log.read_text().splitlines())
        return any("4242" in json.dumps(record) and "local" in json.dumps(record) for record in records)

    until(recorded)


async def test_the_health_feedback_message(gateway: GatewayProcess) -> None:
    """An instance that a monitor calls failing gets no requests while another one is there, until it is passing."""
    async with named_backends("one", "two") as (one, two):
        addresses = [f"127.0.0.1:{one}", f"127.0.0.1:{two}"]
        send(gateway, "POST", "/registry", {"service": "user-api", "instances": addresses})
        await shows(f"{gateway.url}/x", "two")
        await shows(f"{gateway.url}/x", "one")
        message = {"service": "user-api", "instance": addresses[0], "status": "failing", "error_rate": 0.42}
        assert send(gateway, "POST", "/health-feedback", message)["until"]
        async with httpx2.AsyncClient() as client:
            assert {(await client.get(f"{gateway.url}/x")).text for _ in range(6)} == {"two"}
        await shows(admin_url(gateway, "/services/user-api"), "feedback: a monitor says failing, 42% errors")
        send(gateway, "POST", "/health-feedback", {**message, "status": "passing", "error_rate": 0.0})
        await shows(f"{gateway.url}/x", "one")


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"status": "so-so"}, 400, "status: "),
        ({"error_rate": 2}, 400, "error_rate: "),
        ({"instance": "nonsense"}, 400, "instance: an address is host:port"),
        ({"instance": "127.0.0.1:9"}, 404, "instance: fixed has none at 127.0.0.1:9"),
        ({"service": "unrouted"}, 404, "no route leads to unrouted"),
        ({"service": "fix"}, 404, 'did you mean "fixed"?'),
    ],
)
def test_feedback_that_is_refused(gateway: GatewayProcess, changed: Any, status: int, error: str) -> None:
    """With the place, the cause, and the remedy."""
    message = {"service": "fixed", "instance": "127.0.0.1:1", "status": "failing"} | changed
    assert error in send(gateway, "POST", "/health-feedback", message, status)["error"]


async def test_what_is_registered_outlives_the_process(tmp_path: Path) -> None:
    """It is in the state directory, and there again before the first request."""
    path = tmp_path / "state" / "registry.sqlite"
    member = Member(Address("10.0.0.1", 80), 2, "a", 1, up=False, reason="its source says failing")
    former = Registered(path, None)
    await former.start()
    await former.register("user-api", lambda known: [*known, member])
    assert former.kept
    await former.stop()
    later = Registered(path, None)
    await later.start()
    assert later.document("user-api").members == (member,)
    await later.stop()


async def test_what_cannot_be_kept_is_a_trouble(tmp_path: Path) -> None:
    """It holds until the process ends, and it is said in /health that this is all."""
    path = tmp_path / "registry.sqlite"
    path.write_bytes(b"no database" * 1000)
    there = Registered(path, None)
    await there.start()
    await there.register("user-api", lambda known: [*known, Member(Address("10.0.0.1", 80))])
    assert f"only kept in memory: {path} is not usable" in "".join(there.troubles())
    await there.stop()


async def test_two_gateways_on_one_redis_agree(own_redis: RedisServer, tmp_path: Path) -> None:
    """What is registered at either is known to both, also where both change at once, or Redis has junk or is away."""
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    middleware = f"redis: {{url: {own_redis.url}, timeout: 1s}}"
    with running_gateway(places[0], ROUTES, middleware) as a, running_gateway(places[1], ROUTES, middleware) as b:

        def ports() -> list[list[int]]:
            return [sorted(each["port"] for each in registered(gateway)) for gateway in (a, b)]

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda n: send((a, b)[n % 2], "PUT", instance(n)), range(1, 13)))
        assert all(answer["shared"] for answer in answers)
        until(lambda: ports() == [list(range(1, 13))] * 2)
        send(b, "POST", "/registry", {"service": "user-api", "instances": ["127.0.0.1:5"]})
        until(lambda: ports() == [[5]] * 2)
        many = {"service": "user-api", "instances": [f"127.0.0.1:{port}" for port in range(1, 601)]}
        assert send(a, "POST", "/registry", many)["shared"] is True
        until(lambda: ports() == [list(range(1, 601))] * 2)
        send(b, "POST", "/registry", {"service": "user-api", "instances": ["127.0.0.1:5"]})
        until(lambda: ports() == [[5]] * 2)
        for number, junk in enumerate(("x", "9" * 24 + " 1e400 []", "9 nan []", "9 x []", "9" * 5000 + " 1 []"), 20):
            own_redis.ask(f"HSET gateway:registered user-api '{junk}'")
            assert send(b, "PUT", instance(number))["shared"] is True
            until(lambda: ports() == [[5, *range(20, number + 1)]] * 2)  # noqa: B023
        send(b, "POST", "/registry", {"service": "user-api", "instances": ["127.0.0.1:5"]})
        until(lambda: ports() == [[5]] * 2)
        own_redis.kill()
        assert send(a, "PUT", instance(6))["shared"] is False
        own_redis.start()
        until(lambda: ports() == [[5, 6]] * 2)
