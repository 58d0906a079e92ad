"""Settings of a route for failures and slowness of its service: hedges, fallbacks, mirrors."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.models.respond import BODYLESS
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Text, Unset, refuse
from gateway.config.values.quantities import PERCENT_PATTERN, Duration, Size, parse_percent


class Hedge(Section):
    """A second attempt at another endpoint where the first takes unusually long; the first good answer wins. Of GET,
    HEAD and OPTIONS without a body only, within the retry budget."""

    after: Unset[Duration] = Field(
        None,
        description="When. Unset: after the time in which 95% of the last answers of this route came; with fewer than "
        "twenty of them, never.",
    )


class Fallback(Model):
    """The response to clients in place of a 5xx of the gateway itself: no endpoint is there or answers in time,
    the breaker is open, or the service has too many requests. Responses of the backend are passed on as they are.

    Exactly one of: a fixed answer (`status`, `body`, `content_type`), `target`, `stale`.
    """

    status: Unset[Annotated[int, Field(ge=200, le=599)]] = Field(None, description="Of the fixed answer. Unset: 503.")
    body: Unset[str] = Field(None, description="Of the fixed answer.")
    content_type: Text = Field("text/plain; charset=utf-8", description="Of the body.")
    target: Unset[addresses.TargetText] = Field(
        None,
        description="Where the request goes instead, as `target` of a route: not where an endpoint may have acted on "
        "it already, unless it may be repeated.",
    )
    stale: bool = Field(
        False, description="A response of the cache, however old, that the response itself does not forbid to use."
    )

    @model_validator(mode="after")
    def _is_one(self) -> "Fallback":
        fixed = self.status is not None or self.body is not None
        if fixed + (self.target is not None) + self.stale != 1:
            raise refuse("a fallback is one of: status with body, target, or stale: true")
        if self.body and self.status in BODYLESS:
            raise refuse(f"a response with the status {self.status} has no body; remove it, or take another status")
        return self


def _without_sign(value: object) -> object:
    return parse_percent(value) if isinstance(value, str) else value


PerCent = Annotated[
    float,
    Kind("number, or percentage"),
    BeforeValidator(_without_sign, json_schema_input_type=float | Annotated[str, Field(pattern=PERCENT_PATTERN)]),
]


class Mirror(Model):
    """Copies of requests, sent when the request is over. They wait in a queue of their own, and what does not fit into
    it is dropped and counted."""

    target: addresses.TargetText = Field(description="Where the copies go, as `target` of a route.")
    percent: PerCent = Field(100, gt=0, le=100, description="How many of a hundred requests are copied, by chance.")
    max_body: Size = Field(
        64 * 1024, description="The largest request body that is copied; a request with a larger one is not."
    )
