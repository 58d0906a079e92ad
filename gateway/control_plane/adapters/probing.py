"""Probes: is a gateway there, and does it say that it works?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from gateway.control_plane.adapters.outbound import CallFailed, Outbound, Reply, without_query
from gateway.control_plane.adapters.protocol import Health

_MOST: Final = 64 * 1024  # bytes of an answer
_UNWELL: Final = frozenset(
    {"unhealthy", "down", "error", "fail", "failed", "failing", "critical", "unavailable", "notready"}
    | {"offline", "stopped", "stopping", "dead"}
)
"""Not the words for well, which are many more."""


async def probe(
    outbound: Outbound, urls: Sequence[str], seconds: float, headers: Mapping[str, str] | None = None
) -> tuple[Health, Reply | None]:
    """Ask one address after the other until one answers well, in `seconds` altogether.

    The next one is asked only where one answers that it has no such thing: a gateway that does not answer is not well,
    whatever answers at another port of its host.
    """
    failures: list[CallFailed] = []
    end = time.monotonic() + seconds
    for url in urls:
        began = time.monotonic()
        try:
            reply = await outbound.send("GET", url, max(end - began, 0.001), headers=headers, most=_MOST)
            check_well(reply)
        except CallFailed as error:
            failures.append(error)
            if error.code is None or error.code >= 500:
                break
        else:
            return Health(True, round((time.monotonic() - began) * 1000, 3), url=without_query(url)), reply
    # The last failure is the one that ended the probe.
    return Health(False, reason=failures[-1].reason, message="; ".join(str(each) for each in failures)), None


def check_well(reply: Reply) -> None:
    """Raises CallFailed where the answer says that the gateway is not well, or is none of a gateway."""
    if "html" in reply.headers.get("content-type", "").lower():
        raise CallFailed("answer", f"{reply.url} answered with a web page: this is no gateway's health")
    try:
        found: Any = reply.json()
    except CallFailed:
        if "json" in reply.headers.get("content-type", "").lower():
            raise
        return  # some answer "OK"
    status = found.get("status") if isinstance(found, dict) else None
    if isinstance(status, str) and status.lower().replace("_", "").replace(" ", "") in _UNWELL:
        raise CallFailed("answer", f"{reply.url} says that it is {reply.text(status)}")
    if status is False:
        raise CallFailed("answer", f"{reply.url} says that it is not well")


def beside(url: str, port: int) -> str | None:
    """The same scheme and host, at another port, without a path. None: it is that port."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.port == port:
        return None
    return urlunsplit((parts.scheme, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "", "", ""))
