"""What clients get where there is no answer of the backend."""

from typing import Annotated

from pydantic import Field, model_validator

from gateway.config.models.base import Model
from gateway.config.models.respond import BODYLESS
from gateway.config.values import addresses
from gateway.config.values.kinds import Text, Unset, refuse


class Fallback(Model):
    """What clients get where the gateway would answer with a 5xx of its own: no endpoint is there or answers in time,
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
