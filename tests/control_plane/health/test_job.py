"""The job that probes gateways."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import delete, select, update

from gateway.control_plane.adapters.protocol import GatewaySpec, Health
from gateway.control_plane.credentials import CredentialKeys
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.leases import Lease
from gateway.control_plane.database.tables import (
    AuditRecord,
    Gateway,
    GatewayHealth,
    GatewayInstance,
    HealthSample,
    Organization,
    now,
)
from gateway.control_plane.events import Event, Events
from gateway.control_plane.health.job import HealthJob
from gateway.control_plane.health.probes import AT_ONCE
from gateway.control_plane.metrics import Metrics
from tests.support import eventually, lateness

INTERVAL = 0.2
TIMEOUT = 0.3
LEASE = 4.0
KEYS = CredentialKeys.of(Fernet.generate_key().decode(), "test")


class Answers:
    """An adapter with configured answers by name of the gateway."""

    type = "custom"

    def __init__(self) -> None:
        # A number: seconds until it answers; an event: what has to happen before.
        self.health: dict[str, Health | Exception | float | asyncio.Event] = {}
        self.asked: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most = 0
        self.overlaps = 0

    async def check_health(self, gateway: GatewaySpec) -> Health:
        """Whatever was set; it is well unless something was."""
        self.asked[gateway.name] += 1
        self.under_way[gateway.name] += 1
        self.overlaps += self.under_way[gateway.name] > 1
        self.most = max(self.most, self.under_way.total())
        try:
            found = self.health.get(gateway.name, Health(True, 4.5, url="http://gw/health"))
            if isinstance(found, float):
                await asyncio.sleep(min(found, TIMEOUT))
                return Health(True, found * 1000) if found <= TIMEOUT else Health(False, reason="timeout")
            if isinstance(found, Exception):
                raise found
            if isinstance(found, asyncio.Event):
                await found.wait()
                return Health(True, 4.5)
            return found
        finally:
            self.under_way[gateway.name] -= 1


REFUSED = Health(False, reason="refused", message="http://gw takes no connections")


class Running:
    """A job, as it runs."""

    def __init__(self, database: Database, answers: Answers, clock: Callable[[], datetime] = now) -> None:
        self.answers = answers
        self.metrics = Metrics()
        self.events = Events()
        self.heard: list[Event] = []
        self.events.subscribe(self.heard.append)
        self.lease = Lease(database, "health", f"process-{id(self)}", LEASE)
        self.job = HealthJob(
            database,
            answers,  # type: ignore[arg-type]  # nothing else of an adapter is asked
            KEYS,
            self.events,
            self.metrics,
            clock,
            INTERVAL,
            TIMEOUT,
        )

    def statuses(self, name: str) -> list[str]:
        """What became of one gateway, in order."""
        return [event.details["to"] for event in self.heard if event.details["name"] == name]


@asynccontextmanager
async def running(
    database: Database, answers: Answers | None = None, clock: Callable[[], datetime] = now
) -> AsyncIterator[Running]:
    """A job on this database."""
    made = Running(database, answers or Answers(), clock)
    task = asyncio.create_task(made.lease.run(made.job.run))
    try:
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def gateways(database: Database, *names: str, **values: Any) -> list[UUID]:
    """Make them."""
    async with database.transaction() as session:
        organization = (await session.scalars(select(Organization))).first() or Organization(name="default")
        session.add(organization)
        await session.flush()
        made = [Gateway(organization_uuid=organization.uuid, name=name, display_name=name, **values) for name in names]
        session.add_all(made)
    return [each.uuid for each in made]


async def rows(database: Database, table: type[Any]) -> Sequence[Any]:
    """All of a table."""
    async with database.reading() as session:
        return (await session.scalars(select(table))).all()


async def test_failures_and_successes_become_transitions_events_and_records(database: Database) -> None:
    """A gateway that fails is an error after the second probe, and active after the next that succeeds."""
    (uuid,) = await gateways(database, "one")
    async with running(database) as job:
        job.answers.health["one"] = REFUSED
        await eventually(lambda: job.statuses("one") == ["ERROR"])
        (probed,) = await rows(database, GatewayHealth)
        assert (probed.failures >= 2, probed.reason, probed.error_message) == (True, "refused", REFUSED.message)
        assert (await rows(database, Gateway))[0].status == "ERROR"
        del job.answers.health["one"]
        await eventually(lambda: job.statuses("one") == ["ERROR", "ACTIVE"])
    (probed,) = await rows(database, GatewayHealth)
    assert (probed.failures, probed.reason, probed.response_ms) == (0, None, 4.5)
    assert probed.probed_url == "http://gw/health"
    assert probed.succeeded_at == probed.checked_at
    assert {event.gateway for event in job.heard} == {uuid}
    lines = [row.line for row in await rows(database, AuditRecord)]
    assert len(lines) == 2
    assert '"ERROR"' in lines[0]
    assert "takes no connections" in lines[0]


async def test_one_slow_gateway_delays_none_and_is_not_probed_twice_at_once(database: Database) -> None:
    """While one hangs until its time limit, the others are probed as often as without it."""
    await gateways(database, "slow", *(f"quick-{number}" for number in range(5)))
    answers = Answers()
    answers.health["slow"] = 100.0
    async with running(database, answers):
        await eventually(lambda: min(answers.asked[f"quick-{number}"] for number in range(5)) >= 8)
        assert 1 <= answers.asked["slow"] < min(answers.asked[f"quick-{number}"] for number in range(5))
        assert answers.overlaps == 0


async def test_at_most_twenty_are_probed_at_once_and_each_gets_its_turn(database: Database) -> None:
    """With sixty that take their time, no more than twenty are under way."""
    names = [f"gateway-{number}" for number in range(60)]
    await gateways(database, *names)
    answers = Answers()
    answers.health |= dict.fromkeys(names, 0.1)
    async with running(database, answers):
        await eventually(lambda: all(answers.asked[name] >= 2 for name in names))
    assert AT_ONCE // 2 < answers.most <= AT_ONCE
    assert answers.overlaps == 0


async def test_those_that_hang_leave_room_for_those_that_answer(database: Database) -> None:
    """Thirty that never answer do not keep one that does from being probed in time."""
    hanging = [f"hanging-{number}" for number in range(30)]
    await gateways(database, "well", *hanging)
    answers = Answers()
    answers.health |= dict.fromkeys(hanging, 100.0)
    async with running(database, answers):
        await eventually(lambda: all(answers.asked[name] >= 2 for name in hanging))
        took: list[float] = []
        while not took or (min(took) >= 4 * INTERVAL * 2 and len(took) < 8):  # the machine has other work
            before, began = answers.asked["well"], time.monotonic()
            await eventually(lambda before=before: answers.asked["well"] >= before + 4)  # type: ignore[misc]
            took.append(time.monotonic() - began)
        assert min(took) < 4 * INTERVAL * 2


async def test_probes_are_spread_over_the_interval(database: Database) -> None:
    """A hundred gateways are not probed all at the same moment, neither first nor later."""
    names = [f"gateway-{number}" for number in range(100)]
    await gateways(database, *names)
    first: list[int] = []
    while not first or (min(first) >= 90 and len(first) < 5):  # a process that stood still has all of them due at once
        answers = Answers()
        async with running(database, answers):
            await eventually(lambda answers=answers: answers.asked.total() >= 20)  # type: ignore[misc]
            first.append(answers.asked.total())
    assert min(first) < 90
    async with running(database, answers):
        await eventually(lambda: all(answers.asked[name] >= 3 for name in names))
    assert max(answers.asked.values()) <= min(answers.asked.values()) + 3


@pytest.mark.parametrize("failure", [RuntimeError("a bug"), ValueError("\ud800")])
async def test_an_adapter_that_raises_is_a_failure_of_the_probe(
    database: Database, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The job goes on; the answer names the kind of the error only, and the log has all of it."""
    caplog.set_level(logging.CRITICAL, "gateway.control_plane")
    await gateways(database, "broken", "well")
    answers = Answers()
    answers.health["broken"] = failure
    async with running(database, answers) as job:
        await eventually(lambda: job.statuses("broken") == ["ERROR"] and answers.asked["well"] >= 3)
    probed = {row.reason: row.error_message for row in await rows(database, GatewayHealth)}
    assert probed["answer"] == f"the adapter failed: {type(failure).__name__}; see the log"


async def test_what_a_gateway_says_is_written_whatever_it_is(database: Database) -> None:
    """NUL, surrogates, and numbers that are none, in what an adapter says, keep no other gateway from being written."""
    await gateways(database, "lying", "broken", "well")
    answers = Answers()
    said = "a\x00b\ud800" + "c" * 5000
    answers.health["lying"] = Health(False, reason="status", message=said, url=said)
    answers.health["broken"] = Health(True, response_ms="soon", url=said)  # type: ignore[arg-type]
    async with running(database, answers) as job:
        await eventually(lambda: job.statuses("lying") == ["ERROR"] and answers.asked["well"] >= 4)
    written = {row.error_message: row.succeeded_at for row in await rows(database, GatewayHealth)}
    (message,) = [each for each in written if each is not None]
    assert message.startswith("a b ccc")
    assert len(message) == 1000
    assert None in written


async def test_credentials_that_cannot_be_opened_are_a_failure(database: Database) -> None:
    """Where the key was lost, that is what is said of the gateway, and of no other."""
    await gateways(database, "lost", adapter_config={"sealedCredentials": "nothing of ours"})
    await gateways(database, "well")
    async with running(database) as job:
        await eventually(lambda: job.statuses("lost") == ["ERROR"] and job.answers.asked["well"] >= 3)
        assert job.answers.asked["lost"] == 0
    assert {row.reason for row in await rows(database, GatewayHealth)} == {"invalid", None}


async def test_gateways_come_and_go_while_it_runs(database: Database) -> None:
    """One that is new is probed, also at once on an event; one that is deleted is not any more."""
    async with running(database) as job:
        (uuid,) = await gateways(database, "new")
        await eventually(lambda: job.answers.asked["new"] >= 2)
        async with database.transaction() as session:
            await session.execute(delete(Gateway).where(Gateway.uuid == uuid))
        asked = 0
        async with asyncio.timeout(30):
            while job.answers.asked["new"] != asked:
                asked = job.answers.asked["new"]
                await asyncio.sleep(INTERVAL * 4)
    assert await rows(database, GatewayHealth) == []


async def test_what_was_probed_before_a_change_says_nothing_of_the_changed_gateway(database: Database) -> None:
    """A probe that was under way while the configuration was replaced is dropped."""
    await gateways(database, "one", status="INACTIVE", adapter_config={"controlPlaneUrl": "http://old"})
    answers = Answers()
    changed = answers.health["one"] = asyncio.Event()
    async with running(database, answers) as job:
        await eventually(lambda: answers.asked["one"] == 1)
        answers.health["one"] = REFUSED
        async with database.transaction() as session:
            await session.execute(update(Gateway).values(adapter_config={"controlPlaneUrl": "http://new"}))
        changed.set()
        await eventually(lambda: answers.asked["one"] >= 4)
        assert job.statuses("one") == []


async def test_a_provider_says_the_status_and_the_endpoint(database: Database) -> None:
    """What is being provisioned becomes active when its provider says so, with the address that it has then."""
    await gateways(database, "cloud", status="PROVISIONING")
    answers = Answers()
    answers.health["cloud"] = Health(None, status="PROVISIONING")
    async with running(database, answers) as job:
        await eventually(lambda: answers.asked["cloud"] >= 3)
        assert job.heard == []
        answers.health["cloud"] = Health(True, status="ACTIVE", endpoint="https://gw.example", region="eu-1")
        await eventually(lambda: job.statuses("cloud") == ["ACTIVE"])
    (row,) = await rows(database, Gateway)
    assert (row.endpoint, row.region) == ("https://gw.example", "eu-1")


async def test_a_gateway_that_calls_out_is_judged_by_its_heartbeats(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is active while they come, and an error when they have stopped, whatever the time in them says."""
    monkeypatch.setattr("gateway.control_plane.health.probes.HEARTBEAT_FRESH_SECONDS", INTERVAL * 40)
    (uuid,) = await gateways(database, "out", status="INACTIVE")
    answers = Answers()
    answers.health["out"] = Health(None)
    async with running(database, answers) as job:
        await eventually(lambda: answers.asked["out"] >= 2)
        assert job.heard == []
        for number in range(20):
            async with database.transaction() as session:  # by a clock that jumps by hours
                at = now() + timedelta(hours=number * (-1) ** number)
                await session.merge(GatewayInstance(gateway_uuid=uuid, id="a", last_heartbeat_at=at, report={}))
            await asyncio.sleep(INTERVAL)
        assert job.statuses("out") == ["ACTIVE"]
        await eventually(lambda: job.statuses("out") == ["ACTIVE", "ERROR"])
    assert job.heard[-1].details["reason"] == "silent"


async def test_of_two_control_planes_one_probes_and_the_other_takes_over(database: Database, database_url: str) -> None:
    """Only one of them asks; when that one is killed, the other goes on within two lengths of its lease."""
    await gateways(database, "one")
    second = Database(database_url)
    first_asked, second_asked = Answers(), Answers()
    try:
        first = Running(database, first_asked)
        task = asyncio.create_task(first.lease.run(first.job.run))
        await eventually(lambda: first_asked.asked["one"] >= 1)
        async with running(second, second_asked) as other:
            await asyncio.sleep(LEASE)
            await eventually(lambda: first.lease.held)
            assert not other.lease.held
            assert second_asked.asked.total() == 0
            first.lease._give_up = _nothing  # type: ignore[method-assign]  # as one that is killed does
            task.cancel()
            async with lateness() as late:
                killed = time.monotonic()
                await eventually(lambda: second_asked.asked["one"] >= 1)
                assert LEASE * 0.5 < time.monotonic() - killed < LEASE * 2 + 2 * late.seconds
    finally:
        await second.close()


async def test_samples_of_a_day_are_kept(database: Database) -> None:
    """Older ones are deleted, and those that seem to come from the future too."""
    (uuid,) = await gateways(database, "one")
    async with database.transaction() as session:
        for hours in (-5000, -48, -25, -23, -1, 3, 5000):
            at = now() + timedelta(hours=hours)
            session.add(HealthSample(gateway_uuid=uuid, checked_at=at, healthy=True))
    async with running(database), asyncio.timeout(30):
        while not _are_of_a_day(await rows(database, HealthSample)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    kept = [row.checked_at for row in await rows(database, HealthSample)]
    assert len([at for at in kept if at < now() - timedelta(minutes=1)]) == 2
    assert max(kept) <= now()
    assert len(kept) >= 4


def _are_of_a_day(samples: Sequence[HealthSample]) -> bool:
    """Those that were there already, and two new ones."""
    day = now() - timedelta(days=1)
    return len(samples) >= 4 and all(day <= sample.checked_at <= now() for sample in samples)


async def test_a_clock_that_jumps_changes_nothing(database: Database) -> None:
    """Neither a year forth nor a year back makes a transition, or keeps gateways from being probed."""
    await gateways(database, "one")
    jumped = timedelta()
    async with running(database, clock=lambda: datetime.now(UTC) + jumped) as job:
        for days in (0, 365, -365, 0):
            jumped = timedelta(days=days)
            before = job.answers.asked["one"]
            await eventually(lambda before=before: job.answers.asked["one"] >= before + 3)  # type: ignore[misc]
        assert job.heard == []


async def test_what_is_counted_is_shown(database: Database) -> None:
    """Durations, failures by reason, transitions, lag and the holder are metrics."""
    await gateways(database, "one", "two")
    async with running(database) as job:
        job.metrics.follow_lease("health", lambda: job.lease.held)
        job.answers.health["two"] = REFUSED
        await eventually(lambda: job.statuses("two") == ["ERROR"])
        value = job.metrics.registry.get_sample_value
        assert value("control_plane_lease_held", {"work": "health"}) == 1
        assert (value("control_plane_probe_failures_total", {"reason": "refused"}) or 0) >= 2
        await eventually(lambda: (value("control_plane_probe_seconds_count") or 0) >= 4)  # two of each
        assert value("control_plane_status_transitions_total", {"status": "ERROR"}) == 1
        assert (value("control_plane_job_lag_seconds", {"job": "health"}) or 0) < 5


async def _nothing() -> None:
    """Give nothing up."""
