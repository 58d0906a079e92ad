"""Many clients of the admin port at once hold nothing else of the gateway up longer than one of them does."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.admin.support import short_turns
from tests.resilience.support import running

CLIENTS = 20
ROUTES = "services:\n  s: {endpoints: ['127.0.0.1:1']}\nroutes:\n" + "".join(
    f"- {{id: r{number}, path: /r{number}/*, target: s, methods: [GET, POST]}}\n" for number in range(3000)
)


class Threads(ThreadPoolExecutor):
    """Those of the event loop; `most`: how many had work at once."""

    most = 0

    def __init__(self) -> None:
        super().__init__()
        self._given: list[Future[Any]] = []

    def submit(self, *work: Any, **options: Any) -> Future[Any]:
        given: Future[Any] = super().submit(*work, **options)
        self._given = [each for each in self._given if not each.done()] + [given]
        self.most = max(self.most, len(self._given))
        return given


@pytest.mark.parametrize("path", ["/explain?url=/r7/x", "/map?limit=10000"])
async def test_each_answer_has_turns_of_its_own(tmp_path: Path, path: str) -> None:
    """Their work is not done all in one turn of the event loop."""
    async with running(tmp_path, ROUTES) as gateway:
        expected = (await gateway.admin.get(path)).json()
        async with short_turns(0.06):
            answers = await asyncio.gather(*(gateway.admin.get(path) for _ in range(CLIENTS)))
        assert [len(answer.json()) for answer in answers] == [len(expected)] * CLIENTS


@pytest.mark.parametrize("path", ["/routes?limit=10000", "/config?at=routes.yaml/routes&limit=10000"])
async def test_large_answers_are_made_one_at_a_time(tmp_path: Path, path: str) -> None:
    """Of several threads that compute, each would have its turn before the event loop has one."""
    async with running(tmp_path, ROUTES) as gateway:
        threads = Threads()
        asyncio.get_running_loop().set_default_executor(threads)
        answers = await asyncio.gather(*(gateway.admin.get(path) for _ in range(CLIENTS)))
        assert threads.most == 1
        assert [len(answer.json()) for answer in answers] == [3000] * CLIENTS
