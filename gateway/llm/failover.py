"""The one loop that tries providers, until one answers, all have failed, or the time is over.

Until the client has content of an answer, a failure is followed by the next deployment (a key of a provider, for one
model), unseen by the client. When all have been tried there is a second and a third round, after a pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from gateway.algorithms.backoff import full_jitter
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Response
from gateway.http.messages import Deferred
from gateway.http.model_record import LeftOut, Switch
from gateway.llm.answering import answer_of, not_there
from gateway.llm.choosing import Candidate
from gateway.llm.cooldown import Cooldowns, Deployment
from gateway.llm.draining import Drains
from gateway.llm.failures import Failure
from gateway.llm.going import Going, Sent
from gateway.llm.holding import Limits
from gateway.llm.passing import MeteredStream
from gateway.llm.providers import Key, Loads, Provider
from gateway.llm.speaking import ModelError
from gateway.llm.translate.translation import CannotTranslate

logger = logging.getLogger("gateway.models")

ROUNDS: Final = 3
MOST_TRIES: Final = 8  # at providers, for one request
FIRST_PAUSE: Final = 0.5  # seconds, between rounds
LONGEST_PAUSE: Final = 4.0
LONGEST_WAIT: Final = 5.0  # for the end of a pause that a provider asked for
_UNSENT: Final = frozenset({"connect", "breaker"})  # failures before which nothing was sent


class Failover:
    """Tries providers. All requests of one configuration share it."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        cooldowns: Cooldowns,
        loads: Loads,
        limits: Limits,
        drains: Drains | None = None,
    ) -> None:
        self.providers = providers
        self.cooldowns = cooldowns
        self.loads = loads
        self._limits = limits
        self._drains = drains  # None: a stream ends with its client
        self._all = tuple(providers.values())

    async def answer(
        self, going: Going, candidates: Sequence[Candidate], before: tuple[str, str] | None = None
    ) -> Response | Failure:
        """The answer, or the last failure. `before`: the backend that was asked before these, and how it failed.

        Raises GatewayError where the request itself is at fault, or no provider may be asked now.
        """
        last: Failure | None = None
        unsupported: CannotTranslate | None = None
        record = going.record
        for number in range(ROUNDS):
            if number and (not going.may_be_sent_again or not await self._pause(going, candidates, number, last)):
                break
            for candidate, provider, key in self._deployments(going, candidates):
                if record.tries >= MOST_TRIES or not self._may_try(going, candidate, key, note=not number):
                    continue
                if not await going.bill.may_try(candidate) or not self._may_try(going, candidate, key, note=False):
                    continue  # another request may have begun to try it meanwhile
                try:
                    sent = going.send(provider, key, candidate)
                except CannotTranslate as error:
                    unsupported = unsupported or error
                    continue
                if before is not None:
                    record.switches += (Switch(before[0], candidate.backend, before[1]),)
                outcome = await self._try(going, sent, provider, key, candidate)
                if _is_stale(going, outcome):
                    outcome = await self._try(going, going.send(provider, key, candidate), provider, key, candidate)
                if isinstance(outcome, Response):
                    return outcome
                last, before = outcome, (candidate.backend, outcome.reason)
                if not outcome.switch or (not going.may_be_sent_again and outcome.reason not in _UNSENT):
                    return last
        if last is not None:
            return last
        if unsupported is not None:
            code, said, field = "unsupported_parameter", str(unsupported), unsupported.field
            raise ModelError(ErrorKind.BAD_REQUEST, said, code, param=field, logged=unsupported.reason)
        raise self._none_left(going, candidates)

    def _deployments(self, going: Going, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Provider, Key]]:
        for candidate in candidates:
            provider = self.providers[candidate.provider]
            for key in provider.ordered(going.affinity, random.random(), self.loads.of):
                if going.origin is None or going.origin == (provider.name, key.fingerprint):
                    yield candidate, provider, key

    def left_alone(self, candidate: Candidate, key: Key) -> tuple[float, str]:
        """For how many seconds a deployment is left alone, and why."""
        now, cooldowns = asyncio.get_running_loop().time(), self.cooldowns
        return max((cooldowns.left(way, now), cooldowns.why(way)) for way in self._ways(candidate, key))

    def _ways(self, candidate: Candidate, key: Key) -> tuple[Deployment, Deployment]:
        """What may be left alone: the key for this model, and the key."""
        of_model = Deployment(candidate.provider, key.fingerprint, candidate.model)
        return of_model, of_model._replace(model="")

    def _may_try(self, going: Going, candidate: Candidate, key: Key, *, note: bool) -> bool:
        if self.cooldowns.none:
            return True
        left, why = self.left_alone(candidate, key)
        if left and note:
            going.record.left_out += (LeftOut(candidate.provider, "key" if why == "key" else "cooldown"),)
        return not left

    async def _pause(self, going: Going, candidates: Sequence[Candidate], number: int, last: Failure | None) -> bool:
        """Wait before another round; False where that is no use."""
        lefts = [self.left_alone(candidate, key)[0] for candidate, _, key in self._deployments(going, candidates)]
        soonest = min(lefts, default=LONGEST_WAIT + 1)
        pause = max(soonest, full_jitter(number, random.random(), FIRST_PAUSE, LONGEST_PAUSE) if last else 0.0)
        loop = asyncio.get_running_loop()
        if soonest > LONGEST_WAIT or loop.time() + pause >= going.exchange.deadline:
            return False
        await asyncio.sleep(pause)
        return True

    async def _try(
        self, going: Going, sent: Sent, provider: Provider, key: Key, candidate: Candidate
    ) -> Response | Failure:
        """One attempt. What it opened is closed at once where it fails, and else with the request."""
        exchange, record, loads = going.exchange, going.record, self.loads
        now = asyncio.get_running_loop().time()
        record.tries += 1
        record.provider, record.model, record.backend = provider.name, candidate.model, candidate.backend
        ways: tuple[Deployment, ...] = () if self.cooldowns.none else self._ways(candidate, key)
        for way in ways:
            self.cooldowns.begin(way, now)
        outer, deadline = exchange.deferred, exchange.deadline
        exchange.deadline = min(deadline, now + provider.total)
        exchange.deferred = own = Deferred()
        loads.begin(provider.name, key.load)
        own.add(partial(loads.end, provider.name, key.load))
        try:
            outcome = await answer_of(going, sent, provider, self._limits, self._all)
        except BaseException:
            self._over(going, ways, outer, deadline)
            own.close()
            raise
        self._over(going, ways, outer, deadline)
        if isinstance(outcome, Response):
            self._hand_over(going, outcome, own)
        else:
            exchange.error = outcome.error
            own.close()  # the breaker learns of the error
            exchange.error = None
        if not isinstance(outcome, Response) or not self.cooldowns.none:
            self._learn(self._ways(candidate, key)[0], outcome)
        return outcome

    def _over(self, going: Going, ways: tuple[Deployment, ...], outer: Deferred | None, deadline: float) -> None:
        """An attempt is over: the exchange is as it was before."""
        going.exchange.deferred, going.exchange.deadline = outer, deadline
        for way in ways:
            self.cooldowns.give_back(way)

    def _hand_over(self, going: Going, response: Response, own: Deferred) -> None:
        """The answer is the client's: what belongs to it is closed with the request, or when it has been drained."""
        stream = response.body
        if not isinstance(stream, MeteredStream) or self._drains is None:
            going.exchange.defer(own.close)
            return
        drains = self._drains

        def over() -> None:
            own.close()
            going.over(drained=True)

        def left() -> bool:
            going.draining = drains.take(stream, over)
            return going.draining

        def closed() -> None:
            if not going.draining:
                own.close()

        stream.left = left
        going.exchange.defer(closed)

    def _learn(self, deployment: Deployment, outcome: Response | Failure) -> None:
        now, cooldowns = asyncio.get_running_loop().time(), self.cooldowns
        if isinstance(outcome, Response):
            cooldowns.succeeded(deployment)
            cooldowns.succeeded(deployment._replace(model=""))
        elif outcome.reason == "key":
            of_all = outcome.response is None or outcome.response.status == 401
            cooldowns.refused(deployment._replace(model="") if of_all else deployment, now)
            text = "the provider %s refuses a key (fingerprint %s): it is left out for a while; give it a valid key"
            logger.warning(text, deployment.provider, deployment.key)
        elif outcome.leaves_alone:
            cooldowns.limited(deployment, outcome.reason, now, outcome.retry_after)
        elif outcome.switch and outcome.reason != "breaker":
            cooldowns.failed(deployment, outcome.reason, now)

    def _none_left(self, going: Going, candidates: Sequence[Candidate]) -> GatewayError:
        """No provider may be asked now: each of them is left alone for a while."""
        if going.origin is not None:
            return not_there(going)
        lefts = [self.left_alone(candidate, key) for candidate, _, key in self._deployments(going, candidates)]
        left, why = min(lefts, default=(1.0, ""))
        seconds = max(1, round(left + 0.5))
        kind = ErrorKind.QUOTA_EXCEEDED if why == "rate_limited" else ErrorKind.UPSTREAM_UNAVAILABLE
        detail = f"every provider of the model is left alone for a while, the first for {seconds} s more: {why}"
        said = f"every provider of the model is at its limit or fails; try again in {seconds} s"
        going.record.failure = "cooldown"
        return GatewayError(kind, detail, headers=((b"retry-after", b"%d" % seconds),), public_detail=said)


def _is_stale(going: Going, outcome: Response | Failure) -> bool:
    """Whether the provider had closed the connection that the request was sent on, before it read any of it."""
    attempts = going.exchange.attempts
    if isinstance(outcome, Response) or outcome.error is None or not attempts or not going.may_be_sent_again:
        return False
    last = attempts[-1]
    return last.reused and last.unanswered and last.failure is ErrorKind.UPSTREAM_RESET
