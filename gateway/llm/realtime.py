"""WebSockets of models (OpenAI's Realtime API): passed on as any is, with the key exchanged."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from gateway.auth.credentials import without_parameters
from gateway.http import Exchange
from gateway.http.parameters import query_values
from gateway.llm.apis import Api, Call

REALTIME: Final = Api("openai.realtime", "openai", metered=False, reads_body=False)

_PATH: Final = "/v1/realtime"
_MODEL: Final = frozenset({b"model"})


def find_realtime(exchange: Exchange) -> Call | None:
    """The call that a handshake is; None for what is none."""
    if not exchange.websocket or exchange.target_path != _PATH:
        return None
    named = query_values(exchange.query, "model")
    return Call(REALTIME, _PATH, model=named[0].decode("utf-8", "replace") if len(named) == 1 else "")


def with_model(query: bytes, model: str) -> bytes:
    """The query with this model."""
    rest = without_parameters(query, _MODEL)
    named = b"model=" + quote(model, safe="").encode()
    return named + b"&" + rest if rest else named
