"""Filters of the list of recent requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.admin.answers import Refused
from gateway.admin.operations import Parameter
from gateway.monitor.recent_requests import RecentRequest

MOST_TEXT = 200  # characters of one of these
_STATUSES = re.compile(r"[1-5](xx|[0-9]{2})(,[1-5](xx|[0-9]{2}))*", re.ASCII)

WANTED = (
    Parameter("route", "Only those of this route."),
    Parameter("upstream", "Only those of this service."),
    Parameter("status", "Only those that were answered so: `404`, `5xx`, `401,403`."),
    Parameter("consumer", "Only those of this consumer."),
    Parameter("text", "Only those with this in path, host, address, request id or error."),
)
"""The parameters of `wanted_requests`."""


@dataclass(frozen=True, slots=True)
class WantedRequests:
    """The filters on a request; None: no filter."""

    route: str | None = None
    upstream: str | None = None
    statuses: frozenset[str] | None = None  # `404`, `5xx`
    consumer: str | None = None
    text: str | None = None  # in lower case

    def has(self, each: RecentRequest) -> bool:
        """Whether this is one of them."""
        return (
            self.route in (None, each.route)
            and self.upstream in (None, each.upstream)
            and self.consumer in (None, each.consumer)
            and (self.statuses is None or not self.statuses.isdisjoint((str(each.status), f"{each.status // 100}xx")))
            and (self.text is None or self.text in _text(each))
        )


def wanted_requests(query: Mapping[str, str]) -> WantedRequests:
    """The filters of a query; empty values are no filters. Raises Refused."""
    given = {parameter.name: query.get(parameter.name) or None for parameter in WANTED}
    if any(value is not None and len(value) > MOST_TEXT for value in given.values()):
        raise Refused(400, f"each filter has at most {MOST_TEXT} characters")
    status, text = given.pop("status"), given.pop("text")
    if status is not None and not _STATUSES.fullmatch(status):
        raise Refused(400, "status: expected such as 404, 5xx or 401,403")
    statuses = None if status is None else frozenset(status.split(","))
    return WantedRequests(**given, statuses=statuses, text=None if text is None else text.lower())


def _text(each: RecentRequest) -> str:
    """The searched texts: route and error are empty if there are none."""
    parts = (each.method, each.path, each.original_path, each.host, each.client, each.request_id, each.error or "")
    return " ".join(parts).lower()
