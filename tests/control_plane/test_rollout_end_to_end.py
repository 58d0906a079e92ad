"""Three gateways of two environments, with nginx in front: a canary with a broken backend goes back by itself."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.control_plane.rollout_estate import NGINX, asking, backend, estate, nginx_before, routes
from tests.support import eventually

pytestmark = [pytest.mark.control_plane, pytest.mark.timeout(240)]


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
async def test_a_broken_canary_harms_no_other_gateway(tmp_path: Path) -> None:
    """From the first revision to a roll-back: no request fails but those that the canary sent to the broken backend."""
    async with (
        backend(200) as old,
        backend(200) as good,
        backend(500) as broken,
        estate(tmp_path, routes(old), staging=("s1",), production=("p1", "p2")) as made,
    ):
        production = [made.gateways["p1"], made.gateways["p2"]]
        with nginx_before(tmp_path, production) as url:
            async with asking(url) as traffic:
                first = await made.push(good)
                assert (await made.ended(await made.rollout("staging", revision=first)))["state"] == "done"
                path = f"environments/{made.environments['production']}/promote"
                promoted = await made.ask("POST", path, **{"from": "staging", "canary": 1, "wait": "2s"})
                assert (await made.ended(promoted["uuid"]))["state"] == "done"
                await made.until_all_run(first)
                assert traffic.failures == []

                second = await made.push(broken)
                rollout = await made.rollout("production", revision=second, canary=1, wait="2m")
                found = await made.ended(rollout)
                assert (found["state"], found["canaries"]) == ("rolled_back", [made.ids["p1"]])
                assert "the canaries failed" in found["reason"]
                await made.until_all_run(first)
                failed = len(traffic.failures)
                assert failed > 0
                assert set(traffic.failures) == {("500", f"127.0.0.1:{production[0].port}")}
                answered = traffic.answered
                await eventually(lambda: traffic.answered > answered + 100)
                assert len(traffic.failures) == failed


async def test_first_revision_is_broken(tmp_path: Path) -> None:
    """Where a broken revision is the first one, the canary goes back to the files that it had of its own."""
    async with (
        backend(200) as good,
        backend(500) as broken,
        estate(tmp_path, routes(good), production=("p1",)) as made,
        asking(made.gateways["p1"].url) as traffic,
    ):

        async def known() -> bool:
            return bool((await made.ask("GET", "revisions"))["total"])

        await made.until(known)
        rollout = await made.rollout("production", revision=await made.push(broken), canary=1, wait="2m")
        assert (await made.ended(rollout))["state"] == "rolled_back"

        async def back() -> bool:
            return await made.served("p1") == good

        await made.until(back)
        assert traffic.failures


async def test_control_plane_is_killed_in_a_rollout(tmp_path: Path) -> None:
    """Killed while a canary is watched, and started again, it goes on from there; no request notices."""
    async with (
        backend(200) as old,
        backend(200) as new,
        estate(tmp_path, routes(old), production=("p1", "p2")) as made,
        asking(made.gateways["p2"].url) as traffic,
    ):
        digest = await made.push(new)
        rollout = await made.rollout("production", revision=digest, canary=1, wait="5s")

        async def judging() -> bool:
            return "judging" in (await made.ask("GET", f"rollouts/{rollout}")).values()

        await made.until(judging)
        await asyncio.to_thread(made.plane.kill)
        await asyncio.sleep(3)
        await asyncio.to_thread(made.plane.start)
        assert (await made.ended(rollout, 120))["state"] == "done"
        await made.until_all_run(digest)
        assert traffic.failures == []


async def test_database_of_yesterday(tmp_path: Path) -> None:
    """With its database put back to an older state, the control plane takes nothing from gateways that have more."""
    state = tmp_path / "plane" / "state"
    async with (
        backend(200) as one,
        backend(200) as two,
        estate(tmp_path, routes(one), production=("p1", "p2")) as made,
        asking(made.gateways["p1"].url) as traffic,
    ):
        first = await made.push(one)
        await made.ended(await made.rollout("production", revision=first))
        await asyncio.to_thread(made.plane.stop)
        shutil.copytree(state, tmp_path / "yesterday")
        await asyncio.to_thread(made.plane.start)
        second = await made.push(two)
        await made.ended(await made.rollout("production", revision=second))
        await made.until_all_run(second)
        await asyncio.to_thread(made.plane.kill)
        shutil.rmtree(state)
        shutil.copytree(tmp_path / "yesterday", state)
        await asyncio.to_thread(made.plane.start)
        for _ in range(20):
            await asyncio.sleep(0.5)
            assert {await made.served(name) for name in made.gateways} == {two}
        again = await made.push(two)
        assert again == second
        await made.ended(await made.rollout("production", revision=first), 120)
        await made.until_all_run(first)
        assert traffic.failures == []


async def test_local_edits(tmp_path: Path) -> None:
    """After a minute, local edits on a gateway are overwritten, or become its wanted revision."""
    async with (
        backend(200) as given,
        backend(200) as edited,
        estate(tmp_path, routes(given), adopting=("a",), reapplying=("r",)) as made,
    ):
        first = await made.push(given)
        for environment, policy in (("adopting", "adopt"), ("reapplying", "reapply")):
            await made.ask("PUT", f"environments/{made.environments[environment]}/delivery", driftPolicy=policy)
            assert (await made.ended(await made.rollout(environment, revision=first)))["state"] == "done"
        for name in ("a", "r"):
            made.gateways[name].write(routes(edited)["routes.yaml"])

        async def edits_serve() -> bool:
            return {await made.served(name) for name in ("a", "r")} == {edited}

        async def settled() -> bool:
            drift = await made.ask("GET", f"gateways/{made.ids['a']}/drift")
            return await made.served("r") == given and drift["wanted"] != first and not drift["drift"]

        await made.until(edits_serve)
        await made.until(settled, 150)
        assert await made.served("a") == edited
