"""Rollouts by the API, over a real database: gateways are rows of heartbeats here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from gateway.control_plane import retention
from gateway.control_plane.database.tables import Deployment, Gateway, GatewayEnvironment, GatewayInstance, now
from gateway.control_plane.rollout_job import Watch, turn
from gateway.control_plane.wanted import wanted_of, wants_of
from tests.control_plane.rolling_support import BROKEN, Fleet, in_force, rolling_fleet
from tests.control_plane.support import control_plane


@pytest.fixture
async def fleet(tmp_path: Path, database_url: str) -> AsyncIterator[Fleet]:
    async with rolling_fleet(tmp_path, database_url) as made:
        yield made


async def test_rollout_to_all(fleet: Fleet) -> None:
    """A rollout without a canary ends when all gateways run the revision, which is then in force."""
    digest = await fleet.push(1)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest[:10])
    assert (made["state"], made["revision"], made["environment"]) == ("pending", digest, "production")
    await fleet.turns(5)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert (found["state"], found["reason"]) == ("done", None)
    assert (await fleet.get(f"environments/{fleet.environment}/delivery"))["revision"] == digest
    async with fleet.plane.database.reading() as session:
        rows = (await session.scalars(select(Deployment))).all()
    assert [(row.state, row.revision) for row in rows] == [("deployed", digest)] * 3


async def test_broken_canary(fleet: Fleet) -> None:
    """A canary that fails is rolled back to what it had, and the others never see the revision."""
    good = await in_force(fleet, 1)
    bad = await fleet.push(2)
    fleet.figures = {bad: BROKEN}
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad, canary=1, wait="1m")
    await fleet.turns(2)
    assert sorted((await fleet.running()).values(), key=str) == sorted([bad, good, good])
    await fleet.turns(4)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert (found["state"], found["previous"], len(found["canaries"])) == ("rolled_back", good, 1)
    assert found["reason"] == "the canaries failed 50.0% of 500 requests; at most 5.0% may"
    assert set((await fleet.running()).values()) == {good}
    assert (await fleet.get(f"environments/{fleet.environment}/delivery"))["revision"] == good
    audit = await fleet.get("audit")
    assert "rollout.rolled_back" in str(audit)


async def test_canary_by_percent_then_the_rest(fleet: Fleet) -> None:
    """Healthy canaries are followed by the rest."""
    await in_force(fleet, 1)
    new = await fleet.push(2)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=new, canary="50%", wait=30)
    await fleet.turns(4)
    assert len((await fleet.get(f"rollouts/{made['uuid']}"))["canaries"]) == 2
    await fleet.turns(10)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "done"
    assert set((await fleet.running()).values()) == {new}


async def test_refused_by_a_gateway(fleet: Fleet) -> None:
    """A revision that a gateway refuses ends its rollout, with the place in the file; tried again, it is asked anew."""
    good = await in_force(fleet, 1)
    bad = await fleet.push(2)
    fleet.refusing = frozenset({bad})
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad)
    await fleet.turns(4)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert (found["state"], found["reason"]) == ("rolled_back", "a refuses it: routes.yaml:3:5: no")
    assert set((await fleet.running()).values()) == {good}
    fleet.refusing = frozenset()
    again = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad)
    await fleet.turns(5)
    assert (await fleet.get(f"rollouts/{again['uuid']}"))["state"] == "done"


async def test_one_at_a_time(fleet: Fleet) -> None:
    """An environment has one active rollout."""
    digest = await fleet.push(1)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest)
    problem = await fleet.post(f"environments/{fleet.environment}/rollouts", 409, revision=digest)
    assert problem["rollout"] == made["uuid"]
    found = await fleet.get(f"environments/{fleet.environment}/rollouts?active=true")
    assert [each["uuid"] for each in found["rollouts"]] == [made["uuid"]]


async def test_steering(fleet: Fleet) -> None:
    """A rollout can be paused, resumed and aborted, each only where that means something."""
    good = await in_force(fleet, 1)
    new = await fleet.push(2)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=new, canary=1, wait="1h")
    path = f"rollouts/{made['uuid']}"
    await fleet.post(f"{path}/resume", 409)
    await fleet.turns(4)
    assert (await fleet.post(f"{path}/pause", 200))["state"] == "paused"
    await fleet.turns(4)
    assert (await fleet.post(f"{path}/resume", 200))["state"] == "running"
    ended = await fleet.post(f"{path}/abort", 200)
    assert (ended["state"], ended["reason"].split(" ")[0]) == ("rolled_back", "aborted")
    await fleet.report()
    assert set((await fleet.running()).values()) == {good}
    for action in ("pause", "resume", "abort", "approve"):
        await fleet.post(f"{path}/{action}", 409)


async def test_rollback(fleet: Fleet) -> None:
    """A roll-back goes to what was in force before, at all gateways at once."""
    await fleet.post(f"environments/{fleet.environment}/rollback", 409)
    first = await in_force(fleet, 1)
    await in_force(fleet, 2)
    made = await fleet.post(f"environments/{fleet.environment}/rollback")
    assert made["revision"] == first
    await fleet.turns(5)
    assert set((await fleet.running()).values()) == {first}


async def test_promotion(fleet: Fleet) -> None:
    """What is in force in one environment is brought to another one."""
    staging = await fleet.build("staging", "s")
    await fleet.post(f"environments/{fleet.environment}/promote", 409, **{"from": "staging"})
    await fleet.post(f"environments/{fleet.environment}/promote", 404, **{"from": "nowhere"})
    digest = await fleet.push(7)
    await fleet.post(f"environments/{staging}/rollouts", revision=digest)
    await fleet.turns(5)
    made = await fleet.post(f"environments/{fleet.environment}/promote", canary=1, **{"from": "staging"})
    assert (made["revision"], made["strategy"]["canary"]) == (digest, 1)
    await fleet.turns(8)
    assert set((await fleet.running()).values()) == {digest}


async def test_approvals(fleet: Fleet) -> None:
    """A rollout waits for the approvals of its environment, which the caller that began it cannot give."""
    path = f"/api/v1/environments/{fleet.environment}/delivery"
    response = await fleet.client.put(path, json={"approvals": 1, "driftPolicy": "reapply"})
    assert (response.json()["approvals"], response.json()["driftPolicy"]) == (1, "reapply")
    digest = await fleet.push(1)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest)
    await fleet.turns(4)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert (found["state"], found["reason"]) == ("pending", "waits for 1 approval")
    assert "another caller must approve" in (await fleet.post(f"rollouts/{made['uuid']}/approve", 409))["detail"]


async def test_a_rollback_is_no_way_around_approvals(fleet: Fleet) -> None:
    """One to what was in force goes at once; one to what never was waits as any rollout."""
    first = await in_force(fleet, 1)
    await in_force(fleet, 2)
    await fleet.client.put(f"/api/v1/environments/{fleet.environment}/delivery", json={"approvals": 1})
    path = f"environments/{fleet.environment}/rollback"
    made = await fleet.post(path, revision=await fleet.push(3))
    await fleet.turns(4)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "pending"
    await fleet.post(f"rollouts/{made['uuid']}/abort", 200)
    await fleet.post(path, revision=first[:12])
    await fleet.turns(5)
    assert set((await fleet.running()).values()) == {first}


async def test_a_gateway_in_two_environments(fleet: Fleet) -> None:
    """What was rolled out last goes; taken back, the gateway has what the other environment gave it."""
    good = await in_force(fleet, 1)
    staging = await fleet.build("staging")
    async with fleet.plane.database.transaction() as session:
        session.add(GatewayEnvironment(gateway_uuid=fleet.gateways["a"], environment_uuid=UUID(staging)))
    other = await fleet.push(5)
    made = await fleet.post(f"environments/{staging}/rollouts", revision=other, wait="1h")
    await fleet.turns(4)
    assert (await fleet.running())["a"] == other
    await fleet.post(f"rollouts/{made['uuid']}/abort", 200)
    await fleet.report()
    assert (await fleet.running())["a"] == good


async def test_first_revision_is_broken(fleet: Fleet) -> None:
    """Where nothing was before and what gateways ran is not known, the rollout has failed and says what to do."""
    bad = await fleet.push(2)
    fleet.figures = {bad: BROKEN}
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad, canary=1, wait="1m")
    await fleet.turns(6)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert found["state"] == "failed"
    assert "no former revision" in found["reason"]


async def test_first_revision_with_known_local_files(fleet: Fleet) -> None:
    """Where the gateways' local files are known as a revision, that is what they go back to."""
    local, bad = await fleet.push(1), await fleet.push(2)
    async with fleet.plane.database.transaction() as session:
        for row in await session.scalars(select(GatewayInstance)):
            row.revision = local
    fleet.figures = {bad: BROKEN}
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad, canary=1, wait="1m")
    await fleet.turns(7)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "rolled_back"
    assert set((await fleet.running()).values()) == {local}


async def test_other_gateways_are_left_alone(fleet: Fleet) -> None:
    """A gateway that never speaks, such as one of another make, is not waited for."""
    async with fleet.plane.database.transaction() as session:
        organization = next(iter(fleet.plane.organizations.values()))
        row = Gateway(organization_uuid=organization, name="wso2", display_name="wso2", gateway_type="EGRESS")
        session.add(row)
        await session.flush()
        session.add(GatewayEnvironment(gateway_uuid=row.uuid, environment_uuid=UUID(fleet.environment)))
    await in_force(fleet, 1)


async def test_leaving_an_environment(fleet: Fleet) -> None:
    """A gateway that is taken out of an environment gets nothing from it any more."""
    await in_force(fleet, 1)
    path = f"/api/v1/gateways/{fleet.gateways['a']}/environments/{fleet.environment}"
    assert (await fleet.client.delete(path)).status_code == 204
    async with fleet.plane.database.reading() as session:
        assert await wanted_of(session, [fleet.gateways["a"]]) == {}
        row = await session.scalar(select(Deployment).where(Deployment.gateway_uuid == fleet.gateways["a"]))
    assert row is not None
    assert row.state == "undeployed"


@pytest.mark.parametrize(
    "body",
    [
        {"canary": 0},
        {"canary": "0.5"},
        {"canary": True},
        {"canary": "1000%"},
        {"canary": 1.5},
        {"wait": "-1s"},
        {"wait": "soon"},
        {"wait": 1e300},
        {"wait": None},
        {"timeout": "99999h"},
        {"guard": {"errorRate": 5}},
        {"guard": {"errorRate": "5"}},
        {"guard": {"minRequests": 0}},
        {"guard": {"p95OverRest": 0.5}},
        {"guard": []},
        {"revision": "x"},
        {"revision": None},
        {"revision": 12345678},
    ],
)
async def test_strategies_that_mean_nothing(fleet: Fleet, body: dict[str, Any]) -> None:
    """What is wrong is named, and nothing is begun."""
    digest = await fleet.push(1)
    problem = await fleet.post(f"environments/{fleet.environment}/rollouts", 400, **{"revision": digest, **body})
    assert problem["errors"][0]["field"].startswith(next(iter(body)))


async def test_what_is_not_there(fleet: Fleet) -> None:
    """Unknown revisions, environments and rollouts are not found."""
    await fleet.post(f"environments/{fleet.environment}/rollouts", 404, revision="0" * 64)
    await fleet.post(f"environments/{uuid4()}/rollouts", 404, revision="0" * 64)
    for path in (
        f"rollouts/{uuid4()}",
        "rollouts/x",
        f"environments/{uuid4()}/rollouts",
        f"environments/{uuid4()}/delivery",
    ):
        assert (await fleet.client.get(f"/api/v1/{path}")).status_code == 404
    await fleet.post(f"rollouts/{uuid4()}/abort", 404)


async def test_what_is_kept_survives_a_restart(fleet: Fleet, tmp_path: Path, database_url: str) -> None:
    """Another control plane goes on with a rollout where the first one was killed."""
    good = await in_force(fleet, 1)
    bad = await fleet.push(2)
    fleet.figures = {bad: BROKEN}
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=bad, canary=1, wait="1m")
    await turn(fleet.plane, None, fleet.watch, 5.0)
    await turn(fleet.plane, None, fleet.watch, 5.0)
    (tmp_path / "other").mkdir()
    async with control_plane(tmp_path / "other", database=database_url) as plane:
        other = replace(fleet, plane=plane, watch=Watch())
        await other.report()
        await other.turns(4)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "rolled_back"
    assert set((await fleet.running()).values()) == {good}


async def test_a_database_of_yesterday(fleet: Fleet) -> None:
    """A rollout that an older database takes for active does nothing to gateways that were given more since."""
    await in_force(fleet, 1)
    digest = await fleet.push(2)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest, canary=1, wait="1h")
    await fleet.turns(3)
    async with fleet.plane.database.transaction() as session:
        before = await wants_of(session, list(fleet.gateways.values()))
        for row in await session.scalars(select(GatewayInstance)):
            row.revision = "f" * 64
    await turn(fleet.plane, None, fleet.watch, 1.0)
    found = await fleet.get(f"rollouts/{made['uuid']}")
    assert found["state"] == "failed"
    assert "not known here" in found["reason"]
    async with fleet.plane.database.reading() as session:
        assert await wants_of(session, list(fleet.gateways.values())) == before


async def test_a_rollout_after_a_database_of_yesterday(fleet: Fleet) -> None:
    """What begins after it replaces what gateways run that is not known here, canaries first; taken back, they have
    that again, and not what was wanted yesterday."""
    await in_force(fleet, 1)
    async with fleet.plane.database.transaction() as session:
        for row in await session.scalars(select(GatewayInstance)):
            row.revision, row.source = "f" * 64, "control-plane"
    digest = await fleet.push(2)
    path = f"environments/{fleet.environment}/rollouts"
    made = await fleet.post(path, revision=digest, canary=1, wait="1h")
    for _ in range(3):
        await turn(fleet.plane, None, fleet.watch, 1.0)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "running"
    async with fleet.plane.database.reading() as session:
        wants = [each.digest for each in (await wants_of(session, list(fleet.gateways.values()))).values()]
    assert wants.count(digest) == 1
    await fleet.post(f"rollouts/{made['uuid']}/abort", 200)
    async with fleet.plane.database.reading() as session:
        wants = [each.digest for each in (await wants_of(session, list(fleet.gateways.values()))).values()]
    assert "f" * 64 in wants
    assert digest not in wants


def _ago(hours: int) -> datetime:
    return now() - timedelta(hours=hours)


async def test_gateways_of_another_control_plane(fleet: Fleet) -> None:
    """Gateways that come with a revision that is not known here take one that is."""
    async with fleet.plane.database.transaction() as session:
        for row in await session.scalars(select(GatewayInstance)):
            row.revision = "e" * 64
    digest = await fleet.push(2)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest, canary=1)
    await turn(fleet.plane, None, fleet.watch, 1.0)
    await turn(fleet.plane, None, fleet.watch, 1.0)
    await turn(fleet.plane, None, fleet.watch, 1.0)
    await fleet.report()
    await fleet.turns(6)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "done"


async def test_later_wishes_have_later_times(fleet: Fleet) -> None:
    """The times of wanted revisions increase, also where the clock was set back: so it knows what is older."""
    ids = list(fleet.gateways.values())
    times = []
    for port in (1, 2, 3):
        fleet.plane = replace(fleet.plane, now=partial(_ago, port))
        digest = await fleet.push(port)
        await fleet.post(f"environments/{fleet.environment}/rollouts", revision=digest)
        await fleet.turns(5)
        async with fleet.plane.database.reading() as session:
            wants = await wants_of(session, ids)
        assert {want.digest for want in wants.values()} == {digest}
        times.append([wants[each].at for each in ids])
    assert all(one < other for before, after in pairwise(times) for one, other in zip(before, after, strict=True))


async def test_what_is_kept_is_bounded(fleet: Fleet) -> None:
    """Old rollouts go, and then old revisions, but for what is in force, was before, or runs."""
    digests = [await in_force(fleet, port) for port in range(1, 6)]
    unused = [await fleet.push(port) for port in range(11, 14)]
    async with fleet.plane.database.transaction() as session:
        await retention.sweep(session, most_revisions=1, most_rollouts=2)
    found = await fleet.get(f"environments/{fleet.environment}/rollouts")
    assert [each["revision"] for each in found["rollouts"]] == [digests[4], digests[3]]
    kept = {each["digest"] for each in (await fleet.get("revisions"))["revisions"]}
    assert kept == {*digests[2:], unused[-1]}


async def test_two_begin_at_once(fleet: Fleet) -> None:
    """Of two that begin a rollout at the same time one gets a conflict; so are rollouts of two replicas."""
    digest = await fleet.push(1)
    path = f"/api/v1/environments/{fleet.environment}/rollouts"
    answers = await asyncio.gather(*(fleet.client.post(path, json={"revision": digest}) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409, 409]


async def test_a_step_and_an_abort_at_once(fleet: Fleet) -> None:
    """In either order, the gateways have what they had before, and the rollout has one end."""
    good = await in_force(fleet, 1)
    new = await fleet.push(2)
    made = await fleet.post(f"environments/{fleet.environment}/rollouts", revision=new, canary=1, wait="1h")
    await turn(fleet.plane, None, fleet.watch, 1.0)
    steps = asyncio.gather(*(turn(fleet.plane, None, fleet.watch, 1.0) for _ in range(3)))
    answers = await asyncio.gather(*(fleet.client.post(f"/api/v1/rollouts/{made['uuid']}/abort") for _ in range(3)))
    await steps
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    await fleet.turns(2)
    assert (await fleet.get(f"rollouts/{made['uuid']}"))["state"] == "rolled_back"
    assert set((await fleet.running()).values()) == {good}


async def test_the_same_rollout_asked_for_twice(fleet: Fleet) -> None:
    """A request that is repeated with its Idempotency-Key begins one rollout."""
    digest = await fleet.push(1)
    path, headers = f"/api/v1/environments/{fleet.environment}/rollouts", {"idempotency-key": "one"}
    first = await fleet.client.post(path, json={"revision": digest}, headers=headers)
    second = await fleet.client.post(path, json={"revision": digest}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["uuid"] == second.json()["uuid"]
