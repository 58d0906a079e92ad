"""What tests of sources have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import httpx2

from gateway.registry.source import Instances, Source, SourceLost
from gateway.upstream.member import Member
from tests.support import eventually

SECONDS = 30.0


async def shows(url: str, text: str, headers: Mapping[str, str] | None = None, *, shown: bool = True) -> None:
    """Wait until an answer from this address holds a text, or does not."""
    last = "nothing"
    async with httpx2.AsyncClient(headers=headers, timeout=30) as client:
        for _ in range(int(SECONDS / 0.05)):
            last = (await client.get(url)).text
            if (text in last) == shown:
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"{'no' if shown else 'still'} {text!r} in {last!r}")


class Heard:
    """A sink that keeps what a source says, and asks it again when it is lost, as the gateway does."""

    def __init__(self, source: Source) -> None:
        self.members: list[Member] = []
        self.delivered = 0
        self.signs = 0  # of life
        self.faults: list[str] = []
        self.lost: list[str] = []
        self._source = source

    @property
    def addresses(self) -> list[str]:
        return sorted(str(member.address) for member in self.members)

    def deliver(self, instances: Instances) -> None:
        self.members = list(instances.members)
        self.delivered += 1

    def alive(self) -> None:
        self.signs += 1

    def failing(self, reason: str) -> None:
        self.lost.append(reason)

    def fault(self, kind: str) -> None:
        self.faults.append(kind)

    async def run(self) -> None:
        while True:
            try:
                await self._source.watch(self)
            except SourceLost as error:
                self.lost.append(str(error))
            await asyncio.sleep(0.05)

    async def has(self, *addresses: str, seconds: float = 30.0) -> None:
        """Wait until these are the instances."""
        message = f"expected {sorted(addresses)}"
        try:
            await eventually(lambda: self.addresses == sorted(addresses), seconds, message)
        except AssertionError:
            raise AssertionError(f"{message}, not {self.addresses}; lost: {self.lost}; {self.faults}") from None

    async def is_lost(self, reason: str) -> None:
        """Wait until it is lost, with this in the reason."""
        await eventually(lambda: any(reason in lost for lost in self.lost), message=f"no {reason!r}: {self.lost}")

    async def lives(self) -> None:
        """Wait for the next sign of life."""
        before = self.signs + self.delivered
        await eventually(lambda: self.signs + self.delivered > before, message=f"no sign of life; lost: {self.lost}")


@asynccontextmanager
async def listening(source: Source) -> AsyncIterator[Heard]:
    """What a source says, as long as this lasts."""
    heard = Heard(source)
    task = asyncio.create_task(heard.run())
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
