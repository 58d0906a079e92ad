"""What answers that are no conversation are counted as, through a gateway."""

import asyncio

from tests.llm.support import two_providers


def test_embeddings_have_no_output() -> None:
    """What the provider counted is what is noted: vectors are long, but no tokens."""

    async def check() -> None:
        async with two_providers() as (gateway, _, _):
            answered = await gateway.ask("/v1/embeddings", {"model": "small", "input": "some words " * 50})
            noted = answered.noted
            assert answered.status == 200
            assert (noted.input_tokens, noted.output_tokens) == (answered.json["usage"]["prompt_tokens"], 0)
            assert not noted.estimated

    asyncio.run(check())


def test_sounds_are_not_estimated_by_their_size() -> None:
    """They have no usage: only the request counts."""

    async def check() -> None:
        async with two_providers() as (gateway, _, _):
            answered = await gateway.ask("/v1/audio/speech", {"model": "small", "input": "a cat " * 100, "voice": "v"})
            assert answered.status == 200
            assert len(answered.body) > 100
            assert answered.noted.output_tokens == 0
            assert answered.noted.estimated

    asyncio.run(check())
