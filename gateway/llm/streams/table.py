"""Which reader reads the answers of an API."""

from __future__ import annotations

from gateway.llm.apis import Api
from gateway.llm.streams.chat import ChatReader
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.messages import MessagesReader
from gateway.llm.streams.reader import Reader


def reader_of(api: Api, *, asked: bool = False) -> Reader:
    """For one stream. `asked`: the gateway has asked for the usage in it, the client has not."""
    if api.name == "anthropic.messages":
        return MessagesReader()
    if api.name == "gemini.generate":
        return GeminiReader()
    return ChatReader(asked=asked)
