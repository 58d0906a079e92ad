"""How it is found out which endpoints of a service can answer."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config.models.base import Model, Section
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, SomeOf, Text, TextLike, Unset, as_list, refuse
from gateway.config.values.quantities import Duration, Percent


def _range(value: object) -> tuple[int, int]:
    low, _, high = str(value).partition("-")
    if isinstance(value, bool) or re.fullmatch(r"[1-5][0-9]{2}(-[1-5][0-9]{2})?", str(value), re.ASCII) is None:
        raise refuse('a status is a number such as 200, or a range such as "200-299"')
    if int(high or low) < int(low):
        raise refuse("the range ends before it begins; write the smaller status first")
    return int(low), int(high or low)


StatusRange = Annotated[
    tuple[int, int],
    Kind('status, or "200-299"'),
    BeforeValidator(_range, json_schema_input_type=int | str),
]
"""The first and the last status."""

CheckPath = Annotated[
    str,
    TextLike("path", r"/[!-~]*", "a path begins with a slash, and has neither spaces nor letters outside of ASCII"),
]


def _one(value: object) -> object:
    return [value] if isinstance(value, int) else as_list(value)


class Health(Model):
    """Each endpoint is asked regularly, on a connection of its own. Either `path` or `tcp`."""

    path: Unset[CheckPath] = Field(None, description="The path to request, with its query.", examples=["/health"])
    tcp: bool = Field(False, description="An endpoint that accepts a connection is up; nothing is asked.")
    interval: Duration = Field(10, description="From one check of an endpoint to the next, give or take a tenth.")
    timeout: Duration = Field(2, description="By which a check must have its answer, connecting included.")
    unhealthy_after: int = Field(3, ge=1, le=100, description="Failed checks in a row that take an endpoint out.")
    healthy_after: int = Field(2, ge=1, le=100, description="Passed checks in a row that bring it back.")
    initial: Literal["healthy", "unhealthy"] = Field(
        "healthy",
        description="The state of an endpoint before its first check, which is made at once. The first passed check "
        "of an `unhealthy` one makes it healthy.",
    )
    method: Annotated[str, Kind("method"), AfterValidator(addresses.parse_method)] = Field(
        "GET", description="The method of the request."
    )
    host: Unset[Text] = Field(None, description="The Host of the request. Unset: what requests to the service have.")
    status: Annotated[SomeOf[StatusRange], BeforeValidator(_one)] = Field(
        ((200, 399),), description="Statuses of a healthy endpoint.", examples=[[200, 204]]
    )
    body: Unset[Text] = Field(None, description="A text that its answer contains, in the first 64 KiB.")

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Health":
        if (self.path is None) == (not self.tcp):
            raise refuse("health needs either path, such as /health, or tcp: true")
        if self.tcp and self.model_fields_set & {"method", "host", "status", "body"}:
            raise refuse("method, host, status and body are about answers, and tcp asks for none; remove them, or tcp")
        return self


class SuccessRate(Section):
    """An endpoint whose share of successes is far below that of the others is ejected."""

    deviations: float = Field(
        1.9, ge=0, le=100, description="How many standard deviations below the mean are too far. 0: never."
    )
    endpoints: int = Field(
        5, ge=1, description="With fewer that have enough requests, nothing is judged. Of fewer than 5, none can be."
    )
    requests: int = Field(100, ge=1, description="Requests of one endpoint in one interval that are enough.")


class FailurePercentage(Section):
    """An endpoint that fails so many of its requests is ejected, whatever the others do."""

    threshold: Percent = Field(85, description="From this share of failures on. 0: never.")
    endpoints: int = Field(5, ge=1, description="With fewer that have enough requests, nothing is judged.")
    requests: int = Field(50, ge=1, description="Requests of one endpoint in one interval that are enough.")


class Outliers(Section):
    """Endpoints that fail their requests are left out for a while. `off` in the place of this: never."""

    consecutive: int = Field(
        5,
        ge=0,
        description="Failures in a row: answers of 500 and above, time-outs, resets and failures to connect, and "
        "requests that wait much longer than any at the other endpoints. 0: does not count.",
    )
    consecutive_gateway: int = Field(
        0, ge=0, description="The same without answers of the backend's own, such as 500. 0: does not count."
    )
    interval: Duration = Field(10, description="How often the shares are judged, and ejections end.")
    base_ejection: Duration = Field(
        30, description="How long an endpoint is out, times the number of its ejections lately."
    )
    max_ejection: Duration = Field(300, description="The longest ejection.")
    max_ejected: Percent = Field(50, description="At most this share of the endpoints is out, and never the last one.")
    success_rate: SuccessRate = Field(SuccessRate.unset(), description="Ejection by comparison with the others.")
    failure_percentage: FailurePercentage = Field(FailurePercentage.unset(), description="Ejection by a fixed share.")


def _unless_off(value: object) -> object:
    return None if value == "off" or value is False else Outliers() if value is None else value


OutliersOrOff = Annotated[
    Outliers | None,
    Kind("keys below, or off"),
    BeforeValidator(_unless_off, json_schema_input_type=Outliers | Literal["off", False]),
]
"""The settings; None for `off`."""
