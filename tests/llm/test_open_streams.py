"""Streams of models stay open for minutes, and many do at a time."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http import Exchange
from tests.llm.support import Gateway, chat, two_providers

STREAMS = 700  # more than an ordinary service has connections


@pytest.mark.early
@pytest.mark.timeout(180)
async def test_many_streams_are_open_at_once() -> None:
    """Each of 700 streams that the provider does not end has its first content: none waits for another to end."""

    async def opened(gateway: Gateway) -> Exchange:
        body = chat(stream=True, model="small+stall-after", messages=[{"role": "user", "content": "a b c d"}])
        exchange, response = await gateway.open("/v1/chat/completions", body)
        assert not isinstance(response.body, bytes)
        assert b"You" in await response.body.read()
        return exchange

    async with two_providers() as (gateway, _, _), asyncio.timeout(150):
        exchanges = await asyncio.gather(*(opened(gateway) for _ in range(STREAMS)))
        for exchange in exchanges:
            exchange.close()
