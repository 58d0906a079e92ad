"""Policies in shadow mode that change a request and then refuse it: the backend gets what it would get without them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.lifecycle.support import admin_url
from tests.middleware.changing import ABOUT, CANNOT_BE_SENT, CHANGES
from tests.support import GatewayProcess, eventually, running_gateway, scripted_backend
from tests.upstream.wire import OK, Wire, connected, read_head, read_message

FRAMINGS: dict[str, tuple[list[str], str]] = {
    "announced": (["Content-Length: 5"], "abcde"),
    "chunked": (["Transfer-Encoding: chunked"], "5\r\nabcde\r\n0\r\n\r\n"),
    "none": ([], ""),
}


@asynccontextmanager
async def served(
    directory: Path, *policies: str, routes: str = "- {path: /*, target: BACKEND}\n", answer: bytes = OK
) -> AsyncIterator[tuple[GatewayProcess, list[Wire]]]:
    """A gateway with policies of these classes and modes, in this order, and what its backend was sent."""
    sent: list[Wire] = []

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            sent.append(await read_message(reader))
            writer.write(answer)

    entry = "  p{}: {{class: 'tests.middleware.changing:{}', mode: {}}}"
    lines = [entry.format(number, *policy.split()) for number, policy in enumerate(policies)]
    async with scripted_backend(backend) as port:
        routes = routes.replace("BACKEND", f"'127.0.0.1:{port}'")
        with running_gateway(directory, routes, "\n".join(["policies:", *lines])) as gateway:
            yield gateway, sent


async def ask(
    gateway: GatewayProcess, do: str, how: str = "refuses", framing: str = "announced", method: str = "POST"
) -> Wire:
    """The answer to a request that the policies are to change so, and to do this with."""
    lines, body = FRAMINGS[framing]
    head = [
        f"{method} /a?b=c HTTP/1.1",
        "Host: a.test",
        "Connection: close",
        "X-Secret: s",
        f"X-Do: {do}",
        f"X-How: {how}",
    ]
    async with connected(gateway.port) as (reader, writer):
        writer.write("\r\n".join([*head, *lines, "", body]).encode())
        return await read_message(reader)


async def decided(gateway: GatewayProcess, rule: str, verdict: str, times: int) -> None:
    """Wait until the metrics say so."""
    line = f'gateway_decisions_total{{rule="{rule}",verdict="{verdict}"}} {times}.0\n'
    await eventually(lambda: line in httpx2.get(admin_url(gateway, "/metrics")).text)


def plain(message: Wire) -> Wire:
    """Without what is another one with each request."""
    message.headers = [line for line in message.headers if line[0] not in ABOUT]
    return message


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("how", ["refuses", "breaks", "answers"])
async def test_a_refused_request_goes_on_as_it_was(tmp_path: Path, how: str, framing: str) -> None:
    """Whatever the policy has made of it, and whether that can be sent or not; and so does the next one."""
    async with served(tmp_path, "Refusing shadow") as (gateway, sent):
        assert (await ask(gateway, "", "hands on", framing)).status == 200
        expected = plain(sent.pop())
        for change in CHANGES:
            assert (change, (await ask(gateway, change, how, framing)).status) == (change, 200)
            assert (change, [plain(each) for each in sent]) == (change, [expected])
            sent.clear()
        await decided(gateway, "policy:p0", "shadow-deny", len(CHANGES))


@pytest.mark.parametrize("policy", ["Refusing", "Copying"])
async def test_what_cannot_be_sent_is_a_failure_of_the_policy(tmp_path: Path, policy: str) -> None:
    """Where it hands that on, also in a copy: the request goes on as it was, and the log has one error."""
    async with served(tmp_path, f"{policy} shadow") as (gateway, sent):
        assert (await ask(gateway, "", "hands on")).status == 200
        expected = plain(sent.pop())
        for change in CANNOT_BE_SENT:
            assert (change, (await ask(gateway, change, "hands on")).status) == (change, 200)
            assert (change, [plain(each) for each in sent]) == (change, [expected])
            sent.clear()
        await eventually(lambda: gateway.log.count("policy p0 failed on request") == len(CANNOT_BE_SENT))
        assert gateway.log.count('"level":"error"') == len(CANNOT_BE_SENT)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_only_what_the_refusing_policy_has_changed_is_put_back(tmp_path: Path, mode: str) -> None:
    """What stands before it and behind it, in either mode, does what it does, and sees nothing of that."""
    policies = (f"Marking {mode}", "Refusing shadow", "Refusing shadow", f"Marking {mode}")
    async with served(tmp_path, *policies) as (gateway, sent):
        for change in CHANGES:
            assert (change, (await ask(gateway, change)).status) == (change, 200)
            (message,) = sent
            sent.clear()
            assert (change, message.start, message.body) == (change, "POST /a?b=c HTTP/1.1", b"abcde")
            assert (change, message.all("x-marked"), message.all("x-secret")) == (change, ["/a s", "/a s"], [])
            assert (change, message.all("content-length"), message.all("x-added")) == (change, ["5"], [])


async def test_a_policy_behind_it_refuses_all_the_same(tmp_path: Path) -> None:
    """One in shadow mode in front of it takes nothing from it."""
    async with served(tmp_path, "Refusing shadow", "Refusing enforce") as (gateway, sent):
        assert (await ask(gateway, "target")).status == 403
        assert sent == []
        await decided(gateway, "policy:p0", "shadow-deny", 1)
        await decided(gateway, "policy:p1", "deny", 1)


async def test_every_attempt_and_every_copy_is_as_it_was(tmp_path: Path) -> None:
    """Those for a mirror, and the second attempt after one that was lost."""
    lost: list[Wire] = []

    async def losing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost.append(await read_head(reader))

    async with scripted_backend(losing) as port:
        routes = (
            f"services: {{s: {{endpoints: ['127.0.0.1:{port}', BACKEND], balance: round_robin}}, "
            "copies: {endpoints: [BACKEND]}}\nroutes:\n- {path: /*, target: s, mirror: {target: copies}}\n"
        )
        async with served(tmp_path, "Refusing shadow", routes=routes) as (gateway, sent):
            for change in CANNOT_BE_SENT:
                assert (change, (await ask(gateway, change, framing="none", method="PUT")).status) == (change, 200)
            await eventually(lambda: len(sent) == 2 * len(CANNOT_BE_SENT))
        assert lost
        for message in (*sent, *lost):
            assert message.start == "PUT /a?b=c HTTP/1.1"
            assert (message.all("x-secret"), message.all("content-length"), message.all("x-evil")) == (["s"], [], [])


async def test_an_application_is_asked_what_the_client_asks(tmp_path: Path) -> None:
    """One that the gateway serves itself."""
    routes = "- {path: /*, target: 'asgi:tests.middleware.changing:app'}\n"
    async with served(tmp_path, "Refusing shadow", routes=routes) as (gateway, _):
        expected = (await ask(gateway, "", "hands on")).body
        for change in CHANGES:
            assert (change, (await ask(gateway, change)).body) == (change, expected)


async def test_a_refused_request_is_sent_once(tmp_path: Path) -> None:
    """A task of the policy that had not begun to hand it on does that no more."""
    async with served(tmp_path, "Refusing shadow") as (gateway, sent):
        for framing in FRAMINGS:
            assert (await ask(gateway, "", "hands on in a task", framing)).status == 200
        assert [each.body for each in sent] == [b"abcde", b"abcde", b""]


async def test_the_last_answer_of_the_backend_goes_out(tmp_path: Path) -> None:
    """Where the policy has asked twice, changed the first one, and refuses before the second one is there."""
    async with served(tmp_path, "Refusing shadow") as (gateway, sent):
        answer = await ask(gateway, "", "asks again", "none")
        assert (answer.status, answer.body, len(sent)) == (200, b"ok", 2)


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_what_is_changed_on_the_way_is_not_sent(tmp_path: Path, mode: str) -> None:
    """Of a request that a policy has handed on in a task: it was looked at before, and waits for a connection."""
    closing = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    async with served(tmp_path, f"Late {mode}", answer=closing) as (gateway, sent):
        assert (await ask(gateway, "", framing="none", method="GET")).status == 200
        expected = plain(sent.pop())
        for change in CHANGES:
            await ask(gateway, change, framing="none", method="GET")
            assert (change, [plain(each) for each in sent]) == (change, [expected])
            sent.clear()
        await eventually(lambda: gateway.access_log.count('"upstream":"127.0.0.1') == len(CHANGES) + 1)
