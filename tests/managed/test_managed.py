"""A gateway and its control plane: what is wanted is served, whatever comes between."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, select

from gateway.control_plane.database.tables import EnvironmentSettings, Gateway, GatewayInstance, Revision
from gateway.control_plane.organizations import DEFAULT
from gateway.control_plane.plane import Plane
from gateway.control_plane.tokens import issue_join
from gateway.server.findings import Findings
from tests.control_plane.channel_support import a_gateway, a_revision, a_token, an_environment, listening, want
from tests.control_plane.support import control_plane
from tests.managed.support import ONE, TWO, WRONG, calling, managed, write
from tests.support import eventually, free_port


class Both:
    """A control plane with one gateway registered, and the directory that this one reads."""

    def __init__(self, plane: Plane, url: str, environment: UUID, gateway: UUID, token: str, directory: Path) -> None:
        self.plane = plane
        self.url = url
        self.environment = environment
        self.gateway = gateway
        self.token = token
        self.directory = directory

    async def wants(self, routes: bytes, **files: bytes) -> str:
        """Let a revision with these files be in force."""
        digest = await a_revision(self.plane, {"routes.yaml": routes, **files})
        await want(self.plane, self.environment, digest)
        return digest

    async def instance(self) -> GatewayInstance | None:
        """What it has said last."""
        await self.plane.channel.heartbeats.flush(self.plane.database)
        async with self.plane.database.reading() as session:
            return (await session.scalars(select(GatewayInstance))).first()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    async with control_plane(tmp_path) as plane, listening(plane) as url:
        environment = await an_environment(plane)
        gateway = await a_gateway(plane, environment=environment)
        token = await a_token(plane, gateway)
        directory = tmp_path / "gateway"
        write(directory, {"routes.yaml": ONE, "middleware.yaml": calling(url, token)})
        yield Both(plane, url, environment, gateway, token, directory)


async def test_what_is_wanted_is_served_and_reported(both: Both) -> None:
    """The gateway runs the revision, says so with its digest, and keeps it on its disk."""
    async with managed(both.directory) as gateway:
        assert gateway.body == "one"
        digest = await both.wants(TWO)
        await gateway.until_kept("two")
        await gateway.until_source("control-plane")
        await eventually(lambda: gateway.managed.in_sync)
        row = await both.instance()
        while row is None or row.revision != digest:
            row = await both.instance()
        assert (row.source, row.drifted_since) == ("control-plane", None)
        assert row.report["sinceRevision"]["requests"] == 0
        assert (both.directory / "state" / "control-plane" / f"{digest}.bundle").exists()
        assert gateway.reloader.report()["control_plane"]["revision"] == digest
        assert gateway.reloader.report()["rolled_back"] is False


async def test_a_gateway_starts_without_its_control_plane(both: Both) -> None:
    """What was applied last serves again, and says that it is the last good one."""
    await both.wants(TWO)
    async with managed(both.directory) as gateway:
        await gateway.until_kept("two")
    write(both.directory, {"middleware.yaml": calling("http://127.0.0.1:1", both.token)})
    (both.directory / "routes.yaml").unlink()
    async with managed(both.directory) as gateway:
        assert gateway.body == "two"
        await gateway.until_source("last good")


async def test_a_gateway_starts_without_the_file_of_its_token(both: Both) -> None:
    """A file that is gone, as one with a join token may be, takes no last good revision away."""
    await both.wants(TWO)
    middleware = calling(both.url, "join-token").replace("token:", "token_file:")
    write(both.directory, {"middleware.yaml": middleware, "join-token": both.token})
    async with managed(both.directory) as gateway:
        await gateway.until_kept("two")
    (both.directory / "join-token").unlink()
    async with managed(both.directory) as gateway:
        assert gateway.body == "two"


async def test_the_last_good_revision_serves_where_the_local_files_cannot(both: Both) -> None:
    """Local files that were changed go first; where they have errors, no route is lost."""
    await both.wants(TWO)
    async with managed(both.directory) as gateway:
        await gateway.until_kept("two")
    write(both.directory, {"middleware.yaml": calling("http://127.0.0.1:1", both.token), "routes.yaml": WRONG})
    async with managed(both.directory) as gateway:
        assert gateway.body == "two"
        assert "routes.yaml:2" in gateway.reloader.report()["errors"][0]


async def test_local_files_that_were_changed_meanwhile_serve_at_the_start(both: Both) -> None:
    """They were changed on purpose."""
    await both.wants(TWO)
    async with managed(both.directory) as gateway:
        await gateway.until_kept("two")
    write(both.directory, {"routes.yaml": ONE + b"# changed\n"})
    async with managed(both.directory) as gateway:
        assert gateway.body == "one"
        await gateway.until_source("local file")


async def test_a_revision_that_is_refused_changes_nothing_and_its_error_is_reported(both: Both) -> None:
    """With the file and the line; what served before goes on."""
    async with managed(both.directory) as gateway:
        await both.wants(TWO)
        await gateway.until_kept("two")
        digest = await both.wants(WRONG)
        await eventually(lambda: gateway.managed.refusal() is not None)
        assert gateway.body == "two"
        row = await both.instance()
        while row is None or row.report["lastError"] is None:
            row = await both.instance()
        error = row.report["lastError"]
        assert (error["file"], error["line"], error["revision"]) == ("routes.yaml", 2, digest)
        assert any("was refused" in trouble for trouble in gateway.managed.troubles())
        (finding,) = Findings(gateway.reloader).of(["revision_refused"], time.time())
        assert finding is not None
        assert "routes.yaml:2" in finding.says
        await want(both.plane, both.environment, digest)  # once more, as a second rollout does
        while row is None or row.report["lastError"]["at"] == error["at"]:
            row = await both.instance()
        await both.wants(ONE)
        await gateway.until("one")


async def test_a_bundle_must_not_cut_its_gateway_off(both: Both) -> None:
    """One that has control_plane: is refused by the gateway, too."""
    async with managed(both.directory) as gateway:
        await both.wants(TWO, **{"middleware.yaml": b"control_plane: {url: 'http://elsewhere'}\n"})
        await eventually(lambda: gateway.managed.refusal() is not None)
        assert gateway.body == "one"
        assert gateway.managed.link.settings.url == both.url


async def test_a_local_change_serves_until_something_else_is_wanted(both: Both) -> None:
    """It is not undone at once, also not after a restart; the next revision is applied again."""
    async with managed(both.directory) as gateway:
        await both.wants(TWO)
        await gateway.until_kept("two")
        write(both.directory, {"routes.yaml": ONE + b"# by hand\n"})
        await gateway.until("one")
        await gateway.until_source("local file")
        assert not gateway.managed.in_sync
    async with managed(both.directory) as gateway:
        await eventually(lambda: gateway.managed.connected)
        assert gateway.body == "one"
        await both.wants(TWO + b"# more\n")
        await gateway.until_kept("two")


async def test_a_reload_keeps_what_the_control_plane_wants(both: Both) -> None:
    """Also SIGHUP and POST /reload: only other contents of the local files are another will."""
    async with managed(both.directory) as gateway:
        await both.wants(TWO)
        await gateway.until_kept("two")
        assert await gateway.reloader.reload() is None
        assert gateway.body == "two"


async def test_local_files_that_are_what_is_wanted_are_no_drift(both: Both) -> None:
    """A directory that was pushed has the digest that its gateway reports, without its own group."""
    digest = await both.wants(ONE)
    async with managed(both.directory) as gateway:
        await eventually(lambda: gateway.managed.applying.running.digest == digest)
        await eventually(lambda: gateway.managed.connected and gateway.managed.in_sync)
        row = await both.instance()
        while row is None or row.drifted_since is not None:  # the first heartbeat may be from before it runs
            row = await both.instance()


@pytest.mark.parametrize("lost", ["wish", "revisions", "gateway"])
async def test_a_control_plane_that_has_lost_its_memory_takes_nothing_away(both: Both, lost: str) -> None:
    """Restored from before anything was wanted, without the revision, or without the gateway: it serves on."""
    async with managed(both.directory) as gateway:
        await both.wants(TWO)
        await gateway.until_kept("two")
        async with both.plane.database.transaction() as session:
            if lost == "wish":
                await session.execute(delete(EnvironmentSettings))
            elif lost == "revisions":
                await session.execute(delete(Revision))
            else:
                await session.execute(delete(Gateway))
        await eventually(lambda: (not gateway.managed.connected) if lost == "gateway" else gateway.managed.connected)
        gateway.managed.link.news.set()
        assert gateway.body == "two"
    async with managed(both.directory) as gateway:
        assert gateway.body == "two"


async def test_a_control_plane_that_comes_back_is_found_again(tmp_path: Path) -> None:
    """What was wanted while it was away is served when it is back."""
    port = free_port()
    async with control_plane(tmp_path) as plane:
        environment = await an_environment(plane)
        token = await a_token(plane, await a_gateway(plane, environment=environment))
        write(
            tmp_path / "gateway",
            {"routes.yaml": ONE, "middleware.yaml": calling(f"http://127.0.0.1:{port}", token)},
        )
        async with managed(tmp_path / "gateway") as gateway:
            await eventually(lambda: gateway.managed.link.failure is not None)
            await want(plane, environment, await a_revision(plane, {"routes.yaml": TWO}))
            async with listening(plane, port):
                await gateway.until_kept("two")
            await eventually(lambda: not gateway.managed.connected)
            assert gateway.body == "two"


async def test_a_gateway_without_files_joins_and_gets_its_configuration(tmp_path: Path) -> None:
    """An empty directory, a URL and a join token in the environment are all that it needs; its own token is kept."""
    async with control_plane(tmp_path) as plane, listening(plane) as url:
        environment = await an_environment(plane, digest=await a_revision(plane, {"routes.yaml": TWO}))
        async with plane.database.transaction() as session:
            organization = plane.organizations[DEFAULT]
            _, token = await issue_join(
                session, organization, environment, "test", plane.now(), timedelta(minutes=1), 1
            )
        variables = {"GATEWAY_CONTROL_PLANE_URL": url, "GATEWAY_CONTROL_PLANE_TOKEN": token}
        write(tmp_path / "gateway", {})
        for _ in range(2):  # the second time without joining: the token is used up
            async with managed(tmp_path / "gateway", variables) as gateway:
                await gateway.until_kept("two")
                await gateway.until_source("control-plane")
        identity = tmp_path / "gateway" / "state" / "control-plane" / "identity.json"
        assert identity.stat().st_mode & 0o077 == 0
        assert json.loads(identity.read_text())["url"] == url


async def test_a_gateway_without_a_control_plane_has_nothing_of_it(tmp_path: Path) -> None:
    """No requests are counted for it, and /health does not name it."""
    write(tmp_path / "gateway", {"routes.yaml": ONE})
    async with managed(tmp_path / "gateway") as gateway:
        await gateway.managed.link._look_at_settings()
        assert gateway.reports == []
        assert "control_plane" not in gateway.reloader.report()
        assert not [sample for family in gateway.managed.metrics() for sample in family.samples]


async def test_a_url_that_is_written_later_is_called_without_a_restart(both: Both) -> None:
    """As all of the files, it may change while the gateway runs."""
    write(both.directory, {"middleware.yaml": b""})
    await both.wants(TWO)
    async with managed(both.directory) as gateway:
        assert gateway.body == "one"
        write(both.directory, {"middleware.yaml": calling(both.url, both.token)})
        await gateway.until_kept("two")


async def test_a_gateway_that_ends_in_good_order_is_not_missed(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is not among the instances any more."""
    monkeypatch.setattr("gateway.managed.calls.LEAVE_SECONDS", 30.0)  # though this machine has other work
    async with managed(both.directory) as gateway:
        await eventually(lambda: gateway.managed.connected)
        while await both.instance() is None:
            gateway.managed.link.news.set()
    assert await both.instance() is None


async def test_a_control_plane_that_is_away_for_a_minute_is_an_alert(both: Both) -> None:
    """And a trouble of /health; not before, since it comes back soon most often."""
    write(both.directory, {"middleware.yaml": calling("http://127.0.0.1:1", both.token)})
    async with managed(both.directory) as gateway:
        await eventually(lambda: gateway.managed.link.failure is not None)
        findings = Findings(gateway.reloader)
        assert list(findings.of(["control_plane_lost"], time.time())) == []
        (finding,) = findings.of(["control_plane_lost"], time.time() + 61)
        assert finding is not None
        assert "http://127.0.0.1:1" in finding.says
