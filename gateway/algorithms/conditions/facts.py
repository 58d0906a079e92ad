"""The input of a condition: one exchange, and a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from gateway.http import Exchange
from gateway.http.fields import lines_of
from gateway.http.parameters import parameters

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_NO_CLAIMS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Moment:
    """Date and time in one time zone."""

    hour: int
    minute: int
    weekday: str
    date: str  # 2026-12-31


class Calendar:
    """Local times of a time zone; each minute is computed once."""

    __slots__ = ("_minute", "_moment", "_zone")

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._minute = -1
        self._moment = Moment(0, 0, WEEKDAYS[0], "")

    def moment(self, now: float) -> Moment:
        """`now` in seconds since 1970, in UTC."""
        minute = int(now // 60)
        if minute != self._minute:
            local = datetime.fromtimestamp(minute * 60, self._zone)
            self._moment = Moment(local.hour, local.minute, WEEKDAYS[local.weekday()], local.date().isoformat())
            self._minute = minute
        return self._moment


@dataclass(slots=True)
class Facts:
    """An exchange as conditions see it; what costs something is worked out when it is asked for."""

    exchange: Exchange
    now: float
    calendar: Calendar
    _parameters: dict[str, str | None] | None = field(default=None, init=False)

    @property
    def claims(self) -> Mapping[str, Any]:
        """Those of the caller's token."""
        identity = self.exchange.identity
        return identity.claims if identity else _NO_CLAIMS

    @property
    def moment(self) -> Moment:
        """Now, where the calendar hangs."""
        return self.calendar.moment(self.now)

    def header(self, name: bytes) -> str | None:
        """Its value; the lines of a list are one. Any other that is duplicated has none, as a parameter."""
        found = lines_of(self.exchange.headers, self.exchange.fields, name)
        return found[0].decode("utf-8", "replace") if len(found) == 1 else None

    def parameter(self, name: str) -> str | None:
        """The value of a query parameter. One that is duplicated has none: the backend may take either."""
        return self.parameters.get(name)

    @property
    def parameters(self) -> Mapping[str, str | None]:
        """All of the query, decoded."""
        if self._parameters is None:
            query = self.exchange.query
            found: dict[str, str | None] = {}
            for name, value in parameters(query):
                found[name] = None if name in found else value
            self._parameters = found
        return self._parameters


Getter = Callable[[Facts], Any]
"""The value of something for these facts; None where there is none. Never raises."""
