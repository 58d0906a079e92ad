"""Headers and parameters that decide something, and are there twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import pytest

from tests.server.client import connected
from tests.support import GatewayProcess, running_gateway

ROUTES = """
base_path: /
routes:
- {id: prod, path: /env/*, headers: {X-Env: prod}, auth: [keys], target: 'asgi:tests.lifecycle.apps:one'}
- {id: open, path: /env/*, target: 'asgi:tests.lifecycle.apps:one'}
- id: condition
  path: /condition
  auth: [keys]
  authorize:
  - {when: 'not headers["x-env"] == "prod" and not query.env == "prod"'}
  target: 'asgi:tests.lifecycle.apps:one'
- id: shadow
  path: /shadow
  authorize:
  - {when: 'headers["x-env"] == "prod"', mode: shadow}
  target: 'asgi:tests.lifecycle.apps:one'
- {id: limit, path: /limit, auth: [keys], target: 'asgi:tests.lifecycle.apps:one'}
- {id: quota, path: /quotas, auth: [keys], target: 'asgi:tests.lifecycle.apps:one'}
- {id: cors, path: /cors, target: 'asgi:tests.lifecycle.apps:one'}
- {id: agents, path: /agents, target: 'asgi:tests.lifecycle.apps:one'}
"""
AUTH = """
schemes: {keys: {api_key: {}}}
"""
MIDDLEWARE = """
rate_limits: {session: {key: ['header:X-Session'], limits: [1000/s], routes: [limit]}}
quotas: {session: {key: ['header:X-Session'], limit: 1000, window: day, routes: [quota]}}
cors: {app: {origins: ['https://app.example.com'], routes: [cors]}}
blocklist: {entries: [{user_agent: '*badbot*'}]}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("reads"), ROUTES, MIDDLEWARE, AUTH) as process:
        yield process
        assert "Traceback" not in process.log


async def status(gateway: GatewayProcess, path: str, *lines: bytes) -> tuple[int, str]:
    """The status of the answer, and the kind of problem it tells of."""
    async with connected(gateway.port) as client:
        await client.send(b"\r\n".join([b"GET %b HTTP/1.1" % path.encode(), b"Host: a", *lines, b"", b""]))
        answer = await client.answer()
        return answer.status, answer.problem if answer.status >= 400 else ""


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/env/x", [b"X-Env: prod", b"X-Env:"]),
        ("/env/x", [b"x-env:", b"Accept: a/b", b"X-ENV: prod"]),
        ("/condition", [b"X-Env: prod", b"X-Env: test"]),
        ("/condition?env=prod&env=test", []),
        ("/limit", [b"X-Session: 1", b"X-Session: 2"]),
        ("/quotas", [b"X-Session: 1", b"X-Session: 2"]),
        ("/cors", [b"Origin: https://app.example.com", b"Origin: https://evil.example"]),
    ],
)
async def test_it_is_refused_before_authentication(gateway: GatewayProcess, path: str, lines: list[bytes]) -> None:
    """What could be read in two ways is a 400, before limits and keys are checked."""
    assert await status(gateway, path, *lines) == (400, "ambiguous-field")


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/env/x", [b"X-Other: 1", b"X-Other: 2"]),
        ("/env/x?env=1&env=2", [b"Accept: a/b", b"Accept: c/d"]),
        ("/shadow?env=1&env=2", [b"X-Env: prod", b"X-Env: test"]),
        ("/agents", [b"X-Env: prod", b"X-Env: test"]),
    ],
)
async def test_what_decides_nothing_may_be_there_twice(gateway: GatewayProcess, path: str, lines: list[bytes]) -> None:
    """What no rule of the route hangs on, or only one that is tried out, passes as it came."""
    assert await status(gateway, path, *lines) == (200, "")


@pytest.mark.parametrize("lines", [[b"badbot", b"Mozilla/5.0"], [b"Mozilla/5.0", b"BadBot/1"], [b"", b"a badbot"]])
async def test_every_line_of_the_user_agent_is_looked_at(gateway: GatewayProcess, lines: list[bytes]) -> None:
    """A client that is blocked by its name does not pass under a second one."""
    assert await status(gateway, "/agents", *(b"User-Agent: " + line for line in lines)) == (403, "blocked")


async def test_it_can_be_explained(gateway: GatewayProcess) -> None:
    """`gateway explain` says of such a request what a client would be answered."""
    arguments = ["explain", "GET", "/env/x", "-H", "X-Env: prod", "-H", "X-Env: ", "--config", str(gateway.directory)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert b"400: the header x-env is there more than once; send it once" in output


async def test_a_client_that_likes_text_best_may_say_so_in_two_lines(gateway: GatewayProcess) -> None:
    """The lines of `Accept` are one list: what an error is written in does not hang on the last of them."""
    async with connected(gateway.port) as client:
        lines = b"Accept: text/plain\r\nAccept: application/json;q=0.1\r\n"
        await client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        assert (await client.answer()).headers[b"content-type"].startswith(b"text/plain")
