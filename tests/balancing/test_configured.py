"""The balancers as a configuration names them, through a gateway."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway.balancing.hashing import HashKey
from gateway.balancing.table import BALANCERS
from gateway.http.testing import make_exchange
from tests.config.support import errors
from tests.support import running_gateway, scripted_backend
from tests.upstream.wire import always


@contextlib.asynccontextmanager
async def answers(base: Path, balance: str, *, status: str = "200 OK") -> AsyncIterator[httpx2.AsyncClient]:
    """A service of three backends that answer with their number; the first with this status."""
    async with contextlib.AsyncExitStack() as opened:
        ports = []
        for number in range(3):
            line = status if number == 0 else "200 OK"
            answer = f"HTTP/1.1 {line}\r\nContent-Length: 1\r\n\r\n{number}".encode()
            ports.append(await opened.enter_async_context(scripted_backend(always(answer))))
        endpoints = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
        routes = f"services: {{s: {{{balance}, endpoints: [{endpoints}]}}}}\nroutes: [{{path: /*, target: s}}]"
        gateway = opened.enter_context(running_gateway(base, routes))
        yield await opened.enter_async_context(httpx2.AsyncClient(base_url=gateway.url))


@pytest.mark.parametrize("balance", sorted(BALANCERS))
async def test_each_method_shares_the_requests(tmp_path: Path, balance: str) -> None:
    """Every endpoint gets requests; in turn, exactly its share."""
    async with answers(tmp_path, f"balance: {balance}") as client:
        counts = Counter([(await client.get("/")).text for _ in range(90)])
    assert len(counts) == 3 or balance == "peak_ewma"
    assert balance != "round_robin" or set(counts.values()) == {30}


@pytest.mark.parametrize(
    ("key", "headers", "path"),
    [
        ("header: X-Session", {"x-session": "%d"}, "/"),
        ("cookie: session", {"cookie": "a=b; session=%d"}, "/"),
        ("query: user", {}, "/?user=%d"),
        ("client: true", {}, "/"),
        ("header: X-Session, table: ring", {"x-session": "%d"}, "/"),
    ],
)
async def test_the_same_key_goes_to_the_same_endpoint(
    tmp_path: Path, key: str, headers: dict[str, str], path: str
) -> None:
    """From the first request on; different keys are spread over all endpoints."""
    async with answers(tmp_path, f"balance: {{consistent_hash: {{{key}}}}}") as client:
        places: dict[int, set[str]] = {number: set() for number in range(60)}
        for _ in range(2):
            for number, seen in places.items():
                filled = {name: value.replace("%d", str(number)) for name, value in headers.items()}
                seen.add((await client.get(path.replace("%d", str(number)), headers=filled)).text)
    assert all(len(seen) == 1 for seen in places.values())
    assert len(set[str]().union(*places.values())) == (1 if key == "client: true" else 3)


@pytest.mark.parametrize("balance", ["least_request", "peak_ewma"])
@pytest.mark.parametrize("status", ["503 No", "429 No", "500 No"])
async def test_an_endpoint_that_fails_fast_is_avoided(tmp_path: Path, balance: str, status: str) -> None:
    """One that refuses or fails at once gets fewer requests than its share, not more."""
    async with answers(tmp_path, f"balance: {balance}", status=status) as client:
        counts = Counter([(await client.get("/")).text for _ in range(60)])
    assert counts["0"] <= 5


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        (
            "balance: fastest",
            ", {consistent_hash: {header: NAME}} or {sticky: {cookie: NAME}}",
        ),
        ("balance: round-robin", 'did you mean "round_robin"?'),
        ("balance: {consistent_hash: {}}", "exactly one key: header, cookie, query, or client: true"),
        ("balance: {consistent_hash: {header: A, query: b}}", "exactly one key"),
        ("balance: {method: random, consistent_hash: {header: A}}", "balance is one of"),
        ("panic: 0.5", "a percentage such as 50%"),
    ],
)
def test_mistakes_are_explained(balance: str, message: str) -> None:
    """What is wrong is said, with what to write instead."""
    routes = f"services: {{s: {{{balance}, endpoints: ['127.0.0.1:1']}}}}\nroutes: [{{path: /*, target: s}}]"
    assert message in "\n".join(errors(routes))


@pytest.mark.parametrize(
    ("key", "one", "same", "other"),
    [
        (HashKey("header", "Host"), {"host": "Shop.Example."}, {"host": "shop.example:80"}, {"host": "other.example"}),
        (HashKey("header", "accept"), {"accept": "a, b"}, {"accept": "a, b"}, {"accept": "b"}),
        (HashKey("cookie", "u"), {"cookie": "u=1; u=2"}, {"cookie": "a=b; u=1;u=2"}, {"cookie": "u=1; u=3"}),
    ],
)
def test_keys_are_what_conditions_see(
    key: HashKey, one: dict[str, str], same: dict[str, str], other: dict[str, str]
) -> None:
    """A host in any spelling is one key; and of a value that is there twice all counts, whichever comes first."""
    first, second, third = (key(make_exchange(headers=tuple(each.items()))) for each in (one, same, other))
    assert first == second is not None
    assert first != third
