"""Requests to gateways end in time, with a bounded answer, or with a failure that says what happened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.control_plane.adapters.networks import DEFAULT, allowed_addresses
from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Resolve
from tests.control_plane.adapters.peers import Answer, Asked, Peer, peer


@asynccontextmanager
async def asking(answer: Answer) -> AsyncIterator[tuple[Outbound, Peer]]:
    async def always(asked: Asked) -> Answer:
        return answer

    outbound = Outbound(allowed_addresses(("loopback",)))
    async with peer(always) as served:
        yield outbound, served


async def failure(outbound: Outbound, url: str, **more: str) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        await outbound.send("GET", url, 5, headers=more)
    return raised.value


async def test_a_redirect_is_not_followed() -> None:
    """To wherever it leads: the answer is a failure that says so."""
    async with asking((302, None, {"Location": "http://169.254.169.254/latest/meta-data"})) as (outbound, served):
        failed = await failure(outbound, f"{served.url}/health")
    assert "redirects are not followed" in str(failed)
    assert len(served.asked) == 1


async def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    """More than a mebibyte is no answer."""
    async with asking((200, "x" * (1024**2 + 1))) as (outbound, served):
        assert (await failure(outbound, served.url)).reason == "answer"


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"nonsense\r\n\r\n",
        b"",
        None,
    ],
)
async def test_half_an_answer_is_a_failure(bytes_sent: bytes | None) -> None:
    """A connection that ends too early, and what is no HTTP; the request may have been done."""
    async with asking(bytes_sent) as (outbound, served):
        failed = await failure(outbound, served.url)
    assert (failed.reason, failed.again, failed.perhaps_done) == ("answer", True, True)


async def test_a_gateway_that_hangs_is_given_up_in_time() -> None:
    """The time limit is for all of a call, however the bytes trickle."""

    async def never(asked: Asked) -> Answer:
        await asyncio.Event().wait()
        return None

    outbound = Outbound(allowed_addresses(("loopback",)))
    async with peer(never) as served:
        with pytest.raises(CallFailed, match=r"did not answer within 1 s") as raised:
            await outbound.send("GET", served.url, 1)
    assert (raised.value.reason, raised.value.perhaps_done) == ("timeout", True)


async def test_a_credential_that_comes_back_in_an_error_is_not_shown() -> None:
    """A gateway that lies sends back what it got: token, user and password in both forms."""
    echo = {"message": "no access with Bearer s3cr3t-token", "errors": [{"field": "x", "message": "s3cr3t-token"}]}
    async with asking((403, echo)) as (outbound, served):
        failed = await failure(outbound, served.url, Authorization="Bearer s3cr3t-token")
    assert str(failed) == f"{served.url} answered 403: no access with Bearer ***"
    assert failed.errors[0].message == "***"
    async with asking((401, {"message": "dXNlcjpodW50ZXIy hunter2"})) as (outbound, served):
        failed = await failure(outbound, served.url, Authorization="Basic dXNlcjpodW50ZXIy")
    assert str(failed).endswith("answered 401: *** ***")


async def test_what_a_gateway_says_is_one_short_line() -> None:
    """Line ends, escapes of terminals and long texts do not get into logs and answers."""
    async with asking((500, {"message": "a\nb\x1b[31m" + "c" * 1000})) as (outbound, served):
        text = str(await failure(outbound, served.url))
    assert "answered 500: a b [31mccc" in text
    assert len(text) < 300


def leading_to(*addresses: str) -> Resolve:
    """A name service in which each look-up of a name gives the next address."""
    left = list(addresses)
    return lambda host, port: [left.pop(0)]


async def test_a_name_is_judged_by_the_address_that_is_connected_to() -> None:
    """A name that leads elsewhere at the second look-up does not get there either (DNS rebinding)."""
    outbound = Outbound(allowed_addresses(DEFAULT), resolve=leading_to("169.254.169.254", "127.0.0.1", "fe80::1%lo"))
    for address in ("169.254.169.254", "127.0.0.1", "fe80::1"):
        failed = await failure(outbound, "http://gateway.internal:9090/health")
        assert (failed.reason, failed.status) == ("address", 400)
        assert f"gateway.internal leads to {address}" in str(failed)


async def test_of_several_addresses_of_a_name_only_the_allowed_ones_are_tried() -> None:
    """One that refuses the connection is followed by the next."""
    tried = ["169.254.169.254", "127.0.0.2", "127.0.0.1"]
    outbound = Outbound(allowed_addresses(("loopback",)), resolve=lambda host, port: tried)

    async def well(asked: Asked) -> Answer:
        return 200, {"host": asked.headers["host"]}

    async with peer(well) as served:
        reply = await outbound.send("GET", f"http://gateway.internal:{served.port}/", 5)
    assert reply.document() == {"host": f"gateway.internal:{served.port}"}


async def test_a_name_without_an_address_says_so() -> None:
    """It is no time-out and no refused connection."""
    outbound = Outbound(allowed_addresses(DEFAULT))
    failed = await failure(outbound, "http://no-such-name.invalid/")
    assert failed.reason == "name"


async def test_tls_with_a_port_that_has_none_says_so() -> None:
    """The scheme is wrong, or the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    outbound = Outbound(allowed_addresses(("loopback",)))
    async with server:
        assert (await failure(outbound, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")).reason == "tls"


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/", "x", "http://", "http://[", "http://127.0.0.1:99999/", "http:///a", "http://\0/", "http://é/",
     "http://127.0.0.1:1/\r\nX: y", "ws://127.0.0.1:1", "http://127.0.0.1:1/é", "http://127.0.0.1/a b", "http://a..b/"],
)  # fmt: skip
async def test_what_is_no_url_is_not_asked(url: str) -> None:
    """It is an error of the request, not of the control plane."""
    assert (await failure(Outbound(allowed_addresses(("loopback",))), url)).reason == "invalid"
