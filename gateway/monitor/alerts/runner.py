"""Evaluates new figures, sends notifications, and keeps what must outlive a restart, from the start to the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.config.models.alerts import Alerts
from gateway.events import ApiAlert
from gateway.live import Supervised, Tasks
from gateway.live.paced import paced
from gateway.monitor.alerts.board import Board
from gateway.monitor.alerts.clock import SteadyClock
from gateway.monitor.alerts.delivery import END_SECONDS, Delivery
from gateway.monitor.alerts.incidents import Incidents
from gateway.monitor.alerts.keeping import Keeping
from gateway.monitor.alerts.notices import Notice, Wording
from gateway.monitor.alerts.notifying import Notifier, Receiver
from gateway.monitor.alerts.objectives import Objectives
from gateway.monitor.alerts.rules import Rule, compiled
from gateway.monitor.alerts.sight import Finding
from gateway.monitor.alerts.silences import Silences
from gateway.monitor.alerts.source import OneLook, Source
from gateway.monitor.alerts.state import spoken_of
from gateway.monitor.alerts.states import Key
from gateway.monitor.alerts.summary import DAY, is_due, summary
from gateway.monitor.alerts.voice import Counts, Voice
from gateway.plurals import counted

logger = logging.getLogger("gateway.alerts")

SERVICE: Final = ("alerts",)
"""The one identity under which it lives."""
PASS_SECONDS: Final = 15.0  # until it looks although the monitor, which looks every ten seconds, has not said so
FIRST_SECONDS: Final = 1.0  # until the first look


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of alerts."""

    config: Alerts
    routes: tuple[str, ...] = ()
    base: Path = Path()  # where the names of files begin
    file: Path | None = None  # what outlives a restart; None: nothing does
    voice: Voice | None = None  # None: there are no other gateways
    monitors: bool = True  # whether this process looks at rules; if not, it says what it sees in itself only


class Alerting:
    """The alerts of one gateway. While `acting` says no, another process looks."""

    def __init__(
        self, source: Source, acting: Callable[[], bool] = lambda: True, clock: SteadyClock | None = None
    ) -> None:
        self.tasks = Tasks()
        self.board = Board()
        self.silences = Silences()
        self.objectives = Objectives()
        self.incidents = Incidents()
        self.settings = Settings(Alerts.unset())
        self.receivers: dict[str, Receiver] = {}
        self.speaks = False
        self.publish: Callable[[ApiAlert], object] = lambda _: None  # on the bus
        self.clock = clock or SteadyClock()
        self._source = source
        self._acting = acting
        self._rules: dict[str, Rule] = {}
        self._notifier = Notifier()
        self._keeping = Keeping(None)
        self._began = self.clock.now()
        self._busy = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._leaving: set[asyncio.Task[None]] = set()
        self._looking: Supervised | None = None
        self._stopping = False

    def begin(self) -> None:
        """Begin to look."""
        self._looking = self.tasks.supervise("the look at alerts", self._work)

    # From the configuration.

    def configure(self, settings: Settings) -> None:
        """Look and notify as this one says, from now on."""
        self.settings = settings
        self._rules = compiled(settings.config, self._rules)
        new = self.objectives.configure(settings.config.rules, settings.routes, self.clock.now())
        if settings.file != self._keeping.path:
            self._leave(self._keeping.close())
            self._keeping = Keeping(settings.file)
        self._keeping.wanted |= set(new)
        former, self.receivers = self.receivers, {}
        for name, config in settings.config.send.items() if settings.monitors else ():
            before = former.pop(name, None)
            if before is not None and before.config == config and config.ca is None:
                self.receivers[name] = before
                continue
            # Megabytes of libraries, for those who have a sender.
            from gateway.monitor.alerts.senders.table import sender_of  # noqa: PLC0415

            delivery = Delivery(name, config.kind, sender_of(config, settings.base), self.tasks)
            delivery.delivered = self._keep_soon
            if before is not None:
                if before.config.kind == config.kind:
                    delivery.succeed(before.delivery)
                self._leave(before.delivery.stop())
            self.receivers[name] = Receiver(name, config, delivery)
        for removed in former.values():
            self._leave(removed.delivery.stop())
        self._notifier.forget(self.receivers.keys())

    def _leave(self, end: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(end)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # Looking.

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.settings.config.anything and not self.board.alerts

    def look_soon(self) -> None:
        """Look at once, because something has changed."""
        self._wanted.set()

    async def _work(self) -> None:
        seconds = FIRST_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wanted.wait()
            self._wanted.clear()
            seconds = FIRST_SECONDS
            if self._acting():
                seconds = PASS_SECONDS
                if not self.idle:
                    await self.look()

    async def look(self) -> None:
        """Look at everything once, send what is new, keep what must be kept."""
        async with self._busy:
            now, offset = self.clock.now(), self.clock.offset()
            if self.settings.monitors:
                kept = await self._keeping.restore(self.objectives)
                if kept is not None:
                    self.board.restore(kept.alerts, now)
                    self._notifier.spoken = kept.spoken
                    self.silences.hear(kept.silences)
                    self.incidents.restore(kept.incidents, self.board, offset)
            own = await paced(_collected(self._source.findings(self.settings.config.builtin, now + offset)))
            findings, counts = await self._turn(own)
            self.objectives.advance(now, counts)
            if not self.settings.monitors:
                return
            await self._source.refresh(now + offset)
            await paced(self.board.look(self._rules, OneLook(self._source, self.objectives, findings, offset), now))
            changed = self.incidents.follow(self.board, now, offset)
            self.silences.forget(now)
            if self.speaks:
                for alert in changed:
                    self.publish(self.wording(offset).message(alert))
                repeat = self.settings.config.repeat
                self._notifier.notify(
                    self.receivers.values(), self.board, self.silenced(now), repeat, self.wording(offset), now
                )
                await self._summarize(now, offset)
            await self._keep(now)

    async def _keep(self, now: float) -> None:
        await self._keeping.save(self.board, self._spoken(), self.silences, self.incidents, self.objectives, now)

    def _keep_soon(self) -> None:
        """A receiver has taken a message: a process that is killed now would send it again."""
        if not self._stopping:
            self._leave(self._keep_now())

    async def _keep_now(self) -> None:
        async with self._busy:
            if self._keeping.restored and not self._stopping:
                await self._keep(self.clock.now())

    async def _turn(self, findings: list[Finding]) -> tuple[list[Finding], Mapping[str, Counts] | None]:
        """Hear other gateways, and whether this one speaks. Answers what all know of themselves, and have counted."""
        voice = self.settings.voice
        if voice is None:
            self.speaks = True
            return findings, None
        counts = {key: (series.good, series.total) for key, series in self.objectives.series.items()}
        heard = await voice.turn(self._spoken() if self.speaks else b"", findings, counts, self.silences.all())
        if not self.speaks:
            # Another one spoke until now: what it has said was said.
            with contextlib.suppress(ValueError):
                if heard.spoken:
                    self._notifier.spoken = spoken_of(heard.spoken)
        self.speaks = heard.speaks
        self.silences.hear(heard.silences)
        return [*findings, *heard.findings], heard.counts

    def _spoken(self) -> bytes:
        waiting = {name: receiver.delivery.undelivered() for name, receiver in self.receivers.items()}
        return self._notifier.spoken.to_json(waiting)

    def silenced(self, now: float) -> set[Key]:
        """The alerts that are not sent."""
        return {key for key in self.board.alerts if self.silences.silencing(key, now) is not None}

    def wording(self, offset: float) -> Wording:
        """How alerts leave the gateway."""
        config = self.settings.config
        runbooks = {name: rule.runbook for name, rule in config.rules.items() if rule.runbook is not None}
        link = None if config.link is None else config.link.partition("#")[0] + "#alerts"
        return Wording(offset, link, runbooks)

    async def _summarize(self, now: float, offset: float) -> None:
        at = now + offset
        sent = self._notifier.spoken.summaries
        due = [
            receiver
            for receiver in self.receivers.values()
            if receiver.config.summary is not None
            and is_due(receiver.config.summary, sent.get(receiver.name, self._began + offset), at)
        ]
        if due:
            incidents = self.incidents.since(at - DAY)
            notice = summary(await self._source.day(at), incidents, self.wording(offset).link, at)
            for receiver in due:
                sent[receiver.name] = at
                receiver.delivery.offer("summary", notice)

    # For operators.

    def test_notice(self) -> Notice:
        """The notice of `gateway alerts test`."""
        at = time.time()
        config = self.settings.config
        rules, builtins = counted(len(config.rules), "rule"), counted(len(config.builtin), "builtin")
        text = f"Test: alerts of this gateway reach you ({rules}, {builtins})"
        return Notice("test", text, link=self.wording(0.0).link, at=at)

    def troubles(self) -> Iterator[str]:
        """See `Troubled`."""
        for receiver in self.receivers.values():
            yield from receiver.delivery.troubles()
        yield from self._keeping.troubles()
        if self.settings.voice is not None:
            yield from self.settings.voice.troubles()
        for rule, count in self.board.left_out.items():
            yield f"the rule {rule} has {count} alerts more than are kept; have it look at fewer subjects (by, routes)"
        if self.objectives.left_out:
            too_many = counted(self.objectives.left_out, "route")
            yield f"the objectives of {too_many} are not counted: there are too many; have them name fewer routes"

    async def stop(self) -> None:
        """Send what can be sent at once, and keep what must be kept."""
        if self._looking is not None:
            self._looking.cancel()
            await self._looking.finish()
        self._stopping = True
        await asyncio.gather(*(each.delivery.stop(patience=END_SECONDS) for each in self.receivers.values()))
        if not self.idle and self._keeping.restored:
            now = self.clock.now()
            self.objectives.advance(now)
            await self._keep(now)
        await self._keeping.close()


def _collected(steps: Iterator[Finding | None]) -> Generator[None, None, list[Finding]]:
    found = []
    for each in steps:
        if each is not None:
            found.append(each)
        yield
    return found
