"""What waits to be sent: its bounds, its thread, and senders that raise or hang."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence

import pytest

from gateway.monitor.telemetry.exporting import READINGS
from gateway.monitor.telemetry.pipeline import Pipeline, Verdict
from gateway.monitor.telemetry.settings import Batching, Destination
from tests.support import eventually

HERE = Destination("http", "traces", "http://collector", (), 1.0, ())


class Scripted:
    """A Sender with a configured result."""

    def __init__(self, *steps: Callable[[Sequence[int]], Verdict]) -> None:
        self.steps = list(steps)
        self.batches: list[list[int]] = []
        self.closed = threading.Event()

    def send(self, records: Sequence[int]) -> Verdict:
        """See `Sender`."""
        self.batches.append(list(records))
        step = self.steps.pop(0) if self.steps else fine
        return step(records)

    def close(self) -> None:
        """See `Sender`."""
        self.closed.set()


def fine(records: Sequence[int]) -> Verdict:
    return Verdict()


def raising(records: Sequence[int]) -> Verdict:
    raise RuntimeError("boom")


def refusing(records: Sequence[int]) -> Verdict:
    return Verdict(len(records), "no")


def pipeline(sender: Scripted, delay: float = 0.01, timeout: float = 1.0) -> Pipeline[int]:
    destination = Destination("http", "traces", "http://collector", (), timeout, ())
    return Pipeline(destination, "number", Batching(delay, 3, 10, 1000), lambda: sender)


def counts(each: Pipeline[int]) -> tuple[float, float]:
    """(sent, lost)"""
    measures = each.measures()
    return measures["gateway_telemetry_sent_total"], measures["gateway_telemetry_lost_total"]


async def test_batches_are_bounded_and_in_order() -> None:
    """All that was put comes, a few at a time."""
    sender = Scripted()
    each = pipeline(sender)
    for number in range(8):
        each.put(number, 1)
    await each.start()
    await each.stop()
    assert sender.batches == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert counts(each) == (8, 0)
    assert sender.closed.is_set()


async def test_what_comes_while_a_batch_is_sent_waits_for_the_next() -> None:
    """A batch costs the same however few records are in it."""
    held = threading.Event()

    def slowly(records: Sequence[int]) -> Verdict:
        held.wait(60)
        return Verdict()

    sender = Scripted(slowly)
    each = pipeline(sender, delay=3600.0)
    await each.start()
    for number in range(3):
        each.put(number, 1)
    await eventually(lambda: len(sender.batches) == 1)
    each.put(3, 1)
    held.set()
    await eventually(lambda: counts(each) == (3, 0))
    for number in (4, 5):
        each.put(number, 1)
    await eventually(lambda: len(sender.batches) == 2)
    each.put(6, 1)
    await each.stop()
    assert sender.batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_large_records_do_not_wait_for_so_many_others() -> None:
    """Half of the room is a batch, too: otherwise what follows would be dropped while nothing is sent."""
    sender = Scripted()
    each = pipeline(sender, delay=3600.0)
    await each.start()
    for number in range(2):
        each.put(number, 300)
    await eventually(lambda: counts(each) == (2, 0))
    await each.stop()
    assert sender.batches == [[0, 1]]


async def test_records_without_a_size_are_sent_one_by_one() -> None:
    """Readings are: at once, and nothing where there is none."""
    sender = Scripted()
    each = Pipeline(HERE, "number", READINGS, lambda: sender)
    await each.start()
    for number in range(2):
        each.put(number, 0)
    await eventually(lambda: counts(each) == (2, 0))
    await asyncio.sleep(0.1)
    await each.stop()
    assert sender.batches == [[0], [1]]


async def test_what_finds_no_room_is_dropped_and_counted() -> None:
    """By number and by bytes; and there is room again for what follows."""
    held = threading.Event()

    def slowly(records: Sequence[int]) -> Verdict:
        held.wait(60)
        return Verdict()

    sender = Scripted(fine, fine, fine, fine, slowly)
    each = pipeline(sender)
    for number in range(12):
        each.put(number, 1)
    each.put(99, 995)
    assert each.waiting == (10, 10)
    await each.start()
    await eventually(lambda: counts(each) == (10, 3))
    each.put(100, 1)
    await eventually(lambda: sender.batches[-1] == [100])  # so that none is taken while two more come
    each.put(101, 1000)
    each.put(102, 1)
    held.set()
    await each.stop()
    assert counts(each) == (12, 4)


async def test_a_sender_that_raises_loses_its_batch_only(caplog: pytest.LogCaptureFixture) -> None:
    """It is said with the reason, and when it works again."""
    sender = Scripted(raising, refusing)
    each = pipeline(sender)
    with caplog.at_level(logging.INFO, "gateway.telemetry"):
        for number in range(9):  # before it starts: otherwise it might find less than a batch
            each.put(number, 1)
        await each.start()
        await eventually(lambda: counts(each) == (3, 6))
        await each.stop()
    assert "takes no traces: RuntimeError: boom" in caplog.text
    assert "takes traces again: 6 numbers lost" in caplog.text
    assert not list(each.troubles())


async def test_a_collector_that_fails_is_left_alone_for_a_while() -> None:
    """What comes meanwhile waits, and is not lost with the next try."""
    sender = Scripted(lambda records: Verdict(len(records), "busy", pause=1000.0))
    each = pipeline(sender)
    await each.start()
    each.put(1, 1)
    await eventually(lambda: bool(list(each.troubles())))
    for number in range(2, 6):
        each.put(number, 1)
    await asyncio.sleep(0.1)
    assert sender.batches == [[1]]
    await each.stop()
    assert sender.batches == [[1], [2, 3, 4], [5]]
    assert counts(each) == (4, 1)


async def test_a_sender_that_hangs_is_reported_and_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the process waits for it for a bounded time."""
    monkeypatch.setattr("gateway.monitor.telemetry.pipeline.STOP_SECONDS", 0.1)
    held = threading.Event()

    def hanging(records: Sequence[int]) -> Verdict:
        held.wait(60)
        return Verdict()

    sender = Scripted(hanging)
    each = pipeline(sender, timeout=0.05)
    await each.start()
    each.put(1, 1)
    await eventually(lambda: any("does not answer" in trouble for trouble in each.troubles()))
    each.put(2, 1)
    await each.stop()
    assert sender.closed.is_set()
    assert counts(each)[1] == 1
    held.set()


async def test_a_sender_that_cannot_be_made_is_reported() -> None:
    """And nothing else happens."""

    def make() -> Scripted:
        raise ImportError("no such package")

    each: Pipeline[int] = Pipeline(HERE, "number", Batching(0.01, 3, 10, 1000), make)
    await each.start()
    each.put(1, 1)
    await eventually(lambda: any("no such package" in trouble for trouble in each.troubles()))
    await each.stop()
    assert counts(each) == (0, 1)


async def test_one_that_is_not_needed_any_more_sends_what_it_has() -> None:
    """In its own time, and then takes nothing."""
    sender = Scripted()
    each = pipeline(sender, delay=3600.0)
    await each.start()
    each.put(1, 1)
    each.retire()
    await eventually(lambda: sender.batches == [[1]])
