"""A control plane that is cut off, gone, or without its database, for minutes: no request at the gateways notices."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2
import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.managed.line import OPEN_SECONDS
from gateway.managed.link import LONGEST_PAUSE
from tests.control_plane.postgres import VERSIONS, Postgres, programs, running_postgres
from tests.control_plane.process import ControlPlaneProcess, running_control_plane
from tests.control_plane.rollout_estate import Estate, backend, belonging, estate, routes
from tests.gamedays.network import MAY_DIVIDE, divided, relay
from tests.support import GatewayProcess
from tests.upstream.wire import read_message

SPLIT_SECONDS: Final = float(os.environ.get("CONTROL_PLANE_SPLIT_SECONDS", "300"))
AWAY_SECONDS: Final = float(os.environ.get("CONTROL_PLANE_AWAY_SECONDS", "60"))
PROBE_SECONDS: Final = 30.0  # between two probes of a gateway, where nothing is configured
STEPS: Final = "does the work 'rollouts' now"
KEY: Final = "gw_cdycbpN8qRmu6so6-CP1YXMO9zqHv8aJ5vQFIeWZNZI"
AUTH: Final = """\
schemes:
  keys:
    api_key: {header: X-API-Key}
consumers:
- name: people
  keys:
  - hash: sha256:04e785519f3bb12777cd694619639973ba1397f4f50068378c17d260b480051b
"""
ROLES: Final = 'roles:\n- {role: admin, consumers: [people], environments: ["*"]}\n'

pytestmark = [pytest.mark.long, pytest.mark.timeout(300 + 4 * (SPLIT_SECONDS + AWAY_SECONDS))]


@dataclass
class Clients:
    """One for each gateway, which asks it three times a second on new connections. `failures`: of which gateway, and
    what came."""

    made: Estate
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    resting: set[str] = field(default_factory=set)

    async def run(self, name: str) -> None:
        while True:
            await asyncio.sleep(0.3)
            if name in self.resting:
                continue
            try:
                async with asyncio.timeout(10):
                    status = await self._ask(self.made.gateways[name])
            except (OSError, EOFError, TimeoutError) as error:
                self.failures.append((name, repr(error)))
                continue
            self.answered[name] += 1
            if status != 200:
                self.failures.append((name, str(status)))

    async def _ask(self, gateway: GatewayProcess) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return (await read_message(reader)).status
        finally:
            writer.close()


@asynccontextmanager
async def asking(made: Estate) -> AsyncIterator[Clients]:
    """Clients that ask while the block runs; none of their requests fails."""
    clients = Clients(made)
    tasks = [asyncio.create_task(clients.run(name)) for name in made.gateways]
    try:
        yield clients
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(f"answered {dict(clients.answered)}, failed {clients.failures}")
    assert clients.failures == []
    assert min(clients.answered.values()) > 10


class InNamespace(ControlPlaneProcess):
    """One that people reach by an address of its own, with a key."""

    @property
    def headers(self) -> dict[str, str]:
        return {"x-api-key": KEY}


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """One to be stopped: the newest that is here."""
    version = next((each for each in reversed(VERSIONS) if programs(each)), None)
    if version is None:
        pytest.skip("there is no PostgreSQL: make test-control-plane installs it")
    with running_postgres(version) as server:
        yield server


@pytest.mark.skipif(not MAY_DIVIDE, reason="only root makes network namespaces, with ip of iproute2")
async def test_network_is_split(tmp_path: Path) -> None:
    """Five minutes without a packet: the gateways are shown as not connected, and have what was rolled out meanwhile
    as soon as they try again."""
    directory = tmp_path / "plane"
    directory.mkdir()
    (directory / "auth.yaml").write_text(AUTH)
    (directory / "control-plane.yaml").write_text(ROLES)
    with divided() as network:
        plane = InNamespace(directory, ("--host", "0.0.0.0"), host=network.for_people, before=network.inside)
        try:
            plane.start()
            async with (
                backend(200) as old,
                backend(200) as new,
                belonging(
                    tmp_path,
                    plane,
                    f"http://{network.for_gateways}:{plane.port}",
                    routes(old),
                    production=("p1", "p2"),
                ) as made,
                asking(made),
            ):
                await rolled_out(made, old)
                network.cut()
                began = time.monotonic()
                await made.until(lambda: shown(made, connected=False), 60)
                print(f"shown as not connected after {time.monotonic() - began:.0f} s")
                digest = await made.push(new)
                await made.rollout("production", revision=digest, timeout="1h")
                while time.monotonic() - began < SPLIT_SECONDS:  # noqa: ASYNC110  time is what is waited for
                    await asyncio.sleep(1)
                assert await shown(made, connected=False)
                assert await says(made, "not connected since", "within 10 s")
                assert {await made.served(name) for name in made.gateways} == {old}
                network.mend()
                await connected_in_time(made, SPLIT_SECONDS)
                await made.until_all_run(digest)
                await made.until(lambda: in_sync(made))
                assert {await made.served(name) for name in made.gateways} == {new}
        finally:
            plane.stop()


async def test_control_plane_is_gone_and_comes_back_with_an_older_database(tmp_path: Path) -> None:
    """Gateways that are restarted meanwhile keep their routes, and say afterwards why they do not go back."""
    state, copy = tmp_path / "plane" / "state", tmp_path / "older"
    async with (
        backend(200) as one,
        backend(200) as two,
        estate(tmp_path, routes(one), production=("p1", "p2")) as made,
        asking(made) as clients,
    ):
        first = await rolled_out(made, one)
        await asyncio.to_thread(made.plane.stop)
        shutil.copytree(state, copy)
        await asyncio.to_thread(made.plane.start)
        second = await rolled_out(made, two)

        await asyncio.to_thread(made.plane.kill)
        await asyncio.sleep(AWAY_SECONDS / 2)
        await taken_over(made, "p1")
        await restarted(made, "p2", clients)
        assert {await made.served(name) for name in made.gateways} == {two}
        await made.until(lambda: says(made, f"runs {second[:12]} (last good)"))
        await asyncio.sleep(AWAY_SECONDS / 2)
        assert {await made.served(name) for name in made.gateways} == {two}
        assert await says(made, "not connected since")

        shutil.rmtree(state)
        shutil.copytree(copy, state)
        await asyncio.to_thread(made.plane.start)
        await connected_in_time(made, AWAY_SECONDS)

        await made.until(lambda: says(made, f"{first[:12]} is wanted", "what the control plane wants is not served"))
        print(await explain(made, "p1"))
        assert {await made.served(name) for name in made.gateways} == {two}
        assert set((await made.running()).values()) == {second}
        assert await made.push(two) == second
        await rolled_out(made, two)


async def test_postgresql_is_stopped_for_a_minute(postgres: Postgres, tmp_path: Path) -> None:
    """Reads are 503 with Retry-After, gateways serve, and the health job goes on within two intervals."""
    with (
        postgres.database() as url,
        running_control_plane(with_database(tmp_path / "plane", url), ("--migrate",)) as plane,
    ):
        async with (
            backend(200) as old,
            backend(200) as new,
            belonging(tmp_path, plane, plane.url, routes(old), production=("p1", "p2")) as made,
            asking(made),
        ):
            await rolled_out(made, old)
            for name, gateway in made.gateways.items():
                config = {"controlPlaneUrl": f"http://127.0.0.1:{gateway.admin_port}"}
                await made.ask("PUT", f"gateways/{made.ids[name]}", displayName=name, adapterConfig=config)
            await made.until(lambda: probed(made, {}))
            await asyncio.to_thread(postgres.stop)
            began, answers = time.monotonic(), Counter[tuple[int, bool]]()
            while time.monotonic() - began < AWAY_SECONDS:
                answers[await asked(made, "gateways")] += 1
                await asyncio.sleep(0.5)
            print(f"answers without a database (status, Retry-After): {dict(answers)}")
            assert set(answers) == {(503, True)}
            assert {await made.served(name) for name in made.gateways} == {old}
            await asyncio.to_thread(postgres.start)
            began = time.monotonic()
            await made.until(lambda: answered(made))
            before = await probes(made)
            await made.until(lambda: probed(made, before), 2 * PROBE_SECONDS)
            print(f"probed again after {time.monotonic() - began:.1f} s")
            assert {each["status"] for each in (await made.ask("GET", "gateways/status"))["gateways"]} == {"ACTIVE"}
            await rolled_out(made, new)


async def test_one_of_two_control_planes_is_killed_in_a_rollout(postgres: Postgres, tmp_path: Path) -> None:
    """The one that steps a rollout, and that the gateways are connected to: the other one finishes it."""
    with (
        postgres.database() as url,
        running_control_plane(with_database(tmp_path / "first", url), ("--migrate",)) as first,
        running_control_plane(with_database(tmp_path / "second", url)) as second,
    ):
        async with (
            relay([first, second]) as way,
            backend(200) as old,
            backend(200) as new,
            belonging(tmp_path, first, way, routes(old), production=("p1", "p2")) as made,
            asking(made),
        ):
            await rolled_out(made, old)
            assert [STEPS in each.log for each in (first, second)] == [True, False]
            digest = await made.push(new)
            rollout = await made.rollout("production", revision=digest, canary=1, wait="10s")

            async def judging() -> bool:
                return "judging" in (await made.ask("GET", f"rollouts/{rollout}")).values()

            await made.until(judging)
            await asyncio.to_thread(first.kill)
            began, made.plane = time.monotonic(), second
            ended = await made.ended(rollout, 150)
            print(f"ended {time.monotonic() - began:.0f} s after the kill: {ended['state']}")
            assert ended["state"] == "done"
            assert STEPS in second.log
            await made.until_all_run(digest)
            assert {await made.served(name) for name in made.gateways} == {new}


def with_database(directory: Path, url: str) -> Path:
    """The directory of a control plane on this database, whose gateways may be on this machine."""
    directory.mkdir()
    (directory / "control-plane.yaml").write_text(f"networks: [loopback]\ndatabase: {url}\n")
    return directory


async def rolled_out(made: Estate, port: int) -> str:
    """All gateways run a revision that leads there; which."""
    digest = await made.push(port)
    assert (await made.ended(await made.rollout("production", revision=digest)))["state"] == "done"
    await made.until_all_run(digest)
    return digest


async def shown(made: Estate, *, connected: bool) -> bool:
    """Whether all gateways are shown so."""
    return {each["connected"] for each in (await made.ask("GET", "gateways/status"))["gateways"]} == {connected}


async def in_sync(made: Estate) -> bool:
    """Whether all gateways run what is wanted."""
    found = (await made.ask("GET", "gateways/status"))["gateways"]
    return all(
        one["revision"] == each["wantedRevision"] for each in found for one in each["instances"] if one["connected"]
    )


async def connected_in_time(made: Estate, away: float) -> None:
    """Wait until both sides say that all gateways are connected. A pause is as long as all of those before it."""
    began = time.monotonic()

    async def connected() -> bool:
        return await says(made, "connected by") and await shown(made, connected=True)

    await made.until(connected, 1.25 * min(LONGEST_PAUSE, away) + 3 * OPEN_SECONDS)
    print(f"connected {time.monotonic() - began:.0f} s after {away:g} s")


async def explain(made: Estate, name: str) -> str:
    """What `gateway status` says of a gateway."""
    gateway = made.gateways[name]
    command = ["status", "--admin", f"127.0.0.1:{gateway.admin_port}"]
    return (await asyncio.to_thread(CliRunner().invoke, main, command)).output


async def says(made: Estate, *words: str) -> bool:
    """Whether `gateway status` says this of all gateways."""
    said = [await explain(made, name) for name in made.gateways]
    return all(each in text for text in said for each in words)


async def taken_over(made: Estate, name: str) -> None:
    """Another process of the gateway takes over from the one that runs."""
    former = made.gateways[name]
    gateway = GatewayProcess(former.directory, former.port, former.admin_port, {}, ("--takeover",), logs="next")
    await asyncio.to_thread(gateway.start)
    assert await asyncio.to_thread(former.wait) == 0
    made.gateways[name] = gateway


async def restarted(made: Estate, name: str, clients: Clients) -> None:
    """It ends and is started again, while it gets no requests."""
    clients.resting.add(name)
    await asyncio.to_thread(made.gateways[name].stop)
    await asyncio.to_thread(made.gateways[name].start)
    clients.resting.discard(name)


async def asked(made: Estate, path: str) -> tuple[int, bool]:
    """The status of the answer, and whether it says when to ask again."""
    async with httpx2.AsyncClient(base_url=f"{made.plane.url}/api/v1/", headers=made.plane.headers) as http:
        response = await http.get(path, timeout=30)
        return response.status_code, "retry-after" in response.headers


async def answered(made: Estate) -> bool:
    """Whether there are answers again."""
    return (await asked(made, "gateways"))[0] == 200


async def probes(made: Estate) -> dict[str, str | None]:
    """When each gateway was probed last."""
    return {name: (await made.ask("GET", f"gateways/{uuid}/health"))["checkedAt"] for name, uuid in made.ids.items()}


async def probed(made: Estate, before: dict[str, str | None]) -> bool:
    """Whether each gateway has been probed since."""
    return all(at not in (None, before.get(name)) for name, at in (await probes(made)).items())
