"""Errors of providers in one form."""

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
_CONTENT_CODES: Final = frozenset(
    {
        "content_filter",
        "content_policy",
        "content_policy_violation",
        "data_inspection_failed",
        "invalid_prompt",
        "moderation_blocked",
        "prohibited_content",
        "responsible_ai_policy_violation",
        "safety",
    }
)
_CONTENT_MESSAGE: Final = re.compile(
    r"content (?:policy|policies|filter|management policy)|usage (?:polic|guidelines)"
    r"|violat.{0,80}(?:polic|guidelines|terms)|flagged|moderation|safety (?:system|check|filter)",
    re.IGNORECASE,
)
_OF_THE_CALLER: Final = re.compile(r"account|organi[sz]ation|project|api[ -]?key|permission", re.IGNORECASE)
_RESOURCE: Final = re.compile(
    r"(?:access|use|read)(?: to)? (?:the |this |that )?(?:requested )?"
    r"(?:file|cached ?content|vector[ _]store|container|conversation|image|document|url)s?\b|may not exist",
    re.IGNORECASE,
)
_TOO_LARGE: Final = re.compile(r"request too large|must be reduced in order to run", re.IGNORECASE)
_ASKED_AND_ALLOWED: Final = re.compile(r"\blimit:? (\d{1,12}),.{0,80}\brequested:? (\d{1,12})", re.IGNORECASE)
_DELAY: Final = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
_OF_ALL_MODELS: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_MOST_DETAILS: Final = 32
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
    retry_after: float = 0.0  # seconds, where the error itself says so, as Gemini's do

    @property
    def refuses_content(self) -> bool:
        """Whether it is what the request says that is refused, and not who asks."""
        if self.code.lower() in _CONTENT_CODES:
            return True
        said = self.message[:2000]
        return _CONTENT_MESSAGE.search(said) is not None and _OF_THE_CALLER.search(said) is None

    @property
    def refuses_resource(self) -> bool:
        """Whether it is a file or the like that the key may not use, which the request has named."""
        return _RESOURCE.search(self.message[:2000]) is not None

    @property
    def too_large(self) -> bool:
        """Whether it is a limit per minute that this request alone exceeds, so that it will never pass."""
        said = self.message[:2000]
        found = _ASKED_AND_ALLOWED.search(said)
        return _TOO_LARGE.search(said) is not None or (found is not None and int(found[2]) > int(found[1]))

    @property
    def of_all_models(self) -> bool:
        """Whether the key has nothing left, for any model."""
        return self.code in _OF_ALL_MODELS

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
    return ProviderError(status, code, _text(error.get("message")), _retry_delay(error.get("details")))


def _retry_delay(details: object) -> float:
    """Seconds, of the `RetryInfo` among the details of an error (google.rpc); 0 where there is none."""
    for detail in details[:_MOST_DETAILS] if isinstance(details, list) else ():
        said = members(detail).get("retryDelay")
        if isinstance(said, str) and (found := _DELAY.fullmatch(said)) is not None:
            return float(found[1])
    return 0.0


def _text(value: object) -> str:
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
