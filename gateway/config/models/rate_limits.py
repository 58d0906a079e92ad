"""middleware.yaml: rate limits, and what quotas share with them."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.algorithms.gcra import LARGEST, Window
from gateway.config.models.policy import Policy
from gateway.config.values.addresses import parse_read_header
from gateway.config.values.kinds import Kind, SomeOf, Text, Unset, accepted_by, refuse

_LIMIT: Final = r"([1-9][0-9]{0,8})/([1-9][0-9]{0,6})?([smhd])"
_FOREIGN_LIMIT: Final = r"([1-9][0-9]{0,8})r?(?:/| per )(s|m|h|d)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?|ays?)?"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 31 * 86400
_FOREIGN_PARTS = {
    **dict.fromkeys(("ip", "client_ip", "remote_ip", "remote_addr", "binary_remote_addr", "source_ip"), "address"),
    **dict.fromkeys(("credential", "user", "principal", "api_key", "username"), "consumer"),
    "service": "route",
}
_PLAIN_PARTS = ("consumer", "tenant", "address", "route")


def parse_limit(text: str) -> tuple[int, int]:
    """Units and seconds of `10/s`, `1000/h`, `500/15m`."""
    match = re.fullmatch(_LIMIT, text, re.ASCII)
    if match is None:
        foreign = re.fullmatch(_FOREIGN_LIMIT, text, re.ASCII)
        hint = f"; write {foreign[1]}/{foreign[2]}" if foreign else ""
        raise refuse("expected a number, a slash and s, m, h or d, such as 10/s, 1000/h or 500/15m", hint)
    seconds = int(match[2] or 1) * _SECONDS[match[3]]
    if seconds > _LONGEST:
        raise refuse("a limit is for at most 31 days; for calendar months there are quotas")
    return int(match[1]), seconds


def _check_windows(limits: tuple[str, ...]) -> tuple[str, ...]:
    lengths = [parse_limit(text)[1] for text in limits]
    if len(set(lengths)) < len(lengths):
        raise refuse("two of these limits are for the same time; keep the smaller one")
    return limits


def check_part(text: str, more: tuple[str, ...] = ()) -> str:
    """A part of a key in the form in which it is compared; raises the error of `refuse`, which names `more`, too."""
    kind, colon, name = text.partition(":")
    if text in _PLAIN_PARTS or (kind == "claim" and name):
        return text
    if kind == "header" and colon:
        return f"header:{parse_read_header(name)}"
    likely = _FOREIGN_PARTS.get(text.lower().lstrip("$").replace("-", "_"), "")
    hint = f"; write {likely}" if likely else ""
    known = ", ".join(("consumer", "tenant", "address", "route", *more))
    raise refuse(f"expected {known}, header:Name or claim:name", hint)


LimitText = Annotated[str, Kind("limit", r"^[1-9][0-9]{0,8}/([1-9][0-9]{0,6})?[smhd]$"), accepted_by(parse_limit)]
Windows = Annotated[SomeOf[LimitText], AfterValidator(_check_windows)]
"""Several limits that hold at once."""

KeyPart = Annotated[str, Kind("part of a key"), AfterValidator(check_part)]

KEY_DESCRIPTION = (
    "Whose requests count together: `consumer`, `tenant`, `address` (of IPv6 the /64 network), `route`, `header:Name`, "
    "`claim:name`, or several of them together. A part that a request does not have is replaced by its address. A "
    "header that clients choose freely limits no one."
)
ON_FAILURE_DESCRIPTION = (
    "While the store does not answer: `open` lets pass, `closed` answers 503, `local` counts in each process by "
    "itself, from its last state on, and takes its share of what was left, by how many there were."
)


class RateLimit(Policy):
    """Requests in a time; a caller over it gets a 429. (GCRA: what is used up comes back evenly.)"""

    key: SomeOf[KeyPart] = Field(("consumer",), description=KEY_DESCRIPTION, examples=[["consumer", "route"]])
    limits: Windows = Field(
        description="The limits, all of which apply: `10/s`, `1000/h`, `500/15m`. A request that one of them refuses "
        "is counted by none.",
        examples=[["10/s", "1000/h"]],
    )
    burst: Unset[Annotated[int, Field(ge=1, le=1_000_000_000)]] = Field(
        None,
        description="How many may come at once, in the shortest of the times. Unset: as many as its limit says. "
        "1: evenly spaced.",
    )
    cost: int = Field(1, ge=0, le=1_000_000, description="The cost of a request.")
    costs: dict[Text, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        {}, description="The cost of a request, by the id of its route or group; default 1, 0 is free."
    )
    tiers: dict[Text, Windows] = Field(
        {},
        description="Limits in place of `limits` for consumers of a group. A consumer in several groups has the "
        "first one listed here.",
    )
    store: Literal["memory", "redis"] = Field(
        "memory",
        description="`memory`: counted in each process by itself, exactly. `redis`: for all replicas together.",
    )
    sync: Literal["exact", "leased"] = Field(
        "exact",
        description="With `redis`. `exact`: each request asks, and never one too many passes. `leased`: a replica "
        "spends a share ahead and settles in the background, so that requests do not wait; at most half a burst too "
        "many pass, or one for each other replica, whichever is more.",
    )
    on_failure: Literal["open", "closed", "local"] = Field("local", description=ON_FAILURE_DESCRIPTION)

    @model_validator(mode="after")
    def _costs_can_be_paid(self) -> "RateLimit":
        dearest = max([self.cost, *self.costs.values()])
        for limits in (self.limits, *self.tiers.values()):
            for window in windows_of(limits, self.burst):
                if window.burst < dearest:
                    raise refuse("a cost is higher than what may come at once, so such a request never passes")
                if window.capacity > LARGEST:
                    raise refuse("burst takes more than 100 days to come back; lower it, or raise the limit")
        return self


def windows_of(limits: tuple[str, ...], burst: int | None) -> tuple[Window, ...]:
    """The parsed limits, the shortest time first; `burst` applies to that one."""
    parsed = sorted((parse_limit(text) for text in limits), key=lambda limit: limit[1])
    return tuple(
        Window(units, seconds, burst if burst is not None and index == 0 else units)
        for index, (units, seconds) in enumerate(parsed)
    )
