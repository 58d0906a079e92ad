"""Slack, by an incoming webhook: JSON of Block Kit, within its limits on blocks and texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson

from gateway.events import ApiAlert
from gateway.monitor.alerts.notices import Notice
from gateway.monitor.alerts.senders.http import Http

SHOWN: Final = 15  # alerts; a message has at most 50 blocks
MOST_HEADER: Final = 150  # characters of a header
MOST_SECTION: Final = 3000  # characters of a section
MOST_SECTIONS: Final = 10

_SIGNS: Final = {"firing": ":red_circle:", "resolved": ":large_green_circle:"}


class Slack:
    """One incoming webhook."""

    def __init__(self, url: str) -> None:
        self._http = Http(url)

    async def send(self, notice: Notice) -> None:
        """See `Sender`."""
        await self._http.post(orjson.dumps(payload(notice)))

    async def close(self) -> None:
        """See `Sender`."""
        await self._http.close()


def payload(notice: Notice) -> dict[str, Any]:
    """The body for Slack. `text` is shown in notifications."""
    return {"text": escaped(notice.title), "blocks": list(_blocks(notice))}


def _blocks(notice: Notice) -> Iterator[dict[str, Any]]:
    title = notice.title if len(notice.title) <= MOST_HEADER else notice.title[: MOST_HEADER - 3] + "..."
    yield {"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}}
    for alert in notice.alerts[:SHOWN]:
        yield _section(_lines(alert))
    more = len(notice.alerts) - SHOWN + notice.left_out
    if notice.alerts and more > 0:
        yield _section([f"... and {more} more"])
    for heading, lines in notice.sections[:MOST_SECTIONS]:
        yield _section([f"*{escaped(heading)}*", *map(escaped, lines)])
    if notice.link is not None:
        yield {"type": "context", "elements": [{"type": "mrkdwn", "text": f"<{_url(notice.link)}|Open the gateway>"}]}


def _section(lines: list[str]) -> dict[str, Any]:
    """One section, of as many lines as fit."""
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > MOST_SECTION:
            break
        text += f"\n{line}" if text else line
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _lines(alert: ApiAlert) -> list[str]:
    """What, where, since when, the figures, and what to do."""
    when = f"since {alert.since}" if alert.since else ""
    if alert.until is not None:
        when = f"{f'from {alert.since} ' if alert.since else ''}until {alert.until}"
    lines = [
        f"{_SIGNS[alert.state]} *{escaped(alert.alert)}* ({escaped(alert.severity)}) {alert.state}: "
        f"*{escaped(alert.subject)}*",
        escaped(alert.summary),
    ]
    if when:
        lines.append(when)
    if alert.runbook is not None:
        lines.append(f"<{_url(alert.runbook)}|Runbook>")
    return lines


def escaped(text: str) -> str:
    """A text that Slack shows as it is: it can neither name people and channels nor make links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _url(url: str) -> str:
    return escaped(url).replace("|", "%7C")
