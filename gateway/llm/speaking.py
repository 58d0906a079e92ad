"""The gateway's own answers on routes to models: errors in the format of the client's SDK, and headers."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from typing import Final

import orjson

from gateway.custom_code import is_failure
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Exchange, Handler, Response
from gateway.http.model_record import ModelRecord
from gateway.http.problems import AnsweredError
from gateway.llm.answers import refusal
from gateway.llm.apis import MODELS, Family, find
from gateway.llm.claims import Refused
from gateway.llm.request import BadBody

logger = logging.getLogger("gateway")

_CODES: Final = {
    ErrorKind.UNAUTHENTICATED: "invalid_api_key",
    ErrorKind.QUOTA_EXCEEDED: "rate_limit_exceeded",
    ErrorKind.BODY_TOO_LARGE: "request_too_large",
}
REMEMBERED: Final = 500  # names in headers, of at most some 600 bytes: clients name models
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_FRAMING: Final = frozenset({b"content-type", b"content-length", b"cache-control", b"x-request-id"})


class ModelError(GatewayError):
    """A refusal with a code that programs match on, and the member of the request that it is about.

    `logged` stands in logs where `detail` repeats what the client has written.
    """

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        code: str,
        *,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        logged: str = "",
    ) -> None:
        super().__init__(kind, logged or detail, headers=headers, public_detail=detail)
        self.code = code
        self.param = param


class NotKnown(ModelError):
    """It is not known here who has made what a request refers to, or whether it is the caller's."""


def bad_body(error: BadBody) -> ModelError:
    """A body that cannot be read, as a refusal."""
    return ModelError(ErrorKind.BAD_REQUEST, str(error), "invalid_request", param=error.member)


def family_of(exchange: Exchange, path: str) -> Family:
    """Whose SDK has sent this, by its path and headers."""
    fields = exchange.fields
    call = find(exchange.method, path, anthropic=b"anthropic-version" in fields)
    if call is not None and call.api is not MODELS:
        return call.api.family
    if b"anthropic-version" in fields or path.startswith("/v1/messages"):
        return "anthropic"
    of_google = path.startswith("/v1beta/") or b"x-goog-api-key" in fields or b"x-goog-api-client" in fields
    return "gemini" if of_google else "openai"


def in_format(handler: Handler, *, full: bool) -> Handler:
    """The handler, with all errors of the gateway in the client's format. `full`: also what names hosts and settings.

    What a provider says is passed on as it came.
    """

    async def spoken(exchange: Exchange) -> Response:
        path = exchange.target_path  # before the handler changes it
        try:
            response = await handler(exchange)
        except GatewayError as error:
            if isinstance(error, AnsweredError) and error.response.status < 400:
                raise
            exchange.error = without_frames(error)
            return _refused(exchange, family_of(exchange, path), error, full=full)
        except Exception as error:
            if not is_failure(error):
                raise
            method, path = exchange.method, exchange.path
            logger.exception("request %s: %s %s failed", exchange.request_id, method, path)
            exchange.error = without_frames(error)
            unknown = GatewayError(ErrorKind.INTERNAL, "see the gateway's log under this id")
            return _refused(exchange, family_of(exchange, path), unknown, full=full)
        return response if response.status < 400 else _translated(exchange, family_of(exchange, path), response)

    return spoken


def _refused(exchange: Exchange, family: Family, error: GatewayError, *, full: bool) -> Response:
    kind = error.kind
    sentence = error.detail if full or error.public_detail is None else error.public_detail
    headers = [line for line in error.headers if line[0] not in _FRAMING]
    if isinstance(error, AnsweredError):
        headers += [line for line in error.response.headers if line[0] == b"www-authenticate"]
        sentence = kind.title
    code = _CODES.get(kind, kind.slug.replace("-", "_")) if isinstance(kind, ErrorKind) else kind.slug
    param = None
    if isinstance(error, Refused) and error.is_used_up:
        code = "insufficient_quota"
    if isinstance(error, ModelError):
        code, param = error.code, error.param
    return refusal(family, kind.status, code, sentence, request_id=exchange.request_id, param=param, headers=headers)


def _translated(exchange: Exchange, family: Family, response: Response) -> Response:
    """A problem document that a policy has answered with, in the client's format."""
    record = exchange.model
    if (record is not None and record.from_provider) or not isinstance(response.body, bytes):
        return response
    kind = next((value for name, value in response.headers if name == b"content-type"), b"")
    if not kind.startswith(b"application/problem+json"):
        return response
    try:
        document = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return response
    said = document if isinstance(document, dict) else {}
    sentence = str(said.get("detail") or said.get("title") or "the request was refused")
    code = str(said.get("type", "")).rpartition(":")[2].replace("-", "_") or "refused"
    headers = [line for line in response.headers if line[0] not in _FRAMING]
    return refusal(family, response.status, code, sentence, request_id=exchange.request_id, headers=headers)


def who_answered(record: ModelRecord) -> list[tuple[bytes, bytes]]:
    """Who answered, in headers."""
    lines = [_line(b"x-gateway-profile", record.profile)]
    if record.provider:
        lines.append(_line(b"x-gateway-model-backend", f"{record.provider}/{record.model}"))
    if record.switches:
        said = ", ".join(f"{switch.origin}; reason={switch.reason}" for switch in record.switches)
        lines.append((b"x-gateway-switched", _shown(said)))
    if record.dropped:
        lines.append((b"x-gateway-dropped", _shown(", ".join(record.dropped))))
    return lines


@lru_cache(REMEMBERED)
def _line(name: bytes, text: str) -> tuple[bytes, bytes]:
    return name, _shown(text)


def _shown(text: str) -> bytes:
    """A text as the value of a header: no client ends the line with the name of a model or a field."""
    if not (text.isascii() and text.isprintable()):
        text = _UNPRINTABLE.sub("?", text)
    return text.encode("ascii", "replace")
