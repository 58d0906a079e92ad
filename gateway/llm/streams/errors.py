"""What providers say of a failure, in one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.llm.usage import members

_OVERFLOW_CODES: Final = frozenset({"context_length_exceeded", "model_context_window_exceeded"})
_OVERFLOW_MESSAGE: Final = re.compile(
    r"(?:prompt|input) is too long|maximum (?:context|prompt) length|context (?:length|window|size|limit)"
    r"|input (?:length|token count).{0,80}exceed|too many (?:input )?tokens|reduce the length",
    re.IGNORECASE,
)
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
}


@dataclass(frozen=True, slots=True)
class ProviderError:
    """A failure. `message` is the provider's own text, which may quote a request or a key: never for logs."""

    status: int  # as HTTP has it, also where it came in a stream, or in an answer with 200; 0 where it says nothing
    code: str  # the provider's own name for it: of its code, or of its type
    message: str

    @property
    def overflow(self) -> bool:
        """Whether the request has more tokens than the model takes."""
        if self.code in _OVERFLOW_CODES:
            return True
        return self.status in (0, 400, 413) and _OVERFLOW_MESSAGE.search(self.message[:2000]) is not None


def error_in(document: Mapping[str, Any], status: int = 0) -> ProviderError | None:
    """The error that an answer or an event is, in any of the three formats and those of servers that follow them."""
    said = document.get("error")
    if said is None and document.get("object") == "error":
        said = document
    if not said:
        return None
    if isinstance(said, str):
        return ProviderError(status, _text(document.get("code")), _text(said))
    error = members(said)
    code = _text(error.get("code")) or _text(error.get("status")) or _text(error.get("type"))
    number = error.get("code")
    if not status and isinstance(number, int) and 400 <= number <= 599:
        status = number
    status = status or _STATUSES.get(_text(error.get("type")), 0) or _STATUSES.get(code, 0)
    return ProviderError(status, code, _text(error.get("message")))


def _text(value: object) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
