"""Alerts in the admin API: `/alerts`, `POST /alerts/test`, `/silences`."""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.answers import Refused, json_answer, json_body
from gateway.admin.operations import Operation, Parameter
from gateway.admin.pages import PAGE, page_of
from gateway.admin.tokens import Holder
from gateway.config.problems import suggest
from gateway.config.values.instants import format_instant, parse_instant
from gateway.config.values.quantities import parse_duration
from gateway.monitor.alerts.notifying import Receiver
from gateway.monitor.alerts.runner import Alerting
from gateway.monitor.alerts.senders.sender import NotSent
from gateway.monitor.alerts.silences import LONGEST, MATCHED, MOST_TEXT, Silence, SilencesFull
from gateway.monitor.alerts.states import Alert, State
from gateway.reload import Reloader

logger = logging.getLogger("gateway.alerts")

MAX_BODY: Final = 8 * 1024
TEST_SECONDS: Final = 12.0
EXAMPLE: Final = '{"rule": "errors", "subject": "route orders", "for": "2h", "comment": "..."}'
_FIELDS: Final = (*MATCHED, "for", "until", "comment")
_STATES: Final = ("firing", "pending", "resolved")


def alerts_operations(reloader: Reloader) -> list[Operation]:
    """The API of the alerts that live."""
    api = _Api(reloader)
    text = {"type": "string"}
    body = {
        "type": "object",
        "description": "Which alerts, by patterns in which `*` and `?` stand for others; how long, and why.",
        "properties": dict.fromkeys(_FIELDS, text),
        "additionalProperties": False,
    }
    state = Parameter("state", f"Only those that are {', '.join(_STATES[:-1])} or {_STATES[-1]}.")
    sender = Parameter("sender", "Only this one of alerts.send.")
    listed = (
        "`alerts`: rule, severity, state, subject, since, until, summary, figures, runbook, and the id of the silence "
        "that keeps it from being sent; `senders`: how each one does; `speaks`: whether this gateway sends, of "
        "those that share a Redis."
    )
    created = f"`{EXAMPLE}`; `until` and a point in time in place of `for`. At least one of rule, subject and severity."
    wrong = {400: "what is wrong with it", 415: "it is not application/json", 507: "there are too many"}
    return [
        Operation(
            "GET",
            "/alerts",
            api.listed,
            "Alerts that fire, are pending, or were over in the last hour; and their senders.",
            (state, *PAGE),
            refusals={400: "unknown state"},
            description=listed,
        ),
        Operation(
            "POST",
            "/alerts/test",
            api.test,
            "Send a test to all senders, or to one, and say how that went.",
            (sender,),
            refusals={404: "unknown sender"},
        ),
        Operation("GET", "/silences", api.silences, "The active silences.", PAGE),
        Operation(
            "POST",
            "/silences",
            api.silence,
            "Have alerts not sent for a while.",
            body=body,
            status=201,
            refusals=wrong,
            description=created,
        ),
        Operation("DELETE", "/silences/{id}", api.lift, "End a silence.", refusals={404: "there is none"}),
    ]


class _Api:
    def __init__(self, reloader: Reloader) -> None:
        self._owner = reloader.owner
        self._hidden = reloader.hidden

    @property
    def _alerting(self) -> Alerting:
        """Raises Refused."""
        for alerting in self._owner.all(Alerting):
            if alerting.settings.monitors:
                return alerting
        raise Refused(404, "this process does not look at alerts; ask the one that has the role monitor")

    async def listed(self, request: Request) -> Response:
        wanted, page = request.query_params.get("state"), page_of(request.query_params)
        if wanted is not None and wanted not in _STATES:
            raise Refused(400, f"state is one of {', '.join(_STATES)}")
        found = sorted(
            (alert for alert in self._alerting.board.alerts.values() if wanted in (None, alert.state.value)),
            key=lambda alert: (_STATES.index(alert.state.value), -alert.since, alert.key),
        )
        content = {
            "alerts": [self._alert(alert) for alert in page.of(found)],
            "count": len(found),
            "left_out": dict(self._alerting.board.left_out),
            "senders": [self._sender(receiver) for receiver in self._alerting.receivers.values()],
            "speaks": self._alerting.speaks,
        }
        return json_answer(content, headers=page.next("/alerts", len(found)))

    def _alert(self, alert: Alert) -> dict[str, Any]:
        now, offset = self._alerting.clock.now(), self._alerting.clock.offset()
        message = self._alerting.wording(offset).message(alert)
        silence = self._alerting.silences.silencing(alert.key, now)
        return {
            "rule": alert.key.rule,
            "severity": alert.key.severity,
            "state": alert.state.value,
            "subject": {"kind": alert.key.kind, "name": alert.key.name},
            "since": message.since,
            "until": message.until,
            "summary": self._hidden(message.summary),
            "figures": message.figures,
            "runbook": message.runbook,
            "silenced_by": None if silence is None else silence.id,
        }

    def _sender(self, receiver: Receiver) -> dict[str, Any]:
        delivery = receiver.delivery
        return {
            "name": receiver.name,
            "kind": receiver.config.kind,
            "severities": receiver.config.severities,
            "summary": receiver.config.summary,
            "waiting": delivery.waiting,
            "sent": delivery.sent,
            "failures": delivery.failures,
            "dropped": delivery.dropped,
            "failure": self._hidden(delivery.failure) or None,
        }

    async def test(self, request: Request) -> Response:
        wanted = request.query_params.get("sender")
        receivers = [each for each in self._alerting.receivers.values() if wanted in (None, each.name)]
        if not receivers:
            known = ", ".join(self._alerting.receivers)
            raise Refused(404, f"unknown sender; the senders are: {known or 'none; name some in alerts.send'}")
        notice = self._alerting.test_notice()

        async def tried(receiver: Receiver) -> dict[str, Any]:
            try:
                async with asyncio.timeout(TEST_SECONDS):
                    await receiver.delivery.test(notice)
            except TimeoutError:
                return {"sender": receiver.name, "sent": False, "reason": f"no answer within {TEST_SECONDS:g} s"}
            except NotSent as error:
                return {"sender": receiver.name, "sent": False, "reason": self._hidden(str(error))}
            return {"sender": receiver.name, "sent": True, "reason": None}

        return json_answer({"tests": await asyncio.gather(*map(tried, receivers))})

    async def silences(self, request: Request) -> Response:
        page, now = page_of(request.query_params), self._alerting.clock.now()
        holding = self._alerting.silences.holding(now)
        content = {"silences": [self._silence(each) for each in page.of(holding)], "count": len(holding)}
        return json_answer(content, headers=page.next("/silences", len(holding)))

    async def silence(self, request: Request) -> Response:
        fields = await json_body(request, MAX_BODY, "a silence", EXAMPLE)
        holder: Holder | None = request.state.holder
        now, offset = self._alerting.clock.now(), self._alerting.clock.offset()
        patterns, comment = _texts(fields)
        # A silence for a misspelt name would silence nothing.
        rule = patterns[0]
        config = self._alerting.settings.config
        known = [*config.rules, *config.builtin]
        if rule != "*" and not any(fnmatch.fnmatchcase(name, rule) for name in known):
            likely = suggest(rule, known)
            remedy = f'did you mean "{likely}"?' if likely else f"there are: {', '.join(known[:50]) or 'none'}"
            raise Refused(400, f"rule: no rule of alerts in middleware.yaml has such a name; {remedy}")
        until = _until(fields, now + offset) - offset
        author = "" if holder is None else holder.name
        try:
            made = self._alerting.silences.add(*patterns, until, now, comment, author)
        except SilencesFull:
            raise Refused(507, "there are too many silences; lift some, or use wider patterns") from None
        self._alerting.look_soon()
        logger.warning("alerts of rule %s, subject %s, severity %s are silenced by %s", *patterns, author or "someone")
        return json_answer({"silence": self._silence(made)}, 201)

    async def lift(self, request: Request) -> Response:
        identifier = request.path_params["id"]
        lifted = self._alerting.silences.lift(identifier, self._alerting.clock.now())
        if lifted is None:
            raise Refused(404, "unknown silence; gateway alerts list, or GET /silences, lists the active ones")
        self._alerting.look_soon()
        logger.warning("the silence %s was lifted", lifted.id)
        return json_answer({"lifted": self._silence(lifted)})

    def _silence(self, each: Silence) -> dict[str, Any]:
        now, offset = self._alerting.clock.now(), self._alerting.clock.offset()
        silenced = [key for key, alert in self._alerting.board.alerts.items() if alert.state is State.FIRING]
        return {
            "id": each.id,
            "rule": each.rule,
            "subject": each.subject,
            "severity": each.severity,
            "until": format_instant(each.until + offset),
            "created": format_instant(each.created + offset),
            "comment": each.comment,
            "author": each.author,
            "silences": sum(each.holds(now) and each.matches(key) for key in silenced),
        }


def _texts(fields: dict[str, Any]) -> tuple[tuple[str, str, str], str]:
    """The patterns, and the comment. Raises Refused."""
    unknown = fields.keys() - set(_FIELDS)
    if unknown:
        raise Refused(400, f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(_FIELDS)}")
    if fields.keys().isdisjoint(MATCHED):
        raise Refused(400, f"at least one of {', '.join(MATCHED)} is needed; '*' stands for all: {EXAMPLE}")
    texts = [fields.get(name, "*") for name in MATCHED]
    comment = fields.get("comment", "")
    for name, text in zip((*MATCHED, "comment"), (*texts, comment), strict=True):
        if not isinstance(text, str) or not text.isprintable() or len(text) > MOST_TEXT:
            raise Refused(400, f"{name}: expected a text of at most {MOST_TEXT} characters, without line ends")
    return (texts[0], texts[1], texts[2]), comment


def _until(fields: dict[str, Any], now: float) -> float:
    """Unix time. Raises Refused."""
    if ("for" in fields) == ("until" in fields):
        raise Refused(400, 'say how long: "for": "2h", or "until": "2026-01-31T12:00:00Z"')
    try:
        until = now + parse_duration(fields["for"]) if "for" in fields else parse_instant(fields["until"])
    except ValueError as error:
        raise Refused(400, f"{'for' if 'for' in fields else 'until'}: {error}") from None
    if not now < until <= now + LONGEST:
        raise Refused(400, f"it must end later than now, and within {LONGEST / 86400:.0f} days")
    return until
