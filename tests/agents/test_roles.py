"""What each role says to its peers and to the gateway, and does about what they say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.agents.alerting import Alerting
from gateway.agents.anomalies import MOST_ALERTS, Anomalies
from gateway.agents.link import Refused
from gateway.agents.node import Node
from gateway.agents.order import Order
from gateway.agents.payloads import Writer
from gateway.agents.roles.auth import Auth
from gateway.agents.roles.discovery import Discovery
from gateway.agents.roles.monitor import Monitor
from gateway.agents.roles.router import SAID_SECOND, Router
from gateway.agents.verifying import Verifier
from gateway.config.load import parse
from gateway.config.models.agents import Agents
from gateway.events import AgentRegistry, ApiAlert, HealthFeedback, Message, RequestReport, ServiceRegistry
from gateway.roles import Role
from tests.agents.support import FakeLink
from tests.support import eventually

KEY = "planted_key_of_acme_4eC39H"
FINGERPRINT = f"sha256:{sha256(KEY.encode()).hexdigest()[:16]}"
AUTH = f"""\
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
consumers:
- {{name: acme-corp, keys: ["sha256:{sha256(KEY.encode()).hexdigest()}"]}}
- {{name: old-corp, keys: [{{key: "an_expired_key_of_old", expires: 2020-01-01T00:00:00Z}}]}}
"""


class FakeSide:
    """A gateway that is the test."""

    problem = ""

    def __init__(self) -> None:
        self.losses = 0
        self.said: list[Message] = []
        self._handlers: dict[str, list[Callable[[Any], Awaitable[None]]]] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def counts(self) -> dict[str, int]:
        return {}

    def subscribe(self, kind: type[Any], handle: Callable[[Any], Awaitable[None]]) -> None:
        self._handlers.setdefault(kind.KIND, []).append(handle)

    def publish(self, message: Message) -> None:
        self.said.append(message)

    async def tell(self, message: Message) -> None:
        for handle in self._handlers.get(message.KIND, ()):
            await handle(message)


class Played:
    """A role that is played, with what it works with."""

    def __init__(self, role: Role, settings: Agents | None = None) -> None:
        self.link, self.side = FakeLink(f"acme-{role}"), FakeSide()
        self.refused: list[Refused] = []
        self.node = Node(
            role,
            "acme",
            f"acme-{role}",
            settings or Agents(),
            self.link,
            self.side,
            Writer(f"acme-{role}"),
            Order(),
            refused=self.refused.append,
        )

    async def hear(self, work: Any, topic: str, sender: str, **fields: Any) -> None:
        self.link.receive(topic, json.dumps(fields).encode(), f"acme-{sender}")
        async for received in self.link.messages():
            await work.take(received)
            return

    async def sent(self, number: int) -> list[tuple[str, str, Any]]:
        """What was published, once it is so much."""
        await eventually(lambda: len(self.link.published) >= number)
        return [(role, topic, json.loads(payload)) for role, topic, payload in self.link.published]


def _report(request_id: str, **more: Any) -> RequestReport:
    fields = {"request_id": request_id, "path": "/api", "client": "acme-corp", "decision": "allow", "latency_ms": 12}
    return RequestReport.model_validate(fields | more)


def _shown(**more: Any) -> dict[str, Any]:
    return {"credential": "api_key", "fingerprint": FINGERPRINT, **more}


async def test_discovery_says_each_service_as_agents_write_it() -> None:
    """All instances of one, without what the gateway knows of the reasons; of several changes, the last."""
    played = Played("discovery")
    work = Discovery(played.node, lambda service: service != "of-an-agent")
    work.begin()
    failing = {"host": "10.0.1.6", "port": 1, "weight": 3, "health": "failing", "signal": "probe", "reason": "secret"}
    await played.side.tell(ServiceRegistry(service="user-api", instances=()))
    await played.side.tell(ServiceRegistry(service="of-an-agent", instances=("10.0.0.1:1",)))
    await played.side.tell(ServiceRegistry(service="user-api", instances=("10.0.1.5:8080", failing)))
    [(role, topic, sent)] = await played.sent(1)
    await work.tasks.end()
    assert (role, topic, sent["service"], sent["v"], sent["seq"]) == ("router", "service-registry", "user-api", 1, 1)
    assert sent["instances"] == [
        {"host": "10.0.1.5", "port": 8080, "health": "passing"},
        {"host": "10.0.1.6", "port": 1, "weight": 3, "health": "critical"},
    ]


async def test_discovery_hands_a_vote_over_once() -> None:
    """With who says so; one that is old, or comes again, is none."""
    played = Played("discovery")
    work = Discovery(played.node, lambda _: True)
    fields = {"service": "user-api", "instance": "10.0.1.6:8080", "status": "failing", "error_rate": 0.42}
    await played.hear(work, "health-feedback", "monitor", **fields)
    numbered = fields | {"epoch": 1, "seq": 1, "ts": time.time(), "status": "recovered"}
    await played.hear(work, "health-feedback", "monitor", **numbered)
    await played.hear(work, "health-feedback", "monitor", **numbered)
    await played.hear(work, "health-feedback", "monitor", **numbered | {"seq": 2, "ts": time.time() - 61})
    said = [cast(HealthFeedback, each) for each in played.side.said]
    assert [(each.status, each.error_rate, each.by) for each in said] == [
        ("failing", 0.42, "acme-monitor"),
        ("passing", 0.42, "acme-monitor"),
    ]
    assert work.counts()["feedback_too_late"] == 1
    assert [(each.reason, each.topic, each.hostname) for each in played.refused] == [
        ("replay", "health-feedback", "acme-monitor")
    ]


async def test_an_epoch_far_ahead_is_refused_by_itself() -> None:
    """With what is wrong in the audit log; what the same agent says with a right clock counts."""
    played = Played("discovery")
    work = Discovery(played.node, lambda _: True)
    fields = {"service": "user-api", "instance": "10.0.1.6:8080", "status": "failing", "seq": 1}
    now = int(time.time() * 1000)
    await played.hear(work, "health-feedback", "monitor", **fields, epoch=now + 600_000)
    await played.hear(work, "health-feedback", "monitor", **fields, epoch=now)
    assert len(played.side.said) == 1
    [refused] = played.refused
    assert (refused.reason, "more than five minutes ahead of the clock here" in refused.detail) == ("replay", True)


async def test_the_router_says_fingerprints_in_place_of_keys() -> None:
    """Of requests that showed a credential; the key itself only where the configuration says so."""
    for in_clear in (False, True):
        played = Played("router", Agents(send_credentials=in_clear))
        work = Router(played.node)
        work.begin()
        await played.side.tell(_report("req-1"))
        await played.side.tell(_report("req-2", **_shown(api_key=KEY)))
        [(role, topic, sent)] = await played.sent(1)
        await work.tasks.end()
        assert (role, topic, sent["request_id"], sent["path"]) == ("auth", "auth-request", "req-2", "/api")
        assert sent.get("api_key") == (KEY if in_clear else None)
        assert sent.get("credential") == (None if in_clear else {"type": "api_key", "fingerprint": FINGERPRINT})


async def test_many_requests_go_together() -> None:
    """So that a peer gets all of them, and not more messages than it takes."""
    played = Played("router")
    work = Router(played.node)
    for number in range(300):
        await work.handle(_report(f"req-{number}", **_shown()))
    work.begin()
    sent = await played.sent(25)
    await work.tasks.end()
    assert [each[2]["seq"] for each in sent[:10]] == list(range(1, 11))
    assert [len(each[2]["messages"]) for each in sent[10:]] == [20] * 14 + [10]
    assert [each["seq"] for each in sent[24][2]["messages"]] == list(range(291, 301))


async def test_long_paths_take_no_others_with_them() -> None:
    """What is too much for one message goes in several: who asks for long paths must not hide what others ask for."""
    played = Played("router")
    router = Router(played.node)
    router.begin()
    for number in range(200):
        await played.side.tell(_report(f"r{number}", path="/" + "x" * 8000, **_shown()))
    await eventually(lambda: played.node.sent["auth-request"] == 200)
    await router.tasks.end()
    said = [json.loads(payload) for _, _, payload in played.link.published]
    messages = [message for each in said for message in each.get("messages", [each])]
    assert {message["request_id"] for message in messages} == {f"r{number}" for number in range(200)}
    assert sorted(message["seq"] for message in messages) == list(range(1, 201))
    assert not played.node.dropped


async def test_a_service_that_flaps_is_said_as_often_as_a_gateway_can_take_it() -> None:
    """10,000 instances in a second, as many as an agent may publish 50 times in it; the last word is said, and another
    service, which is small, is said with it."""
    played = Played("router")
    work = Router(played.node)
    large = [{"host": "10.0.1.5", "port": port} for port in range(1, 10_001)]
    began = time.monotonic()
    for number in range(20):
        for service, instances in (("large", large[number:]), ("small", large[:number])):
            await played.hear(work, "service-registry", "discovery", service=service, instances=instances)
    work.begin()
    await eventually(lambda: {9_981, 19} <= {len(cast(AgentRegistry, each).instances) for each in played.side.said}, 60)
    await work.tasks.end()
    said = sum(len(cast(AgentRegistry, each).instances) for each in played.side.said)
    assert said <= SAID_SECOND * (time.monotonic() - began + 2)


async def test_auth_says_clients_as_they_can_be_read(verifier: Verifier) -> None:
    """A name with control characters would have all that is sent with it refused."""
    played = Played("auth")
    auth = Auth(played.node, verifier)
    auth.begin()
    await played.side.tell(_report("r1", client="acme\x1b[2J\n"))
    [(_, _, said)] = await played.sent(1)
    await auth.tasks.end()
    assert said["client"] == "acme\ufffd[2J\ufffd"


def test_an_agent_that_names_many_clients_makes_few_alerts() -> None:
    """Ten in a minute begin, and those that are over are said."""
    anomalies = Anomalies("acme-monitor")
    alerts = [anomalies.learn(f"c{number % 500}", number / 1000, denied=True) for number in range(20_000)]
    assert sum(alert is not None for alert in alerts) == MOST_ALERTS
    later = [anomalies.learn("c0", 100 + number / 1000, denied=False) for number in range(20)]
    assert [alert.state for alert in later if alert is not None] == ["resolved"]


async def test_the_router_hands_services_over_and_says_them_again() -> None:
    """As they came, from whom; again, with their age, where the gateway may have forgotten them."""
    played = Played("router")
    work = Router(played.node)
    instance = {"host": "10.0.1.5", "port": 8080, "health": "warning", "weight": 2, "region": "x"}
    await played.hear(work, "service-registry", "discovery", service="user-api", instances=[instance])
    [said] = played.side.said
    assert isinstance(said, AgentRegistry)
    assert (said.key, said.by, said.age) == ("acme/user-api", "acme-discovery", 0.0)
    assert said.instances == ({"host": "10.0.1.5", "port": 8080, "health": "warning", "weight": 2},)
    work.begin()
    played.side.losses += 1
    await eventually(lambda: len(played.side.said) == 2)
    await work.tasks.end()
    assert cast(AgentRegistry, played.side.said[1]).age > 0


@pytest.fixture
async def verifier(tmp_path: Path) -> Any:
    made = Verifier()
    files = {"routes.yaml": b"routes: [{path: /, respond: 204}]", "auth.yaml": AUTH.encode()}
    await made.use(parse(files, {}, base=tmp_path))
    yield made
    await made.stop()


async def test_auth_reports_whether_a_credential_holds(verifier: Verifier) -> None:
    """A key or its fingerprint; of whom it is, or was. A token of which there is a fingerprint only, it cannot tell."""
    played = Played("auth")
    work = Auth(played.node, verifier)
    work.begin()
    shown: list[dict[str, Any]] = [
        {"api_key": KEY},
        {"api_key": KEY + "x"},
        {"credential": {"type": "api_key", "fingerprint": FINGERPRINT}},
        {"credential": {"type": "api_key", "fingerprint": FINGERPRINT[:19]}},
        {"credential": {"type": "api_key", "fingerprint": FINGERPRINT[:-1] + ("0" if FINGERPRINT[-1] != "0" else "1")}},
        {"api_key": "an_expired_key_of_old"},
        {"api_key": "a.b.c"},
        {"credential": {"type": "bearer", "fingerprint": FINGERPRINT}},
    ]
    for number, credential in enumerate(shown):
        await played.hear(work, "auth-request", "router", request_id=f"req-{number}", path="/", **credential)
    sent = await played.sent(7)
    await work.tasks.end()
    assert [(each[2]["request_id"], each[2]["client"], each[2]["decision"]) for each in sent] == [
        ("req-0", "acme-corp", "allow"),
        ("req-1", "unknown", "deny"),
        ("req-2", "acme-corp", "allow"),
        ("req-3", "acme-corp", "allow"),
        ("req-4", "unknown", "deny"),
        ("req-5", "old-corp", "deny"),
        ("req-6", "unknown", "deny"),
    ]
    assert {(each[0], each[1]) for each in sent} == {("monitor", "access-log")}
    assert KEY not in str(sent)
    assert work.counts() == {"allowed": 3, "denied": 4, "not_verifiable": 1}


async def test_auth_reports_each_request_once(verifier: Verifier) -> None:
    """What the gateway has decided, and what the agent router asks about the same; and none that is not sampled."""
    played = Played("auth")
    work = Auth(played.node, verifier)
    work.begin()
    await played.side.tell(_report("req-1", decision="deny"))
    await played.hear(work, "auth-request", "router", request_id="req-1", path="/", api_key=KEY)
    [(_, _, sent)] = await played.sent(1)
    await asyncio.sleep(0.3)
    await work.tasks.end()
    assert {key: sent[key] for key in ("request_id", "client", "decision", "latency_ms")} == {
        "request_id": "req-1",
        "client": "acme-corp",
        "decision": "deny",
        "latency_ms": 12,
    }
    assert len(played.link.published) == 1
    silent = Auth(Played("auth", Agents(sample=0.0)).node, verifier)
    await silent.handle(_report("req-1"))
    assert not silent._waiting


async def test_requests_with_one_id_are_reported_each(verifier: Verifier) -> None:
    """A client may choose the id (`request_id.trust`), and would have all but its first request left out; what the
    agent router asks about the same ones is left out, whoever comes first."""
    played = Played("auth")
    work = Auth(played.node, verifier)
    work.begin()
    for _ in range(3):
        await played.side.tell(_report("req-1", decision="deny"))
    for _ in range(3):
        await played.hear(work, "auth-request", "router", request_id="req-1", path="/", api_key=KEY)
    await played.hear(work, "auth-request", "router", request_id="req-2", path="/", api_key=KEY)
    await played.side.tell(_report("req-2", decision="deny"))
    await played.side.tell(_report("req-3", decision="deny"))
    sent = await played.sent(5)
    await work.tasks.end()
    decisions = [(each[2]["request_id"], each[2]["decision"]) for each in sent]
    assert decisions == [("req-1", "deny")] * 3 + [("req-2", "allow"), ("req-3", "deny")]


async def test_monitor_says_what_fails_and_what_recovered(tmp_path: Path) -> None:
    """By what it sees of attempts, and by what the gateway's own monitor found; not what agents have said."""
    played = Played("monitor")
    work = Monitor(played.node, Alerting({}, tmp_path))
    work.begin()
    for number in range(5):
        await played.side.tell(_report(f"r{number}", attempts=[["user-api", "10.0.1.6:8080", True]]))
    said = HealthFeedback(service="user-api", instance="10.0.1.7:8080", status="passing", error_rate=0.0)
    await played.side.tell(said)
    await played.side.tell(said.model_copy(update={"instance": "10.0.1.8:8080", "by": "acme-monitor"}))
    sent = await played.sent(2)
    await work.tasks.end()
    assert [(role, topic) for role, topic, _ in sent] == [("discovery", "health-feedback")] * 2
    assert [(each["instance"], each["status"], each["error_rate"]) for _, _, each in sent] == [
        ("10.0.1.6:8080", "failing", 1.0),
        ("10.0.1.7:8080", "recovered", 0.0),
    ]


async def test_monitor_watches_what_auth_reports(tmp_path: Path) -> None:
    """It counts it, and an alert begins where a client is refused all the time; agents get it where they subscribed."""
    played = Played("monitor")
    work = Monitor(played.node, Alerting({}, tmp_path))
    logs = [{"request_id": f"r{n}", "client": "acme-corp", "decision": "deny", "latency_ms": 1} for n in range(20)]
    played.link.receive("access-log", json.dumps({"messages": logs}).encode(), "acme-auth")
    async for received in played.link.messages():
        await work.take(received)
        break
    [(role, topic, sent)] = await played.sent(1)
    assert (role, topic, sent["alert"], sent["state"]) == ("external", "api-alert", "refusals", "firing")
    assert work.counts()["requests_deny"] == 20
    work.begin()
    await played.side.tell(ApiAlert(alert="errors", state="firing", severity="page", subject="route x", summary="many"))
    assert (await played.sent(2))[1][2]["alert"] == "errors"
    await work.tasks.end()


async def test_a_message_that_is_too_long_is_dropped_and_counted() -> None:
    """The link would not take it."""
    played = Played("discovery")
    work = Discovery(played.node, lambda _: True)
    instances = tuple({"host": "10.0.1.5", "port": 1, "zone": "z" * 100} for _ in range(5000))
    await work.handle(ServiceRegistry(service="huge", instances=instances))
    work.begin()
    await eventually(lambda: played.node.dropped["service-registry"] == 1)
    await work.tasks.end()
    assert played.link.published == []
