"""A second attempt at the next provider beside a slow first one (Dean and Barroso, "The Tail at Scale"): of requests
that do not stream, whose profile asks for it. Both are reserved; the first good answer is the client's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.errors import GatewayError
from gateway.http import Response
from gateway.http.messages import Deferred
from gateway.http.model_record import Switch
from gateway.llm.choosing import Candidate
from gateway.llm.failover import Failover
from gateway.llm.failures import Failure
from gateway.llm.going import Going
from gateway.llm.usage import NOTHING

HEDGED = "hedged"

Asking = asyncio.Task[Response | Failure]


async def hedged(failover: Failover, going: Going, candidates: Sequence[Candidate], after: float) -> Response | Failure:
    """As `Failover.answer`; when that takes longer than `after` seconds, another provider is asked, too."""
    if going.request.stream or not going.may_be_sent_again or going.origin is not None:
        return await failover.answer(going, candidates)
    first = asyncio.ensure_future(failover.answer(going, candidates))
    tasks: list[Asking] = [first]
    twin: Going | None = None
    try:
        await asyncio.wait(tasks, timeout=after)
        others = [candidate for candidate in candidates if candidate.provider != going.record.provider]
        twin = None if first.done() or not others else await _twin(going, others)
        if twin is None:
            return await first
        second = asyncio.ensure_future(failover.answer(twin, others))
        tasks.append(second)
        winner = await _first_good(first, second) or second
        await _cancel(tasks)
    except BaseException:  # the client went away
        try:
            await _cancel(tasks)
        finally:
            if twin is not None:
                _give_up(twin)
        raise
    if winner is second:
        _take_over(going, twin)
    else:
        _give_up(twin)
    return winner.result()


async def _first_good(*tasks: Asking) -> Asking | None:
    """The first that has a good answer; None where neither has one."""
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    good = next((task for task in done if _is_good(task)), None)
    if good is None and pending:
        await asyncio.wait(pending)
        good = next((task for task in pending if _is_good(task)), None)
    return good


async def _cancel(tasks: Sequence[Asking]) -> None:
    """End those that are under way, and wait until each has closed what it has, and noted what it took."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _twin(going: Going, others: Sequence[Candidate]) -> Going | None:
    """The same request, to be sent once more; None where the budgets do not let it."""
    twin = going.twin()
    twin.exchange.attempts = ()
    twin.exchange.deferred = Deferred()
    api, asked = going.call.api, going.output_limit or going.request.output_limit
    try:
        await twin.bill.reserve(twin.exchange, others, asked, generates=api.generates)
    except GatewayError:
        return None
    return twin


def _is_good(task: Asking) -> bool:
    return not task.cancelled() and task.exception() is None and isinstance(task.result(), Response)


def _take_over(going: Going, twin: Going) -> None:
    """The second attempt's answer is the client's."""
    exchange, first, second = going.exchange, going.record, twin.record
    second.tries += first.tries
    second.left_out = first.left_out + second.left_out
    second.switches = (*first.switches, Switch(first.backend, second.backend, HEDGED), *second.switches)
    going.meter.lost(going.meter.answer)
    going.bill.over(NOTHING, "", finished=False)
    going.meter, going.bill, going.record, exchange.model = twin.meter, twin.bill, second, second
    exchange.attempts += twin.exchange.attempts
    exchange.upstream = twin.exchange.upstream
    exchange.decisions += tuple(each for each in twin.exchange.decisions if each not in exchange.decisions)
    exchange.defer(twin.exchange.close)


def _give_up(twin: Going) -> None:
    twin.meter.lost(twin.meter.answer)
    twin.bill.over(NOTHING, "", finished=False)
    twin.exchange.close()
