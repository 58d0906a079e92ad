"""Retries, and their budget for a service."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.models.base import Model, Section
from gateway.config.values.kinds import Kind, SomeOf, Unset, refuse
from gateway.config.values.quantities import Duration, Percent

WORDS = ("connect", "reset", "timeout")


def _check_failure(value: str) -> str:
    if value not in WORDS and re.fullmatch("[45](?:[0-9][0-9]|xx)", value, re.ASCII) is None:
        raise refuse("expected connect, reset, timeout, a status from 400 to 599, 4xx or 5xx")
    return value


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Failure = Annotated[
    str,
    Kind("connect, reset, timeout, a status, 4xx or 5xx"),
    AfterValidator(_check_failure),
    BeforeValidator(_as_text, json_schema_input_type=str | int),
]


class Retry(Model):
    """Retries of a route. Without this key: up to ten attempts after `connect`, three after
    `reset` and `timeout`.

    Only GET, HEAD, OPTIONS, PUT, DELETE and requests with an `Idempotency-Key` are sent again after they may have been
    seen by an endpoint, and only with a body of at most 64 KiB; and nothing once a client has a part of a response.
    """

    attempts: int = Field(3, ge=1, le=10, description="How often a request is sent at most, the first time included.")
    on: SomeOf[Failure] = Field(
        ("connect", "reset", "timeout"),
        description="The failures after which to retry: `connect`, the endpoint was not reached (of any method); "
        "`reset`, the connection ended before an answer came; `timeout`, no answer came in time; and statuses, of "
        "responses and of these failures alike: 502 is a refused connection, too. `5xx` is every status from 500 on.",
    )
    per_try: Unset[Duration] = Field(
        None,
        description="How long an attempt may take to connect, and from the end of the request to the head of the "
        "response, if that is less than `timeout`. Slower attempts are retried as after `timeout` or 504.",
    )


class RetryBudget(Section):
    """How much may be sent once more, by service: the larger of the two, in any ten seconds."""

    ratio: Percent = Field(
        20, description="Retries for each request. `20%`: a service gets at most 1.2 times of what came."
    )
    minimum_per_second: int = Field(
        10, ge=0, le=100_000, description="Retries that there may be however few requests come."
    )
