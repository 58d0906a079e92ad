"""The SDKs take what the demo model provider answers: what is measured with it stands on this."""

from __future__ import annotations

import asyncio

import pytest

from gateway.demo_models import DemoModels, serving
from tests.clients.calls import STREAMED, WHOLE, Call, cases
from tests.clients.support import Outcome, Sdks


async def ask(sdks: Sdks, call: Call) -> Outcome:
    """Make a call to a provider of its own."""
    async with serving(DemoModels()) as port:
        return await asyncio.to_thread(sdks.make, call, f"http://127.0.0.1:{port}")


@pytest.mark.parametrize(("language", "name"), cases(WHOLE))
async def test_answers_in_one_piece(languages: dict[str, Sdks], language: str, name: str) -> None:
    """Each call gives an object."""
    assert (await ask(languages[language], WHOLE[name])).only


@pytest.mark.parametrize(("language", "name"), cases(STREAMED))
async def test_streams(languages: dict[str, Sdks], language: str, name: str) -> None:
    """Each stream gives objects to its end."""
    assert len((await ask(languages[language], STREAMED[name])).whole) > 2
