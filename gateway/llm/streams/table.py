"""Which reader reads the answers of an API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.llm.apis import Api
from gateway.llm.streams.chat import ChatReader
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.messages import MessagesReader
from gateway.llm.streams.other import OtherReader
from gateway.llm.streams.reader import Reader
from gateway.llm.streams.responses import ResponsesReader

_CHAT: Final = frozenset({"openai.chat", "openai.completions"})
_READERS: Final[Mapping[str, type[Reader]]] = {
    "openai.responses": ResponsesReader,
    "anthropic.messages": MessagesReader,
    "gemini.generate": GeminiReader,
}


def reader_of(api: Api, *, asked: bool = False) -> Reader:
    """For one stream. `asked`: the gateway has asked for the usage in it, the client has not."""
    return ChatReader(asked=asked) if api.name in _CHAT else _READERS.get(api.name, OtherReader)()
