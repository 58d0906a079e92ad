"""A new gateway takes the place of a running one: no request is lost, whichever process dies at which step."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.server.handover import FILE, PROTOCOL
from tests.cli.support import gateway as cli
from tests.lifecycle.support import Backend, admin_url, backend, get, websocket_backend
from tests.support import GatewayProcess, eventually, read_head, running_gateway, scripted_backend, until

DRAIN = "drain: {window: 200ms, deadline: 20s}\n"


@contextmanager
def successor(first: GatewayProcess, name: str = "second", *arguments: str) -> Iterator[GatewayProcess]:
    """Another gateway of the same configuration and ports, to be started with --takeover."""
    gateway = GatewayProcess(first.directory, first.port, first.admin_port, {}, ("--takeover", *arguments), logs=name)
    try:
        yield gateway
    finally:
        gateway.stop()


@asynccontextmanager
async def running(path: Path, middleware: str = DRAIN) -> AsyncIterator[tuple[GatewayProcess, Backend]]:
    async with backend() as upstream:
        routes = f"routes:\n- path: /*\n  target: 127.0.0.1:{upstream.port}\n"
        with running_gateway(path, routes, middleware) as process:
            yield process, upstream


async def started(gateway: GatewayProcess) -> None:
    """Wait for its own log: on its port the first gateway may answer."""
    await asyncio.to_thread(gateway.start)
    process = gateway.process
    assert process is not None
    await eventually(lambda: "listening on" in gateway.log or process.poll() is not None, 60)
    assert process.poll() is None, f"ended with {process.returncode}: {gateway.log}"


async def answer(gateway: GatewayProcess) -> httpx2.Response:
    return await asyncio.to_thread(get, gateway, "/x")


async def ended(gateway: GatewayProcess) -> int:
    return await asyncio.to_thread(gateway.wait, 60)


async def asking(url: str, clients: int, until_done: asyncio.Event, kept: bool) -> list[int]:
    """Requests without a pause until then, and the status of each; an exception is a request that was lost."""
    statuses: list[int] = []

    async def ask() -> None:
        limits = httpx2.Limits(max_keepalive_connections=1 if kept else 0)
        async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
            while not until_done.is_set():
                statuses.append((await client.get(f"{url}/x")).status_code)

    await asyncio.gather(*(ask() for _ in range(clients)))
    return statuses


@pytest.mark.parametrize("kept", [True, False])
async def test_no_request_is_lost(tmp_path: Path, kept: bool) -> None:
    """Clients that never pause, on connections they keep or on new ones, see nothing but 200."""
    async with running(tmp_path) as (first, _):
        with successor(first) as second:
            over = asyncio.Event()
            load = asyncio.create_task(asking(first.url, 4, over, kept))
            await started(second)
            assert await ended(first) == 0
            over.set()
            assert set(await load) == {200}
            assert f"taking over from pid {first.pid}" in second.log
            await eventually(lambda: "has ended" in second.log)


async def test_what_is_in_flight_ends_where_it_began(tmp_path: Path) -> None:
    """A slow request and an event stream of the first gateway complete while the second one serves all that is new."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        with successor(first) as second:
            asked = [asyncio.create_task(client.get(first.url + path)) for path in ("/slow", "/events")]
            await eventually(lambda: upstream.arrived == 2)
            await started(second)
            await eventually(lambda: "leaving" in first.log)
            assert (await client.get(second.url + "/x")).text == "ok"
            upstream.release.set()
            assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200, 200]
            assert await ended(first) == 0


async def test_the_status_command_names_the_former_gateway(tmp_path: Path) -> None:
    """As long as that finishes what it had begun; the new one is well meanwhile."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        with successor(first) as second:
            slow = asyncio.create_task(client.get(first.url + "/slow"))
            await eventually(lambda: upstream.slow == 1)
            await started(second)
            said = await asyncio.to_thread(cli, "status", "--admin", f"127.0.0.1:{second.admin_port}")
            upstream.release.set()
            await slow
            assert await ended(first) == 0
            await eventually(lambda: "has ended" in second.log)
            assert httpx2.get(admin_url(second, "/health")).json()["former"] is None
    assert said.returncode == 0
    assert said.stdout.splitlines()[0] == f"took over from pid {first.pid}, which finishes what it had begun"


async def test_health_checks_never_fail(tmp_path: Path) -> None:
    """A load balancer with a persistent connection sees the gateway as ready all the time."""
    async with running(tmp_path) as (first, _), httpx2.AsyncClient() as client:
        with successor(first) as second:
            assert (await client.get(first.url + "/health/ready")).status_code == 200
            await started(second)
            answer = await client.get(first.url + "/health/ready")
            assert (answer.status_code, (await client.get(first.url + "/health/ready")).status_code) == (200, 200)
            assert await ended(first) == 0


async def test_the_admin_port_and_what_it_wrote_move_along(tmp_path: Path) -> None:
    """The admin API answers for the second gateway, which knows a change that was made at the first one a moment
    before."""
    async with running(tmp_path) as (first, _):
        entry = {"network": "192.0.2.7", "reason": "test"}
        url = admin_url(first, "/blocklist")
        posted = httpx2.post(url, json=entry, headers=first.admin_token)
        assert posted.status_code < 300, posted.text
        with successor(first) as second:
            await started(second)
            assert await ended(first) == 0
            assert "192.0.2.7" in httpx2.get(url, headers=second.admin_token).text


def whole_audit_log(directory: Path) -> list[dict[str, Any]]:
    """The records of the audit log, of which none is missing and each names the one before it."""
    lines = [json.loads(line) for line in (directory / "audit.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(after["previous"] == before["hash"] for before, after in itertools.pairwise(lines))
    return lines


async def test_both_write_one_audit_log(tmp_path: Path) -> None:
    """Records of requests that end here and there follow each other in one unbroken chain, none of them is missing."""
    audit = DRAIN + "audit_log: {file: audit.jsonl}\n"
    async with running(tmp_path, audit) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        with successor(first) as second:
            slow = asyncio.create_task(client.get(first.url + "/slow"))
            await eventually(lambda: upstream.arrived == 1)
            await started(second)
            for number in range(5):
                await client.get(f"{second.url}/new{number}")
            upstream.release.set()
            await slow
            assert await ended(first) == 0
            await client.get(f"{second.url}/last")
            second.signal(signal.SIGTERM)
            assert await ended(second) == 0
        lines = whole_audit_log(first.directory)
        paths = {line["path"] for line in lines if "path" in line and not line["path"].startswith("/health")}
        assert paths == {"/slow", "/last", *(f"/new{number}" for number in range(5))}


async def test_all_three_write_one_audit_log(tmp_path: Path) -> None:
    """The first still writes when the second has ended: the third, which knows of it, breaks no chain."""
    audit = DRAIN + "audit_log: {file: audit.jsonl}\n"
    async with running(tmp_path, audit) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second, successor(first, "third") as third:
            await started(second)
            await started(third)
            assert await ended(second) == 0
            await eventually(lambda: f"pid {second.pid}, has ended" in third.log)
            await client.get(f"{third.url}/before")
            upstream.release.set()
            await slow
            assert await ended(first) == 0
            await client.get(f"{third.url}/after")
            third.signal(signal.SIGTERM)
            assert await ended(third) == 0
        lines = whole_audit_log(first.directory)
        assert {"/slow", "/before", "/after"} <= {line.get("path") for line in lines}


async def test_websockets_of_the_former_gateway_are_closed(tmp_path: Path) -> None:
    """They are closed with 1001, and connect to the second gateway."""
    from websockets.asyncio.client import connect  # noqa: PLC0415

    async with websocket_backend() as port:
        with running_gateway(tmp_path, f"routes:\n- path: /*\n  target: 127.0.0.1:{port}\n", DRAIN) as first:
            async with connect(f"ws://127.0.0.1:{first.port}/ws") as websocket:
                with successor(first) as second:
                    await started(second)
                    await asyncio.wait_for(websocket.wait_closed(), 30)
                    assert websocket.close_code == 1001
                    async with connect(f"ws://127.0.0.1:{second.port}/ws") as again:
                        await again.send("hello")
                        assert await again.recv() == "hello"
                    assert await ended(first) == 0


# Deaths and refusals.


async def test_no_gateway_to_take_over_from(tmp_path: Path) -> None:
    """Where no gateway runs, --takeover is a start like any other; also where a killed one left its socket."""
    async with running(tmp_path) as (first, _):
        first.signal(signal.SIGKILL)
        assert await ended(first) == -signal.SIGKILL
        with successor(first) as second:
            await started(second)
            assert (await answer(second)).text == "ok"
            assert "no gateway to take over from" in second.log


async def test_a_bad_configuration_takes_nothing_over(tmp_path: Path) -> None:
    """The new gateway ends with 1 and says why; the old one serves on, its admin port as well."""
    async with running(tmp_path) as (first, _):
        (first.directory / "middleware.yaml").write_text("limits: {body: much}\n")
        with successor(first) as second:
            with pytest.raises(AssertionError, match="ended with 1"):
                await started(second)
            assert "configuration refused, this process ends, and a gateway that serves here goes on:" in second.log
            assert "and nothing is taken over: a gateway that serves here goes on" in second.log
            assert "--strict" not in second.log
            assert "nothing is served" not in second.log
        assert (await answer(first)).text == "ok"
        assert httpx2.get(admin_url(first, "/health")).status_code == 200


async def test_a_port_that_is_taken_takes_nothing_over(tmp_path: Path) -> None:
    """Where the new gateway cannot open a port of its own beside those it was given, the old one serves on."""
    async with running(tmp_path) as (first, _):
        taken = socket.create_server(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{taken.getsockname()[1]}"
        with taken, successor(first, "second", "--metrics", metrics) as second:
            with pytest.raises(AssertionError, match="ended with 1"):
                await started(second)
            assert f"than the gateway with pid {first.pid}, which is taken over; stop it" in second.log
            assert "start with --takeover" not in second.log
        await eventually(lambda: "going on" in first.log)
        assert (await answer(first)).headers.get("connection") != "close"
        assert httpx2.get(admin_url(first, "/health")).status_code == 200


async def test_another_state_directory_takes_nothing_over(tmp_path: Path) -> None:
    """There is no gateway to be found there: the error says that, and advises nothing that was done already."""
    async with running(tmp_path) as (first, _):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for file in first.directory.glob("*.yaml"):
            shutil.copy(file, elsewhere)
        second = GatewayProcess(elsewhere, first.port, first.admin_port, {}, ("--takeover",))
        try:
            with pytest.raises(AssertionError, match="ended with 1"):
                await started(second)
            assert f"no gateway waits at {elsewhere / 'state' / FILE}" in second.log
            assert "--takeover needs the same state_directory" in second.log
            assert "start with --takeover" not in second.log
        finally:
            second.stop()
        assert (await answer(first)).text == "ok"


async def test_a_new_gateway_that_dies_is_replaced_by_the_old_one(tmp_path: Path) -> None:
    """Killed while the old one still finishes what it had, it leaves no gap: the old one accepts again, and can be
    taken over again."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second:
            await started(second)
            await eventually(lambda: "leaving" in first.log)
            second.signal(signal.SIGKILL)
            await eventually(lambda: "going on" in first.log)
        assert (await client.get(first.url + "/x")).text == "ok"
        assert httpx2.get(admin_url(first, "/health")).status_code == 200
        upstream.release.set()
        assert (await slow).text == "ok"
        with successor(first, "third") as third:
            await started(third)
            assert await ended(first) == 0
            assert (await client.get(first.url + "/x")).text == "ok"


def refused(port: int) -> bool:
    """Whether nothing listens on a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


async def test_a_new_gateway_that_is_stopped_ends_for_good(tmp_path: Path) -> None:
    """SIGTERM means the gateway, not one process of two: the old one does not come back, and while it finishes what it
    had, others are refused at once, and another gateway can be started in the usual way."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second:
            await started(second)
            second.signal(signal.SIGTERM)
            assert await ended(second) == 0
        for port in (first.port, first.admin_port):
            await eventually(partial(refused, port))  # as soon as the first one has noticed
        third = GatewayProcess(first.directory, first.port, first.admin_port, logs="third")
        try:
            await started(third)
            assert (await client.get(first.url + "/x")).text == "ok"
        finally:
            third.stop()
        upstream.release.set()
        assert (await slow).text == "ok"
        assert await ended(first) == 0


async def test_an_old_gateway_that_dies_in_between_is_not_missed(tmp_path: Path) -> None:
    """Killed while it finishes what it had, it leaves the new one alone with everything, the audit log included."""
    audit = DRAIN + "audit_log: {file: audit.jsonl}\n"
    async with running(tmp_path, audit) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second:
            await started(second)
            await eventually(lambda: "leaving" in first.log)
            first.signal(signal.SIGKILL)
            with pytest.raises(httpx2.TransportError):
                await slow
            await eventually(lambda: "has ended" in second.log)
            assert (await client.get(second.url + "/after")).text == "ok"
            await eventually(lambda: "/after" in (first.directory / "audit.jsonl").read_text())


async def test_a_takeover_of_a_takeover(tmp_path: Path) -> None:
    """A third gateway takes over while the first one still finishes; neither waits for the other."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second, successor(first, "third") as third:
            await started(second)
            await started(third)
            assert await ended(second) == 0
            assert (await client.get(third.url + "/x")).text == "ok"
            upstream.release.set()
            assert (await slow).text == "ok"
            assert await ended(first) == 0
            assert f"taking over from pid {second.pid}" in third.log
            assert (await client.get(third.url + "/x")).text == "ok"


HELD = """- path: /held
  target: held
services:
  held:
    discovery: {consul: {url: "http://127.0.0.1:%d", service: held}, first_answer: 90s}
"""


@asynccontextmanager
async def three(path: Path) -> AsyncIterator[tuple[GatewayProcess, GatewayProcess, GatewayProcess, asyncio.Event]]:
    """Gateways of which the first still leaves, the second serves, and the third has its listeners, but waits for the
    event before it serves, for a registry that does not answer until then."""
    answer = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await answer.wait()
        writer.write(b"HTTP/1.1 500 Not today\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async with (
        running(path) as (first, upstream),
        httpx2.AsyncClient(timeout=30) as client,
        scripted_backend(silent) as at,
    ):
        slow = asyncio.create_task(client.get(first.url + "/slow"))
        await eventually(lambda: upstream.arrived == 1)
        with successor(first) as second, successor(first, "third") as third:
            await started(second)
            await eventually(lambda: "leaving" in first.log)
            routes = (first.directory / "routes.yaml").read_text()
            first.write(routes=routes + HELD % at)
            await asyncio.to_thread(partial(third.start, ready=False))
            await eventually(lambda: f"taking over from pid {second.pid}" in third.log)
            yield first, second, third, answer
            upstream.release.set()
            with contextlib.suppress(httpx2.TransportError):  # where a test has ended the first gateway
                assert (await slow).text == "ok"


async def who_answers(*gateways: GatewayProcess) -> set[str]:
    """The logs of those that take new connections, as their access logs say."""
    path = f"/asked-{time.monotonic_ns()}"
    for _ in range(12):
        async with httpx2.AsyncClient() as client:
            assert (await client.get(gateways[0].url + path)).text == "ok"
    await eventually(lambda: sum(each.access_log.count(f'"path":"{path}"') for each in gateways) == 12)
    return {each.logs for each in gateways if path in each.access_log}


def unix_sockets(gateway: GatewayProcess) -> int:
    """How many it has, with those to gateways that follow it."""
    inodes = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    found = 0
    for each in Path(f"/proc/{gateway.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it was closed meanwhile
            found += str(each.readlink()).removeprefix("socket:[").removesuffix("]") in inodes
    return found


async def test_a_second_that_dies_before_the_third_serves(tmp_path: Path) -> None:
    """The first, which still leaves, serves in the meantime, and leaves again for the third: there are never two."""
    async with three(tmp_path) as (first, second, third, answer):
        second.signal(signal.SIGKILL)
        await eventually(lambda: f"pid {second.pid} has ended after it took over; going on" in first.log)
        assert await who_answers(first, third) == {first.logs}
        answer.set()
        await eventually(lambda: "listening on" in third.log and first.log.count("leaving") == 2)
        assert await who_answers(first, third) == {third.logs}
        assert httpx2.get(admin_url(third, "/health")).status_code == 200


async def test_a_third_that_dies_without_a_second(tmp_path: Path) -> None:
    """Where both die that followed it, the first goes on serving, and another can take over from it."""
    async with three(tmp_path) as (first, second, third, _):
        second.signal(signal.SIGKILL)
        third.signal(signal.SIGKILL)
        await eventually(lambda: "going on" in first.log)
        assert await who_answers(first) == {first.logs}
        with successor(first, "fourth") as fourth:
            first.write(routes=(first.directory / "routes.yaml").read_text().partition("- path: /held")[0])
            await started(fourth)
            await eventually(lambda: first.log.count("leaving") == 2)
            assert await who_answers(first, fourth) == {fourth.logs}


async def test_the_first_stays_away_as_long_as_any_that_follows_serves(tmp_path: Path) -> None:
    """Also where the second dies behind it; and where the third dies, too, the first is there again."""
    async with three(tmp_path) as (first, second, third, answer):
        answer.set()
        await eventually(lambda: "listening on" in third.log)
        connected = unix_sockets(first)
        second.signal(signal.SIGKILL)
        await ended(second)
        await eventually(lambda: unix_sockets(first) < connected)  # it has heard of that end
        # Unless it had heard already that the third serves, it goes on until then.
        await eventually(lambda: first.log.count("leaving") == first.log.count("going on") + 1)
        async with asyncio.timeout(60):
            while await who_answers(first, third) != {third.logs}:
                pass
        assert await who_answers(first, third) == {third.logs}
        third.signal(signal.SIGKILL)
        await eventually(lambda: f"pid {third.pid} has ended after it took over; going on" in first.log)
        assert await who_answers(first) == {first.logs}


async def test_the_end_of_the_third_is_the_end_of_all(tmp_path: Path) -> None:
    """SIGTERM to it means the gateway: neither of those that it followed comes back."""
    async with three(tmp_path) as (first, second, third, answer):
        answer.set()
        await eventually(lambda: "listening on" in third.log)
        third.signal(signal.SIGTERM)
        assert await ended(third) == 0
        assert await ended(second) == 0
        with pytest.raises(httpx2.TransportError):
            await asyncio.to_thread(get, first, "/x")
        assert "going on" not in first.log + second.log


async def test_five_in_a_row(tmp_path: Path) -> None:
    """Each has the place of the one before, which still finishes a request of its own; none is lost on the way."""
    async with running(tmp_path) as (first, upstream), httpx2.AsyncClient(timeout=30) as client:
        over = asyncio.Event()
        load = asyncio.create_task(asking(first.url, 2, over, kept=False))
        slow: list[asyncio.Task[httpx2.Response]] = []
        with contextlib.ExitStack() as stack:
            gateways = [first]
            for number in range(5):
                slow.append(asyncio.create_task(client.get(first.url + "/slow")))
                await eventually(lambda: upstream.slow == len(slow))
                gateways.append(stack.enter_context(successor(first, f"number-{number}")))
                await started(gateways[-1])
            over.set()
            assert set(await load) == {200}
            upstream.release.set()
            assert [(await each).text for each in slow] == ["ok"] * 5
            assert [await ended(each) for each in gateways[:-1]] == [0] * 5
            assert (await answer(gateways[-1])).text == "ok"


async def test_one_that_drains_already_is_taken_over(tmp_path: Path) -> None:
    """A new gateway comes before an old one that got a SIGTERM has ended: no request is lost."""
    async with running(tmp_path, "drain: {window: 12s, deadline: 40s}\n") as (first, _):
        over = asyncio.Event()
        load = asyncio.create_task(asking(first.url, 2, over, kept=False))
        first.signal(signal.SIGTERM)
        await eventually(lambda: "draining" in first.log)
        with successor(first) as second:
            await started(second)
            assert await ended(first) == 0
            assert (await answer(second)).text == "ok"
            over.set()
            assert set(await load) == {200}


async def test_something_else_in_the_place_of_the_socket(tmp_path: Path) -> None:
    """A gateway serves all the same, says that none can take over from it, and leaves nothing behind."""
    (tmp_path / "config" / "state" / FILE).mkdir(parents=True)
    async with running(tmp_path) as (first, _):
        await eventually(lambda: "Is a directory; remove the file" in first.log)
        assert (await answer(first)).text == "ok"
        assert [each.name for each in _path(first).parent.glob(f".{FILE}*")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_gets_the_reason(tmp_path: Path) -> None:
    """Without access to the state directory, the error says so, and not only that the port is in use."""
    state = tmp_path / "state"
    state.mkdir(0o700)
    asked = "import os, sys; from pathlib import Path; from gateway.server.handover import ask; "
    asked += "os.seteuid(65534); print(ask(Path(sys.argv[1])))"
    ended = subprocess.run([sys.executable, "-c", asked, state], capture_output=True, text=True, check=False)
    assert ended.stdout == "None\n"
    assert "may belong to a gateway of another user: Permission denied; run both as one user" in ended.stderr


def _path(gateway: GatewayProcess) -> Path:
    return gateway.directory / "state" / FILE


@contextmanager
def _connected(gateway: GatewayProcess) -> Iterator[socket.socket]:
    directory = os.open(_path(gateway).parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(30)
        connection.connect(f"/proc/self/fd/{directory}/{FILE}")
        os.close(directory)
        yield connection


async def test_another_protocol_is_refused(tmp_path: Path) -> None:
    """A gateway of another version gets the supported protocol and no listeners, and this one serves on."""
    async with running(tmp_path) as (first, _):
        with _connected(first) as connection:
            connection.send(json.dumps({"protocol": PROTOCOL + 1, "pid": 1}).encode())
            data, descriptors, _, _ = socket.recv_fds(connection, 4096, 16)
        assert "version 2 of the protocol" in json.loads(data)["refused"]
        assert descriptors == []
        assert (await answer(first)).text == "ok"


async def test_one_at_a_time(tmp_path: Path) -> None:
    """Two that want to take over at once: the second reports which one is first."""
    async with running(tmp_path) as (first, _):
        with _connected(first) as one, _connected(first) as two:
            one.send(json.dumps({"protocol": PROTOCOL}).encode())
            until(lambda: "takes over" in first.log)
            two.send(json.dumps({"protocol": PROTOCOL}).encode())
            assert f"pid {os.getpid()} is taking over already" in json.loads(two.recv(4096))["refused"]
        assert (await answer(first)).text == "ok"


async def test_an_old_gateway_that_does_not_answer(tmp_path: Path) -> None:
    """Where it hangs, the new one says so after a while, with its pid and what to do, and ends with 1."""
    async with running(tmp_path) as (first, _):
        first.signal(signal.SIGSTOP)
        try:
            with successor(first) as second:
                with pytest.raises(AssertionError, match="ended with 1"):
                    await started(second)
                assert f"the gateway with pid {first.pid}" in second.log
        finally:
            first.signal(signal.SIGCONT)
        assert (await answer(first)).text == "ok"


HURRIED = """
import asyncio, os
from gateway.server import offer

offer.SERVE_SECONDS = 1.0

class P:
    async def start(self):
        await asyncio.sleep(float(os.environ.get("SLOW", "0")))
    def wrap(self, handler):
        return handler
"""


@pytest.fixture
def hurried(tmp_path: Path) -> str:
    """The middleware.yaml of gateways that wait for a second only, and need as long as SLOW says until they serve."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "p.py").write_text(HURRIED)
    return DRAIN + "policies: {mine: {class: 'p.py:P'}}\nreload: {policy_timeout: 30s}\n"


async def test_a_new_gateway_that_hangs_before_it_serves(tmp_path: Path, hurried: str) -> None:
    """The old one goes on, its admin port too, and names the process. That one ends once it runs again, and only then
    another may take over."""
    async with running(tmp_path, hurried) as (first, _):
        with successor(first) as second, successor(first, "third") as third:
            second.environment = {"SLOW": "4"}
            starting = asyncio.create_task(asyncio.to_thread(second.start))
            await eventually(lambda: "going on" in first.log)
            assert f"pid {second.pid} has not served" in first.log
            assert httpx2.get(admin_url(first, "/health"), timeout=30).status_code == 200
            with pytest.raises(AssertionError, match="ended with 1"):
                await started(third)
            assert f"pid {second.pid} is taking over already" in third.log
            await starting
            assert await ended(second) == 1
            assert f"the gateway with pid {first.pid} goes on" in second.log
        assert httpx2.get(admin_url(first, "/health"), timeout=30).status_code == 200
        with successor(first, "fourth") as fourth:
            await started(fourth)
            assert await ended(first) == 0
            assert (await answer(fourth)).text == "ok"


async def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    """No other user can connect to it."""
    async with running(tmp_path) as (first, _):
        assert _path(first).stat().st_mode & 0o777 == 0o600


async def test_a_second_gateway_of_the_same_state_directory_is_noticed(tmp_path: Path) -> None:
    """Started without --takeover, on other ports, it leaves the socket to the first one, and its log says so."""
    async with running(tmp_path) as (first, _):
        other = GatewayProcess(first.directory, logs="other")
        try:
            await started(other)
            await eventually(lambda: "give each one its own state_directory" in other.log)
        finally:
            other.stop()
        with successor(first) as second:
            await started(second)
            assert f"taking over from pid {first.pid}" in second.log
