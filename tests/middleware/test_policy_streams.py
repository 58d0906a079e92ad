"""Policies that change a body while it streams, and those whose response is none."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx2
import pytest

from gateway.errors import GatewayError
from gateway.http.testing import make_exchange
from tests.lifecycle.support import health
from tests.middleware.support import answering, build, chained, context
from tests.support import exchange, running_gateway, scripted_backend, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "writing-middleware.md"
EXAMPLE = next(
    code for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if "NoDigits" in code
)
OF_ITS_OWN = """
class Stream:
    ready = False
    def __init__(self, body):
        self.body = body
    async def read(self):
        return (await self.body.read()).upper()
    def close(self):
        self.body.close()

class Upper:
    def wrap(self, handler):
        async def upper(exchange):
            response = await handler(exchange)
            response.body = Stream(response.body)
            return response
        return upper
"""
ANSWERS = """
class P:
    def wrap(self, handler):
        async def answered(exchange):
            return {}
        return answered
"""


async def _answer(directory: Path, source: str, policy: str) -> tuple[bytes, str]:
    """A chunked response of three pieces and a trailer that went through a policy, and the gateway's log."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")
        for piece in (b"a1", b"b2", b"c3"):
            writer.write(b"2\r\n" + piece + b"\r\n")
            await writer.drain()
        writer.write(b"0\r\nx-sum: 7\r\n\r\n")
        await writer.drain()

    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n"
        middleware = f"policies: {{mine: {{class: 'p.py:{policy}'}}}}"
        (directory / "config").mkdir()
        (directory / "config" / "p.py").write_text(source)
        with running_gateway(directory, routes, middleware) as gateway:
            request = b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n"
            return await exchange(gateway.port, request), gateway.log


def _body(answer: bytes) -> bytes:
    """The body of an answer in chunks."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while rest and (length := int(rest.partition(b"\r\n")[0], 16)):
        chunk = rest.partition(b"\r\n")[2]
        body, rest = body + chunk[:length], chunk[length + 2 :]
    return body


async def test_the_documented_example_masks_what_streams(tmp_path: Path) -> None:
    """Each piece is changed, and the trailers of the backend still come behind them."""
    answer, log = await _answer(tmp_path, EXAMPLE, "NoDigits")
    assert _body(answer) == b"a#b#c#"
    assert answer.endswith(b"0\r\nx-sum: 7\r\n\r\n")
    assert "Traceback" not in log


async def test_a_stream_without_trailers_is_whole_for_clients_that_take_them(tmp_path: Path) -> None:
    """A class of a policy may leave `trailers` out: the response has none, and is not cut off."""
    answer, log = await _answer(tmp_path, OF_ITS_OWN, "Upper")
    assert _body(answer) == b"A1B2C3"
    assert answer.endswith(b"\r\n0\r\n\r\n")
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("None", "its handler returned NoneType, not a Response"),
        (
            "__import__('gateway.http').http.Response(200, [], 'text')",
            "is str, neither bytes nor a stream: it has no read",
        ),
        ("__import__('gateway.http').http.Response(200, [(b'x', b'a\\n')], b'')", "RFC 9110, 5.5"),
    ],
)
async def test_a_response_that_cannot_be_sent_is_logged_with_the_place_of_the_policy(
    caplog: pytest.LogCaptureFixture, answer: str, reason: str
) -> None:
    """With file and line of its `wrap`, not of the gateway's check; and with what a stream lacks."""
    built = context("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": ANSWERS.replace("{}", answer)})
    with pytest.raises(GatewayError, match='policy "mine" failed'):
        await chained(build(built), answering())(make_exchange())
    (record,) = (each for each in caplog.records if each.name == "gateway.policy")
    assert record.getMessage().endswith("p.py:3")
    assert reason in caplog.text


def test_the_state_names_the_request_whose_traceback_is_in_the_log(tmp_path: Path) -> None:
    """Of a policy that failed, /health of the admin port says under which id the log has the traceback."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.py").write_text(ANSWERS.replace("{}", "None"))
    policies = "policies: {mine: {class: 'p.py:P'}}"
    with running_gateway(tmp_path, "routes: [{id: r, path: /*, redirect: /there}]", policies) as gateway:
        failed = httpx2.get(gateway.url + "/x")
        assert failed.status_code == 500
        named = f', request {failed.json()["request_id"]}: internal-error: policy "mine" failed'
        until(lambda: any(each.startswith("route r, ") and named in each for each in health(gateway)["failing"]))
