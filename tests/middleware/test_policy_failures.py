"""Where the log says that a custom policy has failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import orjson
import pytest

from gateway.custom_code import is_library, place_of
from gateway.errors import GatewayError
from gateway.http.testing import make_exchange
from tests.middleware.support import answering, build, chained, context
from tests.support import eventually, running_gateway, scripted_backend
from tests.upstream.wire import connected, read_message

IN_COMPILED_CODE = """\
SET = compile("def refuse(): raise TypeError('str object expected')", "gateway/http/messages.py", "exec")
names = {}
exec(SET, names)

class P:
    def wrap(self, handler):
        async def answered(exchange):
            return names["refuse"]()
        return answered
"""


async def test_code_of_the_gateway_that_is_compiled_is_not_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """Its frames have file names that are relative; the line of the policy that called it is what the log names."""
    built = context("policies: {mine: {class: 'p.py:P'}}", sources={"p.py": IN_COMPILED_CODE})
    with pytest.raises(GatewayError, match='policy "mine" failed'):
        await chained(build(built), answering())(make_exchange())
    (record,) = (each for each in caplog.records if each.name == "gateway.policy")
    assert record.getMessage().endswith("p.py:8")


def test_a_file_in_a_directory_of_that_name_is_not_the_gateways() -> None:
    """A configuration may be in `gateway/`, too."""
    assert is_library("gateway/http/messages.py:384")
    assert not is_library("gateway/policies.py")
    with pytest.raises(ZeroDivisionError) as raised:
        exec(compile("1 / 0", "gateway/policies.py", "exec"))
    assert place_of(raised.value) == "gateway/policies.py:1"


CANCELLING = """\
import asyncio

class P:
    def wrap(self, handler):
        async def answered(exchange):
            task, do = asyncio.current_task(), exchange.query.decode()
            if do == "now":
                task.cancel()
            elif do == "later":
                asyncio.get_running_loop().call_later(0.1, task.cancel)
            elif do == "stream":
                response = await handler(exchange)
                task.cancel()
                return response
            if do:
                await asyncio.sleep(60)  # line 16
            return await handler(exchange)
        return answered
"""


async def test_a_policy_that_cancels_its_own_task_has_failed(tmp_path: Path) -> None:
    """It is no client that left: the answer is a 500, or is cut off where it has begun, and the log has the place. The
    next request on the same connection is served."""
    came = asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_message(reader)
            if "stream" in request.start:
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            elif "wait" in request.start:
                came.set()
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.py").write_text(CANCELLING)
    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n"
        with running_gateway(tmp_path, routes, "policies: {mine: {class: 'p.py:P'}}") as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url, timeout=20) as client:
                for do in ("now", "later"):
                    assert (await client.get(f"/{do}?{do}")).status_code == 500
                    assert (await client.get("/")).text == "ok"
                with pytest.raises(httpx2.TransportError):
                    await client.get("/stream?stream")
            async with connected(gateway.port) as (_, writer):
                writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
                await came.wait()
            await eventually(lambda: gateway.access_log.count("\n") == 6, message=gateway.access_log)
            log, lines = gateway.log, [orjson.loads(line) for line in gateway.access_log.splitlines()]
    failed = {line["path"]: (line["status"], line["error"]) for line in lines if line["status"] != 200 or line["error"]}
    assert failed == {
        "/now": (500, "CancelledError()"),
        "/later": (500, "CancelledError()"),
        "/stream": (200, "CancelledError()"),
        "/wait": (499, "client-gone: the client went away"),
    }
    assert log.count("failed at") == log.count("p.py:16\\n") == 2
    assert log.count("the response cannot be sent") == 1


FILTERING = """\
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Response

class P:
    def wrap(self, handler):
        async def answered(exchange):
            response = await handler(exchange)
            how = exchange.query.decode()
            if "part" in how:
                await response.body.read()
            if "all" in how:
                while await response.body.read():
                    pass
            if "close" in how:
                response.body.close()
            if "raise" in how:
                raise GatewayError(ErrorKind.FORBIDDEN, "secrets")
            return Response(403, [], b"secrets") if how else response
        return answered
"""


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_a_policy_that_refuses_a_response_is_recorded(tmp_path: Path, mode: str) -> None:
    """Whatever it has done to the response; in shadow mode the client gets all of that, and the connection goes on."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            await asyncio.sleep(0.05)
            writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.py").write_text(FILTERING)
    refusing = ["return", "part", "all", "close", "part,close", "raise", "all,close,raise"]
    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n"
        policies = f"policies: {{mine: {{class: 'p.py:P', mode: {mode}}}}}"
        with running_gateway(tmp_path, routes, policies) as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url, timeout=20) as client:
                got = [await client.get(f"/{how and '?'}{how}") for how in ("", *refusing)]
            await eventually(lambda: gateway.access_log.count("\n") == len(got), message=gateway.access_log)
            lines = [orjson.loads(line) for line in gateway.access_log.splitlines()]
            metrics = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/metrics").text
    enforced = mode == "enforce"
    assert (got[0].status_code, got[0].text) == (200, "firstsecond")
    for each in got[1:]:
        assert each.status_code == (403 if enforced else 200)
        assert "secrets" in each.text if enforced else each.text == "firstsecond"
    assert [line["refused_by"] for line in lines] == [None, *["policy:mine" if enforced else None] * len(refusing)]
    verdict = "deny" if enforced else "shadow-deny"
    assert f'gateway_decisions_total{{rule="policy:mine",verdict="{verdict}"}} {len(refusing)}.0\n' in metrics


HANDS_ON = """\
import asyncio
import copy

class P:
    def wrap(self, handler):
        async def answered(exchange):
            if exchange.query == b"copy":
                return await handler(copy.copy(exchange))
            if exchange.query == b"both":
                await asyncio.gather(handler(copy.copy(exchange)), handler(copy.copy(exchange)))
            return await handler(exchange)
        return answered

class Q(P):
    pass
"""


async def test_what_comes_of_a_copy_is_logged_with_the_request(tmp_path: Path) -> None:
    """Also through a second policy that does the same, and for each of several copies."""

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_message(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "p.py").write_text(HANDS_ON)
    async with scripted_backend(backend) as port:
        routes = f"- {{path: /*, target: '127.0.0.1:{port}'}}\n"
        policies = "policies: {one: {class: 'p.py:P'}, two: {class: 'p.py:Q'}}"
        with running_gateway(tmp_path, routes, policies) as gateway:
            async with httpx2.AsyncClient(base_url=gateway.url, timeout=20) as client:
                for query in ("", "?copy", "?both"):
                    assert (await client.get(f"/{query}")).status_code == 200
            await eventually(lambda: gateway.access_log.count("\n") == 3, message=gateway.access_log)
            lines = [orjson.loads(line) for line in gateway.access_log.splitlines()]
    assert [(line["upstream"], line["endpoint"]) for line in lines] == [(f"127.0.0.1:{port}", f"127.0.0.1:{port}")] * 3
    assert [len(line["attempts"]) for line in lines] == [1, 1, 9]
    assert {attempt["status"] for line in lines for attempt in line["attempts"]} == {200}
