"""Alerts and silences in the admin API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.monitor.alerts.runner import SERVICE, Settings
from tests.monitor.alerts.receivers import http_receiver
from tests.monitor.alerts.support import alerts, route
from tests.monitor.alerts.test_runner import FAILING, RULES, Gateway
from tests.resilience.support import InProcess, running

ROUTES = "routes: [{id: orders, path: /*, respond: 204}]"


@asynccontextmanager
async def gateway(directory: Path) -> AsyncIterator[tuple[InProcess, Gateway]]:
    """Its admin API, and its alerts, of which one fires."""
    async with http_receiver() as receiver, running(directory, ROUTES) as served:
        one = Gateway(receiver)
        one.configure(RULES.replace("severity: page", "severity: page, runbook: 'https://runbooks.example/errors'"))
        served.reloader.owner.hold(SERVICE, one.alerting)
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        yield served, one


async def test_alerts_are_listed_with_all_that_is_known(tmp_path: Path) -> None:
    """What fires, since when, the figures, what to do; and how the senders do."""
    async with gateway(tmp_path) as (served, one):
        await one.sent()
        answer = (await served.admin.get("/alerts")).json()
        assert answer["alerts"] == [
            {
                "rule": "errors",
                "severity": "page",
                "state": "firing",
                "subject": {"kind": "route", "name": "orders"},
                "since": "2027-01-15T08:00:10Z",
                "until": None,
                "summary": "error rate 20% (> 5%) of 100 requests in 1m",
                "figures": {"error_rate": 0.2},
                "runbook": "https://runbooks.example/errors",
                "silenced_by": None,
            }
        ]
        (sender,) = answer["senders"]
        assert (sender["name"], sender["kind"], sender["sent"], sender["failure"]) == ("hook", "webhook", 1, None)
        assert one.receiver.url not in str(answer)
        assert (await served.admin.get("/alerts", params={"state": "pending"})).json()["alerts"] == []
        assert (await served.admin.get("/alerts", params={"state": "loud"})).status_code == 400
        assert (await served.admin.get("/alerts", params={"limit": "0"})).json()["count"] == 1


async def test_a_silence_is_made_shown_and_lifted(tmp_path: Path) -> None:
    """An alert that it is about says so."""
    async with gateway(tmp_path) as (served, _):
        until = "2027-01-15T10:00:00Z"
        wanted = {"subject": "route orders", "until": until, "comment": "deploying"}
        made = await served.admin.post("/silences", json=wanted)
        assert made.status_code == 201
        silence = made.json()["silence"]
        assert (silence["rule"], silence["until"], silence["silences"]) == ("*", until, 1)
        (alert,) = (await served.admin.get("/alerts")).json()["alerts"]
        assert alert["silenced_by"] == silence["id"]
        assert (await served.admin.get("/silences")).json() == {"silences": [silence], "count": 1}
        assert (await served.admin.delete(f"/silences/{silence['id']}")).status_code == 200
        assert (await served.admin.delete(f"/silences/{silence['id']}")).status_code == 404
        assert (await served.admin.get("/silences")).json()["count"] == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"for": "2h"}, "at least one of rule, subject, severity is needed"),
        ({"rule": "errors"}, "say how long"),
        ({"rule": "errors", "for": "2h", "until": "2027-01-15T10:00:00Z"}, "say how long"),
        ({"rule": "errors", "for": "soon"}, "for: expected a duration"),
        ({"rule": "errors", "until": "2020-01-01"}, "later than now"),
        ({"rule": "errors", "for": "91d"}, "within 90 days"),
        (
            {"rule": "erors", "for": "2h"},
            'no rule of alerts in middleware.yaml has such a name; did you mean "errors"?',
        ),
        ({"rule": "x*", "for": "2h"}, "has such a name; there are: errors"),
        ({"rule": 7, "for": "2h"}, "rule: expected a text"),
        ({"rule": "a\nb", "for": "2h"}, "rule: expected a text"),
        ({"rule": "errors", "for": "2h", "route": "orders"}, "unknown: route"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    """With what is expected."""
    async with gateway(tmp_path) as (served, _):
        answer = await served.admin.post("/silences", json=fields)
        assert answer.status_code == 400
        assert reason in answer.json()["error"]


async def test_a_test_says_whether_it_was_taken(tmp_path: Path) -> None:
    """By each sender, with the reason where it was not, and without its URL."""
    async with gateway(tmp_path) as (served, one):
        await one.sent()
        assert (await served.admin.post("/alerts/test")).json() == {
            "tests": [{"sender": "hook", "sent": True, "reason": None}]
        }
        assert one.receiver.got[-1].json["kind"] == "test"
        one.receiver.answers = ["403 Forbidden"]
        answer = await served.admin.post("/alerts/test", params={"sender": "hook"})
        assert answer.json()["tests"][0]["reason"] == "it answers 403"
        missing = await served.admin.post("/alerts/test", params={"sender": "ops"})
        assert (missing.status_code, missing.json()["error"]) == (404, "unknown sender; the senders are: hook")


async def test_changes_need_a_token(tmp_path: Path) -> None:
    """Who may only read can neither silence nor send."""
    async with gateway(tmp_path) as (served, _):
        for method, path in (("POST", "/silences"), ("DELETE", "/silences/x"), ("POST", "/alerts/test")):
            answer = await served.admin.request(method, path, headers={"authorization": ""})
            assert answer.status_code == 401, path


async def test_a_process_without_the_role_says_who_to_ask(tmp_path: Path) -> None:
    """One that only routes knows of no alert, which is not the same as that there is none."""
    async with gateway(tmp_path) as (served, one):
        one.alerting.configure(Settings(alerts(RULES), monitors=False))
        answer = await served.admin.get("/alerts")
        assert (answer.status_code, "the role monitor" in answer.json()["error"]) == (404, True)
