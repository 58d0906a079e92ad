"""How names of endpoints become addresses."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from gateway.upstream.transport import Resolver
from tests.support import eventually


class Names:
    """The name service of the system, which answers when it is let to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: asyncio.Queue[str | OSError] = asyncio.Queue()
        self.asked = 0
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._answer, raising=True)

    async def _answer(self, host: str, port: None, **_: Any) -> list[Any]:
        self.asked += 1
        answer = await self.answers.get()
        if isinstance(answer, OSError):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 0))]


async def test_no_request_waits_for_what_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known is used meanwhile, and further while there is no answer."""
    names, resolver = Names(monkeypatch), Resolver({})
    resolver.TTL = 0.0
    names.answers.put_nowait("10.0.0.1")
    assert await resolver.addresses("a.test") == ["10.0.0.1"]
    assert [await resolver.addresses("a.test") for _ in range(3)] == [["10.0.0.1"]] * 3
    names.answers.put_nowait(OSError("no answer"))
    await eventually(lambda: not resolver._asking)
    assert await resolver.addresses("a.test") == ["10.0.0.1"]
    names.answers.put_nowait("10.0.0.2")
    await eventually(lambda: not resolver._asking)
    assert await resolver.addresses("a.test") == ["10.0.0.2"]


async def test_requests_for_a_new_name_wait_for_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes away takes the answer from no other; without one, all of them fail."""
    names, resolver = Names(monkeypatch), Resolver({})
    first, *others = (asyncio.create_task(resolver.addresses("a.test")) for _ in range(3))
    await eventually(lambda: names.asked == 1)
    first.cancel()
    names.answers.put_nowait("10.0.0.1")
    assert [await other for other in others] == [["10.0.0.1"]] * 2
    names.answers.put_nowait(OSError("no such name"))
    with pytest.raises(OSError, match="no such name"):
        await resolver.addresses("b.test")
    assert names.asked == 2
