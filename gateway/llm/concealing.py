"""Which call a request is, and what of it is no provider's business."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from gateway.auth.credentials import without_parameters
from gateway.errors import ErrorKind
from gateway.http import Exchange
from gateway.llm.apis import Call, find
from gateway.llm.naming import named_in_query
from gateway.llm.realtime import find_realtime
from gateway.llm.speaking import ModelError

LONGEST_NAME: Final = 256  # characters of a model's name
_KEYS: Final = frozenset({b"key"})  # parameters of a query


def conceal(exchange: Exchange, call: Call, dropped: Set[bytes]) -> None:
    """Keep from providers whatever may be a key of the client, and who calls. `dropped`: headers. Raises ModelError."""
    query = exchange.query
    if query:
        named = named_in_query(query)
        if named and not (call.api.stored and not call.id and [*named] == ["model"]):
            _refuse_query(exchange, named)
        exchange.query = without_parameters(query, _KEYS)
        exchange.query_concealed |= exchange.query != query
    if exchange.extra_headers:
        exchange.extra_headers = tuple([line for line in exchange.extra_headers if line[0] not in dropped])


def _refuse_query(exchange: Exchange, named: Sequence[str]) -> None:
    """Have the model named in one place. Raises ModelError."""
    if not exchange.websocket:
        detail = f"`{named[0][:LONGEST_NAME]}` is no parameter of the query here; name the model in the body"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_invalid", param="model", logged="a query names a model")
    if [*named] != ["model"]:
        detail = "the query of a session in real time must name one model, as `model`"
        raise ModelError(ErrorKind.BAD_REQUEST, detail, "model_invalid", param="model")


def called(exchange: Exchange) -> Call:
    """The call that a request is. Raises ModelError."""
    if exchange.websocket:
        call = find_realtime(exchange)
    else:
        call = find(exchange.method, exchange.target_path, anthropic=b"anthropic-version" in exchange.fields)
    if call is None:
        detail = f"there is no API of models at {exchange.method} {exchange.target_path}"
        raise ModelError(ErrorKind.NO_ROUTE, detail, "unknown_url")
    return call
