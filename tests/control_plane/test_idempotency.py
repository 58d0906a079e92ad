"""Requests that are repeated because their answer was lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import func, select

from gateway.control_plane import idempotency
from gateway.control_plane.database.tables import IdempotentAnswer
from gateway.control_plane.idempotency import ABANDONED, KEPT
from gateway.control_plane.plane import Plane
from tests.control_plane.support import client_of

ENVIRONMENTS = "/api/v1/environments"
PRODUCTION = {"name": "production", "displayName": "Production"}


async def test_a_post_may_be_repeated(client: httpx2.AsyncClient) -> None:
    """With an `Idempotency-Key` the same answer comes again; another body with the same key is a 422."""
    headers = {"idempotency-key": str(uuid4())}
    first = await client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers)
    again = await client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers)
    other = await client.post(ENVIRONMENTS, json={**PRODUCTION, "name": "other"}, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotency-replayed"] == "true"
    assert other.status_code == 422


async def test_two_at_once_have_one_effect(client: httpx2.AsyncClient) -> None:
    """Of several requests with one key that come at the same time, one is answered, or all are the same."""
    headers = {"idempotency-key": "once"}
    both = await asyncio.gather(*(client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers) for _ in range(5)))
    made = [response for response in both if response.status_code == 201]
    assert len({response.json()["uuid"] for response in made}) == 1
    assert {response.status_code for response in both} <= {201, 409}
    assert (await client.get(ENVIRONMENTS)).json()["total"] == 1


async def test_a_post_that_failed_may_be_repeated(client: httpx2.AsyncClient) -> None:
    """What was refused had no effect, so its key is free."""
    headers = {"idempotency-key": "once"}
    assert (await client.post(ENVIRONMENTS, json={"name": "a"}, headers=headers)).status_code == 400
    assert (await client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
async def test_keys_are_texts_that_can_be_kept(client: httpx2.AsyncClient, key: str) -> None:
    """A key that is none is a 400."""
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    assert (await client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers)).status_code == 400


async def test_a_request_that_died_is_not_in_progress_for_ever(plane: Plane) -> None:
    """A key whose process died before it answered is free after a while; until then it is a 409."""
    async with client_of(plane) as client:
        await client.post(ENVIRONMENTS, json={**PRODUCTION, "name": "first"}, headers={"idempotency-key": "other"})
        async with plane.database.transaction() as session:
            died = (await session.scalars(select(IdempotentAnswer))).one()
            died.status, died.key = None, "died"
        headers = {"idempotency-key": "died"}
        body = {**PRODUCTION, "name": "first"}
        assert (await client.post(ENVIRONMENTS, json=body, headers=headers)).status_code == 409
    later = replace(plane, now=lambda: plane.now() + ABANDONED * 2)
    async with client_of(later) as client:
        response = await client.post(ENVIRONMENTS, json=PRODUCTION, headers=headers)
    assert response.status_code == 201, response.text


async def test_answers_are_forgotten_and_sealed(plane: Plane) -> None:
    """An answer is kept for a day, and cannot be read in the database."""
    async with client_of(plane) as client:
        await client.post(ENVIRONMENTS, json=PRODUCTION, headers={"idempotency-key": "once"})
    async with plane.database.reading() as session:
        kept = (await session.scalars(select(IdempotentAnswer))).one()
    assert kept.body is not None
    assert b"production" not in kept.body
    sweeper = asyncio.create_task(idempotency.sweep(replace(plane, now=lambda: plane.now() + KEPT * 2)))
    async with asyncio.timeout(30):
        while True:
            async with plane.database.reading() as session:
                if (await session.execute(select(func.count()).select_from(IdempotentAnswer))).scalar_one() == 0:
                    break
            await asyncio.sleep(0.01)
    sweeper.cancel()
    assert timedelta(hours=24) == KEPT
