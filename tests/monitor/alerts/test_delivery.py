"""How notices wait, are tried again, and are given up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.live import Tasks
from gateway.monitor.alerts import delivery as module
from gateway.monitor.alerts.delivery import MOST, Delivery
from gateway.monitor.alerts.notices import Notice, notice_of
from gateway.monitor.alerts.senders.sender import CALL_SECONDS, NotSent
from gateway.monitor.alerts.senders.webhook import Webhook
from tests.monitor.alerts.receivers import http_receiver
from tests.monitor.alerts.support import message
from tests.support import eventually


@asynccontextmanager
async def _delivery(url: str) -> AsyncIterator[Delivery]:
    made = Delivery("hook", "webhook", Webhook(url, None, None), Tasks())
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.1)


async def test_what_is_refused_is_tried_again_until_it_is_taken() -> None:
    """A receiver that fails is visible while it does, and gets the notice when it works again."""
    async with http_receiver("500 Oops", "503 Oops", "200 OK") as receiver, _delivery(receiver.url) as delivery:
        delivery.offer("group", Notice("test", "Test"))
        await receiver.wait(1)
        await eventually(lambda: bool(delivery.failure))
        (trouble,) = delivery.troubles()
        assert re.match(r"alerts do not reach hook \(webhook\) for [1-9]\d*s: it answers 50", trouble)
        assert "1 notice waiting; correct alerts.send.hook" in trouble
        assert receiver.url not in trouble
        await receiver.wait(3)
        await eventually(lambda: delivery.waiting == 0)
        assert (delivery.sent, delivery.failures, delivery.dropped) == (1, 2, 0)
        assert list(delivery.troubles()) == []


async def test_a_notice_that_is_never_taken_does_not_keep_others_waiting() -> None:
    """A message that the receiver calls wrong is dropped, and the next one sent."""
    async with http_receiver("400 Bad Request", "200 OK") as receiver, _delivery(receiver.url) as delivery:
        delivery.offer("one", Notice("test", "one"))
        delivery.offer("two", Notice("test", "two"))
        await receiver.wait(2)
        await eventually(lambda: delivery.waiting == 0)
        assert [each.json["title"] for each in receiver.got] == ["one", "two"]
        assert (delivery.sent, delivery.dropped) == (1, 1)


async def test_it_waits_as_long_as_it_is_asked_to() -> None:
    """`Retry-After` is heeded."""
    async with http_receiver("429 Slow\r\nRetry-After: 1", "200 OK") as receiver, _delivery(receiver.url) as delivery:
        began = asyncio.get_running_loop().time()
        delivery.offer("group", Notice("test", "Test"))
        await receiver.wait(2)
        assert asyncio.get_running_loop().time() - began >= 1.0


async def test_what_waits_of_one_group_becomes_one_notice() -> None:
    """While a receiver does not answer, what is new takes the place of what waits; what was over is not forgotten."""
    orders, users = message("errors", "route orders"), message("errors", "route users")
    orders_over = message("errors", "route orders", state="resolved")
    async with http_receiver(None) as receiver, _delivery(receiver.url) as delivery:
        delivery.offer("busy", Notice("test", "hangs"))
        await receiver.wait(1)
        for firing, resolved in (([orders], []), ([users], [orders_over]), ([users], [])):
            delivery.offer("errors", notice_of(firing, resolved))
        assert delivery.waiting == 2
        receiver.answers = ["200 OK"]
        later = Delivery("hook", "webhook", Webhook(receiver.url, None, None), Tasks())
        later.succeed(delivery)
        await eventually(lambda: later.waiting == 0)
        await later.stop()
    assert receiver.got[-1].json["title"] == "[page] errors: 1 firing (route users), 1 resolved"


class _Gate:
    """Takes a notice, or refuses it, on command: until then it is in flight."""

    def __init__(self) -> None:
        self.got: list[Notice] = []
        self.begun = asyncio.Event()
        self.answers: asyncio.Queue[bool] = asyncio.Queue()

    async def send(self, notice: Notice) -> None:
        self.begun.set()
        if not await self.answers.get():
            raise NotSent("no")
        self.got.append(notice)

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("taken", [True, False])
async def test_a_notice_in_flight_is_sent_again_only_if_it_was_not_accepted(*, taken: bool) -> None:
    """That an alert is over is said once, though another one of its group fires meanwhile."""
    over = message("errors", "route orders", state="resolved")
    gate = _Gate()
    delivery = Delivery("hook", "webhook", gate, Tasks())
    delivery.offer("errors", notice_of([], [over]))
    await gate.begun.wait()
    delivery.offer("errors", notice_of([message("errors", "route users")], []))
    gate.answers.put_nowait(taken)
    gate.answers.put_nowait(True)
    await eventually(lambda: delivery.waiting == 0)
    assert [each.subject for notice in gate.got for each in notice.resolved] == ["route orders"]
    assert len(gate.got) == (2 if taken else 1)
    await delivery.stop()


async def test_the_queue_is_bounded() -> None:
    """Of more groups than there is room for, the oldest go, and are counted."""
    async with http_receiver(None) as receiver, _delivery(receiver.url) as delivery:
        for number in range(MOST + 50):
            delivery.offer(number, Notice("test", str(number)))
        assert (delivery.waiting, delivery.dropped) == (MOST, 50)


async def test_at_the_end_what_waits_is_sent_if_it_is_taken_at_once() -> None:
    """A process that ends does not wait for a receiver that hangs, but for one that works."""
    async with http_receiver() as receiver:
        delivery = Delivery("hook", "webhook", Webhook(receiver.url, None, None), Tasks())
        delivery.offer("group", Notice("test", "last words"))
        await delivery.stop(patience=30)
        assert receiver.got[0].json["title"] == "last words"
    async with http_receiver(None) as receiver:
        delivery = Delivery("hook", "webhook", Webhook(receiver.url, None, None), Tasks())
        delivery.offer("group", Notice("test", "never"))
        began = asyncio.get_running_loop().time()
        await delivery.stop(patience=0.1)
        assert asyncio.get_running_loop().time() - began < CALL_SECONDS / 2
