"""How much code of models a request to a model passes."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson

import gateway
from tests.llm.support import chat
from tests.llm.support import gateway as serving
from tests.support import read_head, scripted_backend

PROVIDER = "providers: {one: {protocol: openai, base_url: http://127.0.0.1:%d/v1, keys: [key], models: [small]}}\n"
ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "model": "small",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
}
MOST_CALLS = 64
MOST_COROUTINES = (
    4  # the reader of a body that comes in pieces and, within each other: words of errors, Models, attempt
)
ROOT = f"{Path(gateway.__file__).parent}/llm/"


async def provider(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers everything on one connection."""
    answer = orjson.dumps(ANSWER)
    while True:
        head = await read_head(reader)
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
        lines = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(answer)
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, answer))


@contextmanager
def recording() -> Iterator[Counter[CodeType]]:
    """What is called in this block of what is about models."""
    calls: Counter[CodeType] = Counter()

    def record(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOT):
            calls[frame.f_code] += 1

    sys.setprofile(record)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def test_a_chat_request_passes_few_calls() -> None:
    """A chat request that a provider answers costs no more calls and coroutines than it did: not what only some
    requests need."""
    async with (
        scripted_backend(provider) as port,
        serving(PROVIDER % port) as made,
    ):
        for _ in range(3):  # prices and ways are looked up once
            assert (await made.ask("/v1/chat/completions", chat())).status == 200
        with recording() as calls:
            answered = await made.ask("/v1/chat/completions", chat())
    assert (answered.status, answered.noted.input_tokens) == (200, 9)
    coroutines = [code for code in calls if code.co_flags & inspect.CO_COROUTINE]
    assert 0 < len(coroutines) <= MOST_COROUTINES, [code.co_qualname for code in coroutines]
    for code in coroutines:  # they count again whenever they go on
        del calls[code]
    named = {f"{code.co_filename.removeprefix(ROOT)}: {code.co_name}": count for code, count in calls.items()}
    assert 0 < calls.total() <= MOST_CALLS, named
