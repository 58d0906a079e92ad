"""Alerts of a whole gateway, on a clock that the tests turn: from figures to receivers, over restarts and gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.http import Exchange, Outcome
from gateway.monitor.alerts.clock import SteadyClock
from gateway.monitor.alerts.runner import Alerting, Settings
from gateway.monitor.alerts.sight import Figures as FiguresOf
from gateway.monitor.alerts.sight import Finding, Subject
from gateway.monitor.alerts.states import State
from gateway.monitor.alerts.store import FILE, AlertFile
from gateway.monitor.alerts.summary import Day, Totals
from gateway.monitor.alerts.voice import Voice
from gateway.outside.redis_link import RedisLink
from tests.monitor.alerts.receivers import HttpReceiver, http_receiver
from tests.monitor.alerts.support import Figures, Scene, alerts, route
from tests.redis_server import RedisServer
from tests.support import eventually

FAILING = Figures(requests=100, errors=20, error_rate=0.2)
RULES = 'rules: {errors: {when: "error_rate > 5%", over: 1m, by: route, severity: page}}'


def exchange_of(route_id: str) -> Exchange:
    """One that this route took."""
    exchange = Exchange("", "GET", "/", b"", [], {}, "http", "", "127.0.0.1", False, "127.0.0.1")
    exchange.route = route_id
    return exchange


class TurnedClock(SteadyClock):
    def __init__(self, at: float = 1_800_000_000.0) -> None:
        super().__init__()
        self.at = at
        self.set_forward = 0.0

    def now(self) -> float:
        return self.at

    def offset(self) -> float:
        return self.set_forward


@dataclass
class SeenSource:
    """What tests say that there is to see."""

    scene: Scene = field(default_factory=Scene)
    whole: Day | None = None

    @property
    def since(self) -> float:
        return self.scene.since

    async def refresh(self, now: float) -> None:
        pass

    def subjects(self, kind: str) -> Iterable[str]:
        return self.scene.subjects(kind)

    def figures(self, subject: Subject, seconds: float, now: float) -> FiguresOf:
        return self.scene.figures(subject, seconds, now)

    def counts(self, subject: Subject, seconds: float, now: float) -> tuple[int, int]:
        return self.scene.counts(subject, seconds, now)

    def findings(self, builtins: Iterable[str], now: float) -> Iterator[Finding | None]:
        yield None
        yield from (each for each in self.scene.found if each.builtin in builtins)

    async def day(self, now: float) -> Day | None:
        return self.whole


class Gateway:
    """The alerts of one gateway, which sends to one webhook."""

    def __init__(self, receiver: HttpReceiver, directory: Path | None = None, at: float = 1_800_000_000.0) -> None:
        self.receiver = receiver
        self.source = SeenSource()
        self.clock = TurnedClock(at)
        self.alerting = Alerting(self.source, clock=self.clock)
        self.file = None if directory is None else directory / "alerts.sqlite"
        self.voice: Voice | None = None

    def configure(self, text: str = RULES, sender: str = "webhook", more: str = "") -> None:
        send = f"send: {{hook: {{{sender}: '{self.receiver.url}'{more}}}}}"
        config = alerts(f"{text}\n{send}")
        self.alerting.configure(Settings(config, ("orders", "users"), file=self.file, voice=self.voice))

    async def look(self, seconds: float = 10.0) -> None:
        """After so much time."""
        self.clock.at += seconds
        await self.alerting.look()

    async def sent(self) -> list[Any]:
        """What the receiver has got, once nothing waits any more."""
        await eventually(lambda: all(each.delivery.waiting == 0 for each in self.alerting.receivers.values()))
        return [each.json for each in self.receiver.got]

    async def titles(self) -> list[str]:
        return [each["title"] for each in await self.sent()]


@asynccontextmanager
async def gateway(directory: Path | None = None, **more: Any) -> AsyncIterator[Gateway]:
    async with http_receiver() as receiver:
        made = Gateway(receiver, directory, **more)
        made.configure()
        yield made
        await made.alerting.stop()


async def test_an_alert_is_sent_when_it_fires_and_when_it_is_resolved() -> None:
    """Once each, with its times, as an api-alert message."""
    async with gateway() as one:
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        await one.look()
        await one.sent()
        one.source.scene.seen.clear()
        await one.look(60)
        first, last = await one.sent()
    assert first["title"] == "[page] errors: 1 firing (route orders)"
    assert first["alerts"][0] == {
        "alert": "errors",
        "state": "firing",
        "severity": "page",
        "subject": "route orders",
        "summary": "error rate 20% (> 5%) of 100 requests in 1m",
        "since": "2027-01-15T08:00:10Z",
        "figures": {"error_rate": 0.2},
    }
    assert last["title"] == "[page] errors: 1 resolved (route orders)"
    assert last["alerts"][0]["until"] == "2027-01-15T08:01:20Z"


async def test_times_are_those_of_the_machine_also_after_it_was_set() -> None:
    """A clock that is set an hour forward neither ends nor begins anything; messages have the new time."""
    async with gateway() as one:
        one.configure(RULES.replace("by: route", "by: route, for: 2m"))
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        one.clock.set_forward = 3600.0
        await one.look()
        assert [alert.state for alert in one.alerting.board.alerts.values()] == [State.PENDING]
        await one.look(110)
        (first,) = await one.sent()
    assert first["alerts"][0]["since"] == "2027-01-15T09:00:10Z"


async def test_a_restart_neither_repeats_nor_forgets(tmp_path: Path) -> None:
    """What was sent is not sent again by the next process, which says when it is over."""
    async with gateway(tmp_path) as one:
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        assert len(await one.sent()) == 1
    async with gateway(tmp_path, at=one.clock.at + 20) as other:
        other.source.scene.seen[route("orders")] = FAILING
        await other.look()
        await other.look(50)
        assert await other.titles() == []
        other.source.scene.seen.clear()
        await other.look(60)
        assert await other.titles() == ["[page] errors: 1 resolved (route orders)"]
        assert [each.until is None for each in other.alerting.incidents.since(0)] == [False]


async def test_sent_notices_are_stored_at_once(tmp_path: Path) -> None:
    """A process that is killed a moment after a message was taken does not send it again."""
    async with gateway(tmp_path) as one:
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        assert len(await one.sent()) == 1
        file = AlertFile(tmp_path / FILE)

        async def kept() -> bool:
            found = await file.read()
            return found is not None and b'"orders"' in found[0].get("spoken", b"")

        async with asyncio.timeout(30):
            while not await kept():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await file.close()


async def test_counts_wait_until_the_file_can_be_written(tmp_path: Path) -> None:
    """A full disk, or another program that holds the file, loses nothing of an objective."""
    slo = 'rules: {slo: {objective: 99%, good: "status < 500", routes: [orders]}}'
    kept = tmp_path / "kept"
    kept.write_text("in the way of a directory")
    async with gateway(kept) as one:
        one.configure(slo)
        one.alerting.objectives.report(exchange_of("orders"), Outcome(0.0, 0.0, 500))
        await one.look()
        await one.look(400)
        assert any("alerts.sqlite" in trouble for trouble in one.alerting.troubles())
        kept.unlink()
        await one.look()
        assert list(one.alerting.troubles()) == []
    async with gateway(kept, at=one.clock.at + 20) as other:
        other.configure(slo)
        await other.look()
        assert other.alerting.objectives.window("slo", "orders", 3600).total == 1


async def test_a_notice_not_accepted_before_a_restart_is_sent_by_the_next_process(tmp_path: Path) -> None:
    """A message that still waits when the process ends is not lost."""
    async with http_receiver("500 Oops") as receiver:
        one = Gateway(receiver, tmp_path)
        one.configure()
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        await receiver.wait(1)
        await one.look()
        await one.alerting.stop()
    async with gateway(tmp_path, at=one.clock.at + 20) as other:
        other.source.scene.seen[route("orders")] = FAILING
        await other.look()
        assert await other.titles() == ["[page] errors: 1 firing (route orders)"]


async def test_a_file_that_makes_no_sense_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What another program wrote there keeps no gateway from looking."""
    (tmp_path / "alerts.sqlite").write_bytes(b"no database at all" * 100)
    async with gateway(tmp_path) as one:
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        assert len(await one.sent()) == 1
        (trouble,) = one.alerting.troubles()
        assert "alerts.sqlite cannot be used" in trouble


async def test_names_that_are_not_text_are_sent_and_stored(tmp_path: Path) -> None:
    """A token issuer may name a tenant by half a character, or by a line end; neither keeps others from being sent."""
    name = "\ud800\n<!channel>" + "x" * 1000
    async with gateway(tmp_path) as one:
        one.configure(RULES.replace("by: route", "by: tenant"))
        one.source.scene.seen[Subject("tenant", name)] = FAILING
        await one.look()
        (message,) = await one.sent()
        assert message["alerts"][0]["subject"].startswith("tenant   <!channel>xxx")
        assert len(message["alerts"][0]["subject"]) == 300
    async with gateway(tmp_path, at=one.clock.at + 20) as other:
        other.configure(RULES.replace("by: route", "by: tenant"))
        other.source.scene.seen[Subject("tenant", name)] = FAILING
        await other.look()
        assert await other.titles() == []
        assert [alert.key.name for alert in other.alerting.board.firing()] == [name]


async def test_a_rule_that_is_removed_while_it_fires_is_over() -> None:
    """The receiver hears it."""
    async with gateway() as one:
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        await one.sent()
        one.configure("")
        await one.look(60)
        assert (await one.titles())[1:] == ["[page] errors: 1 resolved (route orders)"]
        assert (await one.sent())[1]["alerts"][0]["summary"] == "the rule was removed"


async def test_a_silence_holds_until_it_ends() -> None:
    """While it holds nothing is sent; what still fires afterwards is."""
    async with gateway() as one:
        one.alerting.silences.add("errors", "orders", "*", one.clock.at + 100, one.clock.at, "", "")
        one.source.scene.seen[route("orders")] = FAILING
        for _ in range(9):
            await one.look()
        assert await one.titles() == []
        await one.look()
        assert await one.titles() == ["[page] errors: 1 firing (route orders)"]


async def test_a_thousand_alerts_at_once_are_one_message() -> None:
    """With how many there are; and many rules at once are one message, too."""
    async with gateway() as one:
        one.source.scene.seen = {route(f"r{number}"): FAILING for number in range(1500)}
        await one.look()
        (message,) = await one.sent()
        assert (len(message["alerts"]), message["left_out"]) == (100, 1400)
        assert message["title"].startswith("[page] errors: 1500 firing (route r0, route r1, route r10 and")
        rules = {f"rule{number}": {"when": "errors > 1", "severity": "page"} for number in range(50)}
        one.configure(f"rules: {rules}")
        one.source.scene.seen = {Subject("all"): FAILING}
        await one.look(60)
        *_, last = await one.titles()
        some = "all requests, all requests, all requests and 47 more"
        assert last == f"[page] 50 rules: 50 firing ({some}), 1000 resolved"


async def test_a_sender_of_some_severities_gets_those_only() -> None:
    """And a receiver that hangs keeps no other from being sent."""
    async with http_receiver(None) as hangs, http_receiver() as pages, http_receiver() as tickets:
        one = Gateway(hangs)
        send = (
            f"send: {{hangs: {{webhook: '{hangs.url}'}}, pages: {{webhook: '{pages.url}', severities: [page]}}, "
            f"tickets: {{webhook: '{tickets.url}', severities: [ticket]}}}}"
        )
        one.alerting.configure(Settings(alerts(f"{RULES}\n{send}"), ("orders",)))
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        await pages.wait(1)
        await hangs.wait(1)
        assert tickets.got == []
        await asyncio.wait_for(one.alerting.stop(), 30)


async def test_an_alertmanager_hears_of_what_fires_every_minute(tmp_path: Path) -> None:
    """And of what is over, with its time, for some minutes; then nothing is sent any more."""
    async with gateway() as one:
        one.configure(sender="alertmanager")
        one.source.scene.seen[route("orders")] = FAILING
        for _ in range(13):
            await one.look()
            sent = await one.sent()
        assert len(sent) == 3
        assert sent[0][0]["labels"] == {"alertname": "errors", "severity": "page", "job": "gateway", "route": "orders"}
        assert "endsAt" in sent[0][0]
        assert one.receiver.got[0].path == "/api/v2/alerts"
        one.source.scene.seen.clear()
        await one.look()
        sent = await one.sent()
        assert (len(sent), sent[-1][0]["endsAt"]) == (4, "2027-01-15T08:02:20Z")
        for _ in range(60):
            await one.look()
            sent = await one.sent()
        assert len(sent) == 8


async def test_a_summary_is_sent_once_a_day(tmp_path: Path) -> None:
    """At its time, with the incidents of the day; a restart in the same hour does not send it again."""
    eight = 1_800_000_000.0
    async with gateway(tmp_path, at=eight) as one:
        one.source.whole = Day(86400, Totals(1000, 10, 0.2), [("orders", Totals(1000, 10, 0.2))])
        one.configure(more=", summary: daily at 09:00")
        one.source.scene.seen[route("orders")] = FAILING
        await one.look()
        one.source.scene.seen.clear()
        await one.look(60)
        await one.look(3530)
        await one.look()
        *_, last = await one.sent()
        assert last["title"] == "Health of the last 24h: 1,000 requests, error rate 1%, 1 incident"
        assert last["summary"]["Incidents"] == ["errors (page): route orders, since 2027-01-15T08:00:10Z for 1m, over"]
        assert len(await one.sent()) == 3
    async with gateway(tmp_path, at=one.clock.at + 30) as other:
        other.configure(more=", summary: daily at 09:00")
        await other.look()
        assert await other.titles() == []


async def test_an_objective_is_counted_over_a_restart(tmp_path: Path) -> None:
    """What was counted before it is part of what burns."""
    slo = 'rules: {slo: {objective: 99%, good: "status < 500", routes: [orders]}}'

    def report(one: Gateway, status: int, times: int) -> None:
        for _ in range(times):
            one.alerting.objectives.report(exchange_of("orders"), Outcome(0.0, 0.0, status))

    async with gateway(tmp_path) as one:
        one.configure(slo)
        one.source.scene.known["route"] = ["orders"]
        report(one, 500, 60)
        await one.look()
        assert await one.titles() == []
    async with gateway(tmp_path, at=one.clock.at + 30) as other:
        other.configure(slo)
        other.source.scene.known["route"] = ["orders"]
        report(other, 500, 60)
        await other.look()
        titles = await other.titles()
        assert "[page] slo: 1 firing (route orders)" in titles


# With a Redis.


@asynccontextmanager
async def two_gateways(redis: RedisServer, receiver: HttpReceiver, prefix: str) -> AsyncIterator[list[Gateway]]:
    made, links = [Gateway(receiver), Gateway(receiver)], []
    for one in made:
        links.append(link := RedisLink(redis.url, 10.0, prefix))
        await link.start()
        one.voice = Voice(link)
        one.configure(f"{RULES}\nbuiltin: [breaker_open]")
    try:
        yield made
    finally:
        for one in made:
            await one.alerting.stop()
        for link in links:
            await link.stop()


def _got(receiver: HttpReceiver) -> list[str]:
    return [each.json["title"] for each in receiver.got]


async def test_of_gateways_with_one_redis_one_speaks(redis: RedisServer) -> None:
    """Of what all see, one message; of what one sees in itself, the voice tells; and its follower repeats nothing."""
    async with http_receiver() as receiver, two_gateways(redis, receiver, "one:") as (one, other):
        for each in (one, other):
            each.source.scene.seen[route("orders")] = FAILING
        await one.look()
        await other.look()
        await receiver.wait(1)
        assert (one.alerting.speaks, other.alerting.speaks) == (True, False)
        other.source.scene.found = [Finding("breaker_open", Subject("breaker", "orders"), "it is open")]
        await other.look()
        await one.look()
        await receiver.wait(2)
        assert _got(receiver) == [
            "[page] errors: 1 firing (route orders)",
            "[page] breaker_open: 1 firing (breaker orders)",
        ]
        silenced = other.alerting.silences.add("*", "users", "*", other.clock.at + 900, other.clock.at, "", "")
        await other.look()
        await one.look()
        assert one.alerting.silences.holding(one.clock.at) == [silenced]
        await redis_forgets(redis, "one:alerts:voice")
        await other.look()
        assert other.alerting.speaks
        await one.look()
        assert not one.alerting.speaks
        assert len(receiver.got) == 2, "it knows what was sent"
        other.source.scene.seen.clear()
        other.source.scene.found = []
        await other.look(60)
        await receiver.wait(4)
        assert sorted(_got(receiver)[2:]) == [
            "[page] breaker_open: 1 resolved (breaker orders)",
            "[page] errors: 1 resolved (route orders)",
        ]


async def redis_forgets(redis: RedisServer, key: str) -> None:
    """As when the lease of a gateway that died runs out."""
    from redis.asyncio import Redis  # noqa: PLC0415

    client = Redis.from_url(redis.url)
    await client.delete(key)
    await client.aclose()


async def test_without_redis_each_one_speaks(own_redis: RedisServer) -> None:
    """Rather two voices than none, which is said; when it is back, one speaks again."""
    async with http_receiver() as receiver, two_gateways(own_redis, receiver, "two:") as (one, other):
        await one.look()
        await other.look()
        own_redis.kill()
        for each in (one, other):
            each.source.scene.seen[route("orders")] = FAILING
            await each.look()
            assert each.alerting.speaks
            assert any("Redis does not answer" in trouble for trouble in each.alerting.troubles())
        await receiver.wait(2)
        own_redis.start()

        async def again() -> bool:
            await one.look()
            await other.look()
            return one.alerting.speaks != other.alerting.speaks

        async with asyncio.timeout(60):
            while not await again():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert len(receiver.got) == 2


async def test_what_gateways_count_for_an_objective_is_added(redis: RedisServer) -> None:
    """Half of the failures at each of two are a burn rate that both see."""
    slo = 'rules: {slo: {objective: 99%, good: "status < 500", routes: [orders]}}'
    async with http_receiver() as receiver, two_gateways(redis, receiver, "three:") as both:
        for one in both:
            one.configure(slo)
            one.source.scene.known["route"] = ["orders"]
            await one.look()
        await both[0].look()
        for one in both:
            for _ in range(60):
                one.alerting.objectives.report(exchange_of("orders"), Outcome(0.0, 0.0, 500))
        await both[1].look()
        await both[0].look()
        await receiver.wait(1)
        assert both[0].alerting.objectives.window("slo", "orders", 300).total == 120
