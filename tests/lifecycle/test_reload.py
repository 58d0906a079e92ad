"""New contents of the files become the configuration in force: whole, once, and without an interruption."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from websockets.asyncio.client import connect

from tests.lifecycle.support import admin_url, answers, backend, get, health, reload, websocket_backend
from tests.support import GatewayProcess, eventually, running_gateway

ONE = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
TWO = ONE.replace(":one", ":two")
BAD = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:two\n  upstrem: 1\n"
POLLS = 1.2  # seconds in which the files are looked at some times
GROWN = 4 * 1024 * 1024  # bytes, of a hundred reloads


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("reload"), ONE) as process:
        yield process


@pytest.fixture(autouse=True)
async def fresh(gateway: GatewayProcess) -> None:
    """Every test begins with the same configuration."""
    for path in gateway.directory.iterdir():
        if path.name != "state":
            path.unlink()
    gateway.write(ONE)
    assert reload(gateway).status_code == 200
    assert get(gateway, "/x").text == "one"


async def test_a_file_written_in_place_is_applied(gateway: GatewayProcess) -> None:
    """An editor that truncates a file and writes it again is noticed."""
    (gateway.directory / "routes.yaml").write_text(TWO)
    await answers(gateway, "/x", "two")


async def test_a_file_replaced_by_rename_is_applied(gateway: GatewayProcess) -> None:
    """An editor that writes another file and renames it is noticed."""
    gateway.write(TWO)
    await answers(gateway, "/x", "two")


async def test_the_same_contents_are_no_change(gateway: GatewayProcess) -> None:
    """Touching or rewriting a file without changing it reloads nothing."""
    before = _in_force(gateway)
    (gateway.directory / "routes.yaml").write_text(ONE)
    os.utime(gateway.directory / "routes.yaml")
    await asyncio.sleep(POLLS)
    assert _in_force(gateway) == before


def _in_force(gateway: GatewayProcess) -> dict[str, Any]:
    """What /health says of the configuration; what it says of a machine that is busy may change."""
    return {name: value for name, value in health(gateway).items() if name != "failing"}


def _swap(directory: Path, version: str, routes: str, middleware: str) -> None:
    """As kubelet does it: a new directory, and the `..data` symlink renamed over the old one."""
    data = directory / f"..{version}"
    data.mkdir()
    (data / "routes.yaml").write_text(routes)
    (data / "middleware.yaml").write_text(middleware)
    (directory / "..data_tmp").symlink_to(data.name)
    (directory / "..data_tmp").rename(directory / "..data")


async def test_a_configmap_is_followed(tmp_path: Path) -> None:
    """A swap of `..data` is applied, and of two swaps in quick succession the last, never a mixture."""
    config = tmp_path / "config"
    config.mkdir()
    _swap(config, "1", ONE, "limits: {headers: 101}")
    for name in ("routes.yaml", "middleware.yaml"):
        (config / name).symlink_to(f"..data/{name}")
    process = GatewayProcess(config)
    process.start()
    try:
        _swap(config, "2", TWO, "limits: {headers: 102}")
        await answers(process, "/x", "two")
        before = health(process)["reloads"]
        process.signal(signal.SIGSTOP)  # so that the swaps are quick for it, however slow this process is
        _swap(config, "3", TWO, "limits: {headers: 103}")
        _swap(config, "4", ONE, "limits: {headers: 104}")
        process.signal(signal.SIGCONT)
        await answers(process, "/x", "one")
        assert httpx2.get(admin_url(process, "/config")).json()["middleware.yaml"]["limits"]["headers"] == 104
        assert health(process)["reloads"] == before + 1
    finally:
        process.stop()


async def test_files_of_other_teams_come_and_go(gateway: GatewayProcess) -> None:
    """A route file that is added, changed or removed is applied like routes.yaml; a bad one changes nothing."""
    team = gateway.directory / "routes.team.yaml"
    team.write_text("- {path: /team, target: 'asgi:tests.lifecycle.apps:one'}\n")
    await answers(gateway, "/team", "one")
    team.write_text("- {path: /team, target: 'asgi:tests.lifecycle.apps:two'}\n")
    await answers(gateway, "/team", "two")
    team.write_text("- {path: /team, targt: 'asgi:tests.lifecycle.apps:two'}\n")
    await eventually(lambda: bool(health(gateway)["errors"]))
    assert all(error.startswith("routes.team.yaml:1:") for error in health(gateway)["errors"])
    assert (get(gateway, "/team").text, get(gateway, "/x").text) == ("two", "one")
    team.unlink()
    await eventually(lambda: get(gateway, "/team").status_code == 404)
    assert (get(gateway, "/x").text, health(gateway)["errors"]) == ("one", [])


async def test_a_key_that_a_configmap_gets_is_a_route_file(tmp_path: Path) -> None:
    """Also while its link is still there after the swap, as kubelet leaves it for a moment."""
    config = tmp_path / "config"
    config.mkdir()
    _swap(config, "1", ONE, "")
    (config / "routes.yaml").symlink_to("..data/routes.yaml")
    process = GatewayProcess(config)
    process.start()
    try:
        data = config / "..2"
        _swap(config, "2", ONE, "")
        (data / "routes.team.yaml").write_text("- {path: /team, target: 'asgi:tests.lifecycle.apps:two'}\n")
        (config / "routes.team.yaml").symlink_to("..data/routes.team.yaml")
        await answers(process, "/team", "two")
        _swap(config, "3", TWO, "")
        (config / "routes.team.yaml").unlink()
        await answers(process, "/x", "two")
        assert get(process, "/team").status_code == 404
    finally:
        process.stop()


async def test_a_file_that_is_being_written_is_not_applied(gateway: GatewayProcess) -> None:
    """As long as a writer holds the file open, its contents do not count, valid or not, also on an explicit reload."""
    with (gateway.directory / "routes.yaml").open("w") as file:
        file.write("routes:\n- path: /other\n  target: asgi:tests.lifecycle.apps:two\n")
        file.flush()
        gateway.signal(signal.SIGHUP)
        answer = reload(gateway)
        assert answer.status_code == 409
        assert "writing" in answer.json()["error"]
        assert get(gateway, "/x").text == "one"
        file.write("- path: /x\n  target: asgi:tests.lifecycle.apps:two\n")
    await answers(gateway, "/x", "two")


async def test_a_secret_that_is_being_written_is_not_used(tmp_path: Path) -> None:
    """Half of a key is none: as long as a writer holds a file that the configuration names, the former contents count,
    also on an explicit reload; also where the file is named for the first time, or stands in a directory."""
    directory = tmp_path / "config"
    (directory / "keys").mkdir(parents=True)
    (directory / "keys" / "bob").write_text("bobs-key-0123456789-0123456789")
    (directory / "key").write_text("former-key-0123456789-0123456789")
    auth = """\
schemes: {keys: {api_key: {header: X-Key, directory: keys}}}
consumers: [{name: ann, keys: [{key: "${file:%s}"}]}]
"""
    with running_gateway(tmp_path, ONE + "  auth: [keys]\n", auth=auth % "key") as gateway:

        def statuses(*keys: str) -> list[int]:
            return [httpx2.get(f"{gateway.url}/x", headers={"x-key": key}).status_code for key in keys]

        with (directory / "key").open("w") as first, (directory / "keys" / "bob").open("w") as second:
            for file in (first, second):
                file.write("latter-key-0123456789-01")
                file.flush()
            await asyncio.sleep(POLLS)
            assert reload(gateway).status_code == 409
            former = statuses(
                "former-key-0123456789-0123456789", "bobs-key-0123456789-0123456789", "latter-key-0123456789-01"
            )
            assert former == [200, 200, 401]
            first.write("23456789")
            second.write("-bob")
        await eventually(
            lambda: statuses("latter-key-0123456789-0123456789", "latter-key-0123456789-01-bob") == [200, 200]
        )
        with (directory / "other").open("w") as file:
            file.write("another-key-0123456789-01")
            file.flush()
            gateway.write(auth=auth % "other")
            await asyncio.sleep(POLLS)
            assert reload(gateway).status_code == 409
            assert statuses("latter-key-0123456789-0123456789", "another-key-0123456789-01") == [200, 401]
            file.write("23456789")
        await eventually(lambda: statuses("another-key-0123456789-0123456789") == [200])
        assert "refused" not in gateway.log


async def test_files_are_half_written_under_load(gateway: GatewayProcess) -> None:
    """A file that is written piece by piece, of which each would do, is applied whole only, also where each is followed
    by a reload on demand: every request is answered as the former file or the new one says."""
    routes = [f"- path: /{number}\n  target: asgi:tests.lifecycle.apps:{{}}\n" for number in range(6)]

    def whole(app: str) -> str:
        return "routes:\n" + "".join(route.format(app) for route in routes)

    gateway.write(whole("one"))
    assert reload(gateway).status_code == 200
    reloads, over, seen = health(gateway)["reloads"], asyncio.Event(), set[str]()

    async def load() -> None:
        async with patient(gateway) as client:
            while not over.is_set():
                for number in range(6):
                    answer = await client.get(f"/{number}")
                    seen.add(f"{answer.status_code} {answer.text}")

    tasks = [asyncio.create_task(load()) for _ in range(3)]
    for app in ("two", "one"):
        with (gateway.directory / "routes.yaml").open("w") as file:
            for piece in ("routes:\n", *(route.format(app) for route in routes)):
                file.write(piece)
                file.flush()
                gateway.signal(signal.SIGHUP)
                await asyncio.sleep(POLLS / 4)
        await answers(gateway, "/5", app)
    over.set()
    await asyncio.gather(*tasks)
    assert seen == {"200 one", "200 two"}
    assert health(gateway)["reloads"] >= reloads + 2


async def test_a_bad_file_changes_nothing(gateway: GatewayProcess) -> None:
    """The last good configuration serves on; the log says once what is wrong, and /health until it is corrected."""
    digest, logged = health(gateway)["digest"], len(gateway.log)
    gateway.write(BAD)
    await eventually(lambda: bool(health(gateway)["errors"]))
    assert get(gateway, "/x").text == "one"
    assert health(gateway)["digest"] == digest
    assert get(gateway, "/health/ready").status_code == 200
    assert re.match(r"routes\.yaml:4:3: routes\[0\]\.upstrem: ", health(gateway)["errors"][0])
    await eventually(lambda: "upstrem" in gateway.log[logged:])
    await asyncio.sleep(POLLS)
    assert gateway.log[logged:].count("upstrem") == 1
    gateway.write(TWO)
    await answers(gateway, "/x", "two")
    assert health(gateway)["errors"] == []


async def test_a_file_set_back_after_an_error_clears_the_error(gateway: GatewayProcess) -> None:
    """Going back to what is in force already ends the complaint."""
    gateway.write(BAD)
    await eventually(lambda: bool(health(gateway)["errors"]))
    gateway.write(ONE)
    await eventually(lambda: not health(gateway)["errors"])


async def test_a_missing_file_changes_nothing(gateway: GatewayProcess) -> None:
    """A directory without routes.yaml, as when a volume is lost, leaves the last good configuration in force."""
    (gateway.directory / "routes.yaml").unlink()
    await eventually(lambda: "the file does not exist" in str(health(gateway)["errors"]))
    assert get(gateway, "/x").text == "one"


@pytest.mark.parametrize("target", ["tests.lifecycle.exits:app", "tests.lifecycle.nothing:app"])
async def test_an_application_that_cannot_be_imported_changes_nothing(gateway: GatewayProcess, target: str) -> None:
    """Whatever the import of an application does, the gateway serves on with what it had."""
    gateway.write(ONE.replace("tests.lifecycle.apps:one", target))
    assert reload(gateway).status_code == 422
    assert get(gateway, "/x").text == "one"


async def test_a_reload_on_demand_reports_every_error(gateway: GatewayProcess) -> None:
    """POST /reload answers 422 with the errors of all files at once."""
    gateway.write(BAD, middleware="limits: {head: none}\n")
    answer = reload(gateway)
    assert answer.status_code == 422
    assert [error.split(":")[0] for error in answer.json()["errors"]] == ["routes.yaml", "middleware.yaml"]


async def test_a_hangup_reads_secret_files_again(gateway: GatewayProcess) -> None:
    """SIGHUP takes the new contents of a file that a value refers to, although the three files are the same."""
    (gateway.directory / "name").write_text("one")
    gateway.write("routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:${file:name}\n")
    assert reload(gateway).status_code == 200
    (gateway.directory / "name").write_text("two")
    gateway.signal(signal.SIGHUP)
    await answers(gateway, "/x", "two")


async def test_the_access_log_moves_with_the_configuration(gateway: GatewayProcess, tmp_path: Path) -> None:
    """A changed access_log takes effect without a restart; one that cannot be written is refused."""
    file = tmp_path / "access.log"
    gateway.write(middleware=f"access_log: {{output: {file}}}")
    assert reload(gateway).status_code == 200
    get(gateway, "/moved")
    await eventually(lambda: file.exists() and "/moved" in file.read_text())
    assert "/moved" not in gateway.access_log
    gateway.write(middleware=f"access_log: {{output: {tmp_path}/no/such/directory}}")
    answer = reload(gateway)
    assert answer.status_code == 422
    assert re.match(r"middleware\.yaml:1:\d+: access_log\.output: .* cannot be written: ", answer.json()["errors"][0])
    get(gateway, "/still")
    await eventually(lambda: "/still" in file.read_text())


async def test_endpoints_that_stay_keep_their_connections_and_those_that_go_lose_them(gateway: GatewayProcess) -> None:
    """A reload closes the idle connections of removed endpoints, and leaves those of the others with their counters."""
    async with backend() as stays, backend() as goes:
        routes = f"routes:\n- path: /stays\n  target: 127.0.0.1:{stays.port}\n"
        gateway.write(routes + f"- path: /goes\n  target: 127.0.0.1:{goes.port}\n")
        await asyncio.to_thread(reload, gateway)
        async with httpx2.AsyncClient(base_url=gateway.url) as client:
            assert (await client.get("/stays")).text == (await client.get("/goes")).text == "ok"
            gateway.write(routes)
            await asyncio.to_thread(reload, gateway)
            await eventually(lambda: goes.open == 0)
            assert stays.open == 1
            assert (await client.get("/stays")).text == "ok"
            endpoints = (await client.get(admin_url(gateway, "/endpoints"))).json()
        assert stays.opened == 1
        assert [(entry["endpoint"], entry["requests"]) for entry in endpoints] == [(f"127.0.0.1:{stays.port}", 2)]


async def test_a_request_in_flight_ends_as_it_began(gateway: GatewayProcess) -> None:
    """A reload that removes its route does not touch a request that is on its way."""
    async with backend() as slow, httpx2.AsyncClient(base_url=gateway.url) as client:
        gateway.write(f"routes:\n- path: /slow\n  target: 127.0.0.1:{slow.port}\n")
        await asyncio.to_thread(reload, gateway)
        request = asyncio.create_task(client.get("/slow"))
        await eventually(lambda: slow.arrived == 1)
        gateway.write(ONE)
        await asyncio.to_thread(reload, gateway)
        assert (await client.get("/slow")).status_code == 404
        slow.release.set()
        assert (await request).text == "ok"
        await eventually(lambda: slow.open == 0)


def patient(gateway: GatewayProcess) -> httpx2.AsyncClient:
    """A client that waits for a machine that is busy."""
    return httpx2.AsyncClient(base_url=gateway.url, timeout=30)


async def test_a_hundred_reloads_under_load(gateway: GatewayProcess) -> None:
    """No request fails, memory does not grow, and WebSockets and event streams on untouched routes stay up."""
    async with backend() as upstream, websocket_backend() as echo, patient(gateway) as client:
        routes = f"- path: /v1/*\n  target: 127.0.0.1:{upstream.port}\n- path: /ws\n  target: 127.0.0.1:{echo}\n"
        statuses: set[int] = set()
        over = asyncio.Event()

        async def load() -> None:
            while not over.is_set():
                statuses.add((await client.get("/v1/x")).status_code)

        async def swap(number: int) -> None:
            gateway.write(f"routes:\n{routes}- path: /changes/{number}\n  target: 127.0.0.1:{upstream.port}\n")
            assert (await client.post(admin_url(gateway, "/reload"), headers=gateway.admin_token)).status_code == 200

        await swap(0)
        async with connect(f"ws://127.0.0.1:{gateway.port}/ws") as websocket, client.stream("GET", "/v1/events") as sse:
            events = sse.aiter_lines()
            assert await anext(events) == "data: first"
            tasks = [asyncio.create_task(load()) for _ in range(4)]
            for number in range(30):
                await swap(number)
            grown: list[int] = []
            while not grown or (grown[-1] >= GROWN and len(grown) < 3):  # what is not given back grows each time
                before = gateway.memory()
                for number in range(100):
                    await swap(number)
                    await websocket.send(str(number))
                    assert await websocket.recv() == str(number)
                grown.append(gateway.memory() - before)
            over.set()
            await asyncio.gather(*tasks)
            upstream.release.set()
            assert "data: last" in [line async for line in events]
        assert statuses == {200}
        assert min(grown) < GROWN
    # Without the loaded configuration it is not known what is sampled: every exchange has its line.
    lines = [orjson.loads(line) for line in gateway.access_log.splitlines()]
    assert not [line for line in lines if line["status"] >= 500]


async def test_a_misspelt_host_is_reported(gateway: GatewayProcess) -> None:
    """A target whose name does not resolve is taken up, and the log warns of it, with its place; once, not at each
    reload."""
    gateway.write(ONE + "- path: /y\n  target: no-such-host.invalid:80\n")
    warning = "routes.yaml:5:3: routes[1].target: no-such-host.invalid does not resolve here"
    await eventually(lambda: warning in gateway.log)
    gateway.write(ONE + "- path: /z\n  target: no-such-host.invalid:80\n- path: /w\n  target: other-host.invalid:80\n")
    await eventually(lambda: "other-host.invalid does not resolve here" in gateway.log)
    assert gateway.log.count("no-such-host.invalid does not resolve here") == 1
