"""Gateways that talk to a control plane, by the channel and without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.bundles import MEDIA_TYPE, Bundle, unpack
from gateway.control_messages import CONNECT
from gateway.control_plane import connections
from gateway.control_plane.database.tables import Gateway, GatewayInstance, GatewayToken, Revision
from gateway.control_plane.plane import Plane
from tests.control_plane.channel_support import (
    ROUTES,
    a_gateway,
    a_revision,
    a_token,
    an_environment,
    client,
    listening,
    want,
)
from tests.control_plane.support import client_of, control_plane


@dataclass
class Served:
    plane: Plane
    url: str
    environment: UUID
    gateway: UUID
    token: str

    def channel(self, token: str | None = None) -> connect:
        headers = {"api-key": self.token if token is None else token}
        return connect("ws" + self.url.removeprefix("http") + CONNECT, additional_headers=headers, proxy=None)


@pytest.fixture
async def served(tmp_path: Path, database_url: str) -> AsyncIterator[Served]:
    async with control_plane(tmp_path, database=database_url) as plane, listening(plane) as url:
        environment = await an_environment(plane)
        gateway = await a_gateway(plane, environment=environment)
        yield Served(plane, url, environment, gateway, await a_token(plane, gateway))


async def test_a_channel_on_a_connection_that_was_used_before_stays_open(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for a request's head is over with the head, also where that comes in two pieces."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(served.url).port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    async with asyncio.timeout(30):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(f"GET {CONNECT} HTTP/1.1\r\nhost: 127.0.0.1\r\napi-key: {served.token}\r\n".encode())
        await asyncio.sleep(0)
        writer.write(b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n")
        writer.write(b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        await reader.readuntil(b"HTTP/1.1 101 ")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readuntil(b"what it never says"), 0.6)
    writer.close()


async def _next(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def _until_closed(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


def _heartbeat(**changes: Any) -> str:
    return json.dumps({"type": "heartbeat", "instanceId": "one", "version": "1.0", **changes})


async def _instance(plane: Plane, gateway: UUID) -> GatewayInstance | None:
    async with plane.database.reading() as session:
        found = await session.scalars(select(GatewayInstance).where(GatewayInstance.gateway_uuid == gateway))
        return found.one_or_none()


async def test_a_gateway_that_connects_is_greeted(served: Served) -> None:
    """The first message names the gateway, the connection and the time."""
    async with served.channel() as socket:
        greeting = await _next(socket, "connection.ack")
    assert greeting["gatewayId"] == str(served.gateway)
    assert greeting["connectionId"]
    assert greeting["timestamp"].endswith("Z")


@pytest.mark.parametrize("token", ["", "x", "fgw_0011223344556677_" + "A" * 43, "a" * 5000])
async def test_a_token_that_is_none_is_a_401(served: Served, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before anything is said, in the form of all errors; it is no error of the control plane."""
    with pytest.raises(InvalidStatus) as refused:
        await served.channel(token).__aenter__()
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["message"]
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_the_secret_of_a_token_counts_and_not_its_id(served: Served) -> None:
    """Who knows the id, which lists show, knows nothing."""
    other = served.token[:-1] + ("A" if served.token[-1] != "A" else "B")
    async with client(served.url, other) as http:
        assert (await http.post(f"/gateways/{served.gateway}/heartbeat", content=_heartbeat())).status_code == 401


async def test_what_is_wanted_is_said_at_once_and_whenever_it_changes(served: Served) -> None:
    """Also where another replica has changed it."""
    first = await a_revision(served.plane)
    await want(served.plane, served.environment, first)
    async with served.channel() as socket:
        assert (await _next(socket, "config.available"))["revision"] == first
        second = await a_revision(served.plane, {"routes.yaml": b"routes: [{path: /b, target: 'http://b'}]"})
        await want(served.plane, served.environment, second)
        assert (await _next(socket, "config.available"))["revision"] == second


async def test_nothing_wanted_is_nothing_said(served: Served) -> None:
    """A control plane whose database was restored from before says nothing, so that no gateway changes anything."""
    async with served.channel() as socket:
        await _next(socket, "connection.ack")
        await socket.send(_heartbeat(revision="a" * 64))
        assert (await _next(socket, "heartbeat.ack"))["revision"] is None
    async with client(served.url, served.token) as http:
        assert (await http.get(f"/gateways/{served.gateway}/revision?after=x&wait=0")).status_code == 204


async def test_a_revoked_token_closes_the_channel(served: Served) -> None:
    """Where it was revoked does not matter: here another replica has."""
    async with served.channel() as socket:
        await _next(socket, "connection.ack")
        async with served.plane.database.transaction() as session:
            row = (await session.scalars(select(GatewayToken))).one()
            row.revoked_at = served.plane.now()
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_a_deleted_gateway_is_let_go(served: Served) -> None:
    """Its token is gone with it."""
    async with served.channel() as socket:
        await _next(socket, "connection.ack")
        await socket.send(_heartbeat())
        await _next(socket, "heartbeat.ack")
        async with served.plane.database.transaction() as session:
            await session.execute(delete(Gateway))
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionClosed):
                await socket.recv()
    async with client(served.url, served.token) as http:
        assert (await http.post(f"/gateways/{served.gateway}/heartbeat", content=_heartbeat())).status_code == 401


async def test_a_gateway_that_is_deleted_here_is_let_go_at_once(served: Served) -> None:
    """It hears why, its token holds no more, and nothing of it is kept in memory."""
    async with served.channel() as socket, client_of(served.plane) as http:
        await _next(socket, "connection.ack")
        await socket.send(_heartbeat())
        await _next(socket, "heartbeat.ack")
        assert (await http.delete(f"/api/v1/gateways/{served.gateway}")).status_code == 204
        async with client(served.url, served.token) as gateway:
            path = f"/gateways/{served.gateway}/heartbeat"
            assert (await gateway.post(path, content=_heartbeat())).status_code == 401
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert "not known" in closed.value.rcvd.reason


async def test_a_token_that_expires_closes_the_channel(served: Served) -> None:
    """At its time, and not with the next heartbeat."""
    for seconds in (1, 5, 25):
        token = await a_token(served.plane, served.gateway, timedelta(seconds=seconds))
        try:
            async with asyncio.timeout(60), served.channel(token) as socket:
                with pytest.raises(ConnectionClosed):
                    await _until_closed(socket)
        except InvalidStatus:  # it had expired before it was shown
            continue
        return
    pytest.fail("no token holds long enough to be shown")


async def test_a_control_plane_that_ends_says_so(tmp_path: Path, database_url: str) -> None:
    """So that a gateway comes again soon."""
    async with control_plane(tmp_path, database=database_url) as plane:
        async with listening(plane) as url:
            served = Served(plane, url, uuid4(), uuid4(), await a_token(plane, await a_gateway(plane)))
            socket = await served.channel()
            await _next(socket, "connection.ack")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


@pytest.mark.parametrize(
    "words", ["", "x", "[]", "null", '"heartbeat"', "[" * 5000, '{"type": "heartbeat"}', '{"type": 5}']
)
async def test_what_is_no_message_does_no_harm(served: Served, words: str) -> None:
    """It is answered with an error, or passed over, and the channel stays."""
    async with served.channel() as socket:
        await socket.send(words)
        await socket.send(words.encode())
        await socket.send(_heartbeat())
        assert (await _next(socket, "heartbeat.ack"))["revision"] is None


async def test_a_flood_of_messages_ends_the_channel(served: Served) -> None:
    """One gateway must not keep the others from being heard."""
    async with served.channel() as socket:
        with pytest.raises(ConnectionClosed):
            await asyncio.gather(*(socket.send("{}") for _ in range(2000)), _until_closed(socket))
        assert socket.close_code == 1008


async def test_heartbeats_are_kept_and_drift_begins_when_it_is_first_heard(served: Served) -> None:
    """What an instance runs is in the database; it drifts from its first heartbeat with another one than wanted."""
    plane, gateway = served.plane, served.gateway
    async with client(served.url, served.token) as http:
        answer = await http.post(f"/gateways/{gateway}/heartbeat", content=_heartbeat(revision="a" * 64, p95Ms=5))
        assert answer.json()["type"] == "heartbeat.ack"
        row = await _instance(plane, gateway)
        assert row is not None
        assert (row.revision, row.drifted_since, row.report["p95Ms"]) == ("a" * 64, None, 5)
        digest = await a_revision(plane)
        await want(plane, served.environment, digest)
        async with asyncio.timeout(30):
            while answer.json()["revision"] != digest:
                answer = await http.post(f"/gateways/{gateway}/heartbeat", content=_heartbeat(revision="a" * 64))
        row = await _instance(plane, gateway)
        assert row is not None
        assert row.drifted_since is not None
        await http.post(f"/gateways/{gateway}/heartbeat", content=_heartbeat(revision=digest))
        row = await _instance(plane, gateway)
        assert row is not None
        assert row.drifted_since is None


@pytest.mark.parametrize("policy", ["report", "reapply", "adopt"])
async def test_a_gateway_that_has_drifted_for_a_minute_gets_the_policy(served: Served, policy: str) -> None:
    """To send its files, which are not known here yet, and to go back where the environment says so."""
    plane, gateway = served.plane, served.gateway
    digest = await a_revision(plane)
    await want(plane, served.environment, digest, drift_policy=policy)
    async with plane.database.transaction() as session:
        session.add(
            GatewayInstance(
                gateway_uuid=gateway,
                id="one",
                last_heartbeat_at=plane.now(),
                revision="a" * 64,
                drifted_since=plane.now() - timedelta(seconds=61),
                report={},
            )
        )
    async with client(served.url, served.token) as http:
        said = {"revision": "a" * 64, "source": "local file"}
        answer = (await http.post(f"/gateways/{gateway}/heartbeat", content=_heartbeat(**said))).json()
        again = (await http.post(f"/gateways/{gateway}/heartbeat", content=_heartbeat(**said))).json()
    assert (answer["driftPolicy"], answer["reapply"], answer["upload"]) == (policy, policy == "reapply", True)
    assert again["upload"] is False


async def test_a_long_poll_is_answered_when_something_else_is_wanted(served: Served) -> None:
    """Without WebSockets, news come as fast."""
    digest = await a_revision(served.plane)
    async with client(served.url, served.token) as http:
        asking = asyncio.create_task(http.get(f"/gateways/{served.gateway}/revision?after={'a' * 64}&wait=20"))
        await asyncio.sleep(0.1)
        await want(served.plane, served.environment, digest)
        async with asyncio.timeout(15):  # less than it would wait
            assert (await asking).json()["revision"] == digest


async def test_a_revision_is_fetched_whole_and_may_be_kept(served: Served) -> None:
    """The bundle has the digest that it is asked by, and is asked for only once."""
    digest = await a_revision(served.plane)
    await want(served.plane, served.environment, digest)
    async with client(served.url, served.token) as http:
        answer = await http.get(f"/gateways/{served.gateway}/revisions/{digest}")
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert unpack(answer.content).digest == digest
        etag = {"if-none-match": answer.headers["etag"]}
        assert (await http.get(f"/gateways/{served.gateway}/revisions/{digest}", headers=etag)).status_code == 304


async def test_a_gateway_gets_no_revision_of_others(served: Served) -> None:
    """Neither under its own path nor under that of the other one."""
    digest = await a_revision(served.plane)
    other = await a_gateway(served.plane, "other", await an_environment(served.plane, "staging", digest))
    async with client(served.url, served.token) as http:
        assert (await http.get(f"/gateways/{served.gateway}/revisions/{digest}")).status_code == 404
        assert (await http.get(f"/gateways/{other}/revisions/{digest}")).status_code == 403
        assert (await http.get(f"/gateways/{served.gateway}/revisions/..%2f")).status_code == 404


async def test_too_large_and_hostile_bodies_are_refused(served: Served) -> None:
    """413 and 400, never a failure."""
    async with client(served.url, served.token) as http:
        path = f"/gateways/{served.gateway}/heartbeat"
        assert (await http.post(path, content=b"x" * 70_000)).status_code == 413
        for body in (b"", b"\xff", b"{}", b'{"instanceId": "\\u0000"}', _heartbeat(uptimeSeconds="x").encode()):
            assert (await http.post(path, content=body)).status_code == 400
        assert (await http.post("/gateways/x%00y/heartbeat", content=_heartbeat())).status_code == 403


async def test_the_status_of_gateways_is_judged_when_it_is_asked(served: Served) -> None:
    """One whose last heartbeat is old is not connected, whatever was written when it came."""
    plane = served.plane
    async with client(served.url, served.token) as http, client_of(plane) as people:
        await http.post(f"/gateways/{served.gateway}/heartbeat", content=_heartbeat(revision="a" * 64))
        (shown,) = (await people.get("/api/v1/gateways/status")).json()["gateways"]
        assert shown["connected"] is True
        assert shown["instances"][0]["revision"] == "a" * 64
        async with plane.database.transaction() as session:
            row = (await session.scalars(select(GatewayInstance))).one()
            row.last_heartbeat_at = plane.now() - timedelta(minutes=1)
        (shown,) = (await people.get("/api/v1/gateways/status")).json()["gateways"]
        assert (shown["connected"], shown["instances"][0]["connected"]) == (False, False)


async def test_own_files_are_kept_as_a_revision(served: Served) -> None:
    """What a gateway sends of its own becomes a revision that is not deployed; an invalid one is refused."""
    bundle = Bundle({"routes.yaml": ROUTES})
    async with client(served.url, served.token) as http:
        path = f"/gateways/{served.gateway}/revision"
        answer = await http.post(path, content=bundle.pack())
        assert (answer.status_code, answer.json()) == (201, {"revision": bundle.digest})
        for wrong in (b"", b"x", bundle.pack()[:-9], Bundle({"routes.yaml": b"routes: 1"}).pack()):
            assert (await http.post(path, content=wrong)).status_code == 400
        assert (await http.post(f"/gateways/{served.gateway}/heartbeat", content=_heartbeat())).json()[
            "revision"
        ] is None
    async with served.plane.database.reading() as session:
        row = await session.get(Revision, (served.plane.organizations["default"], bundle.digest))
    assert row is not None
    assert (row.author, row.message) == ("gateway:edge", "local files of edge")
