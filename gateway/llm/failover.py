"""The one loop that tries providers, until one answers, all have failed, or the time is over.

Until the client has content of an answer, a failure is followed by the next deployment (a key of a provider, for one
model), unseen by the client. When all have been tried there is a second and a third round, after a pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from gateway.algorithms.backoff import full_jitter
from gateway.deadlines import NEVER
from gateway.errors import ErrorKind, GatewayError, without_frames
from gateway.http import Response
from gateway.http.messages import Deferred
from gateway.http.model_record import LeftOut, ModelRecord, Switch
from gateway.llm.affinity import Origin
from gateway.llm.answering import at_once, in_parts, not_there
from gateway.llm.choosing import Candidate
from gateway.llm.cooldown import Cooldowns, Deployment
from gateway.llm.draining import Drains
from gateway.llm.failures import Failure, of_error
from gateway.llm.going import Going, Sent
from gateway.llm.holding import Limits
from gateway.llm.passing import MeteredStream
from gateway.llm.providers import Key, Loads, Provider
from gateway.llm.speaking import ModelError
from gateway.llm.translate.translation import CannotTranslate
from gateway.upstream.retry import STALE

logger = logging.getLogger("gateway.models")

ROUNDS: Final = 3
MOST_TRIES: Final = 8  # at providers, for one request
FIRST_PAUSE: Final = 0.5  # seconds, between rounds
LONGEST_PAUSE: Final = 4.0
LONGEST_WAIT: Final = 5.0  # for the end of a pause that a provider asked for
_UNSENT: Final = frozenset({"connect", "breaker"})  # failures before which nothing was sent
_UNDONE: Final = _UNSENT | {"rate_limited", "overloaded", "key"}  # and those after which nothing was done


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

    def only(self, going: Going, candidates: Sequence[Candidate]) -> Sent | None:
        """The request to the one deployment that may answer, for `attempt`; None where there are several, or more is to
        be asked before: that is for `answer`, which most requests can do without."""
        if len(candidates) > 1 or going.sealing is not None or going.bill.holds or not self.cooldowns.none:
            return None
        candidate = candidates[0]
        provider = self.providers[candidate.provider]
        if candidate.translated or len(provider.keys) > 1:
            return None
        return going.send(provider, provider.keys[0], candidate)

    async def answer(
        self,
        going: Going,
        candidates: Sequence[Candidate],
        before: tuple[str, str] | None = None,
        last: Failure | None = None,
    ) -> Response | Failure:
        """The answer, or the last failure. `before`: the backend that was asked before these, and how it failed.
        `last`: how the first round ended, if it is over.

        Raises GatewayError where the request itself is at fault, or no provider may be asked now.
        """
        unsupported: CannotTranslate | None = None
        record = going.record
        for number in range(0 if last is None else 1, ROUNDS):
            if number and (not _is_worth_while(going, last) or not await self._pause(going, candidates, number, last)):
                break
            for candidate, provider, key in self._deployments(going, candidates):
                if record.tries >= MOST_TRIES or not await self._may_begin(going, candidate, key, note=not number):
                    continue
                try:
                    sent = going.send(provider, key, candidate)
                except CannotTranslate as error:
                    unsupported = unsupported or without_frames(error)
                    _note_untranslated(record, candidate, error)
                    continue
                if before is not None:
                    record.switches += (Switch(before[0], candidate.backend, before[1]),)
                    _note_next(going, before[1])
                outcome = await self.attempt(going, sent)
                if isinstance(outcome, Response):
                    return outcome
                last, before = outcome, (candidate.backend, outcome.reason)
                if is_final(going, outcome):
                    return last
        if last is not None:
            return last
        if unsupported is not None:
            raise _untranslated(unsupported)
        raise self._none_left(going, candidates)

    def check_translations(self, going: Going, candidates: Sequence[Candidate]) -> None:
        """Note the providers that cannot be sent the request in their own API, as `answer` does. Raises ModelError
        where that is all of them."""
        errors = []
        for candidate in candidates:
            try:
                going.translate(self.providers[candidate.provider], candidate)
            except CannotTranslate as error:
                errors.append(without_frames(error))
                _note_untranslated(going.record, candidate, error)
        if errors and len(errors) == len(candidates):
            raise _untranslated(errors[0])

    async def _may_begin(self, going: Going, candidate: Candidate, key: Key, *, note: bool) -> bool:
        if not self._may_try(going, candidate, key, note=note):
            return False
        if not going.bill.holds:
            return True
        # Another request may have begun to try it meanwhile.
        return await going.bill.may_try(candidate) and self._may_try(going, candidate, key, note=False)

    async def attempt(self, going: Going, sent: Sent) -> Response | Failure:
        """One attempt, once more where the provider had closed the connection meanwhile. Raises GatewayError for what
        is not its fault."""
        provider, stale = sent.provider, False
        while True:
            response: Response | None = None
            self._begin(going, sent)
            try:
                try:
                    response = await provider.handler(going.exchange)
                except GatewayError as error:
                    outcome: Response | Failure | None = _unanswered(error)
                else:
                    outcome = at_once(going, sent, response, self._all)
                if outcome is None and response is not None:
                    outcome = await in_parts(going, sent, response, self._limits, self._all)
            except BaseException as ended:
                self._abandon(going, sent, answered=response is not None or isinstance(ended, GatewayError))
                raise
            assert outcome is not None
            self._end(going, sent, outcome)
            if stale or isinstance(outcome, Response) or not _is_stale(going, outcome):
                return outcome
            _note_next(going, STALE)
            stale, sent = True, going.send(provider, sent.key, sent.candidate)

    def _deployments(self, going: Going, candidates: Sequence[Candidate]) -> Iterable[tuple[Candidate, Provider, Key]]:
        """In the order in which they are tried."""
        if len(candidates) == 1 and going.sealing is None:
            candidate = candidates[0]
            provider = self.providers[candidate.provider]
            if len(provider.keys) == 1:
                return ((candidate, provider, provider.keys[0]),)
        return self._of_several(going, candidates, going.origin)

    def _of_several(
        self, going: Going, candidates: Sequence[Candidate], origin: Origin | None
    ) -> Iterator[tuple[Candidate, Provider, Key]]:
        """The keys of each candidate, by what is in flight when it is their turn."""
        for candidate in candidates:
            provider = self.providers[candidate.provider]
            for key in provider.ordered(going.affinity, self.loads.of):
                if origin is None or origin == (provider.name, key.fingerprint):
                    yield candidate, provider, key

    def left_alone(self, candidate: Candidate, key: Key) -> tuple[float, str]:
        """For how many seconds a deployment is left alone, and why."""
        now, cooldowns = asyncio.get_running_loop().time(), self.cooldowns
        return max((cooldowns.left(way, now), cooldowns.why(way)) for way in self._ways(candidate, key))

    def _ways(self, candidate: Candidate, key: Key) -> tuple[Deployment, Deployment]:
        """The subjects of a pause: the key for this model, and the key."""
        # What is stored is of no model: whoever may not, or not so often, look it up may well ask the models.
        of_model = Deployment(candidate.provider, key.fingerprint, candidate.model or candidate.backend)
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

    def _begin(self, going: Going, sent: Sent) -> None:
        """One attempt begins. What it opens is closed at once where it fails, and else with the request."""
        exchange, record, meter = going.exchange, going.record, going.meter
        provider, candidate = sent.provider, sent.candidate
        record.tries += 1
        record.provider, record.model, record.backend = provider.name, candidate.model, candidate.backend
        meter.sent, meter.answer = False, None
        sent.outer, sent.deadline = exchange.deferred, exchange.deadline
        if not self.cooldowns.none or provider.total != NEVER:
            now = asyncio.get_running_loop().time()
            sent.ways = self._ways(candidate, sent.key)
            for way in sent.ways:
                self.cooldowns.begin(way, now)
            exchange.deadline = min(sent.deadline, now + provider.total)
        exchange.deferred = None  # until something is opened that is closed at once where this fails
        self.loads.begin(provider.name, sent.key.load)

    def _end(self, going: Going, sent: Sent, outcome: Response | Failure) -> None:
        """It was answered, or failed."""
        exchange, loads, name, load = going.exchange, self.loads, sent.provider.name, sent.key.load
        own = self._over(going, sent)
        if isinstance(outcome, Response) and (outcome.session is not None or not isinstance(outcome.body, bytes)):
            own = own or Deferred()
            own.add(partial(loads.end, name, load))
            self._hand_over(going, outcome, own)
        else:
            loads.end(name, load)
            if own is not None:
                exchange.error = None if isinstance(outcome, Response) else outcome.error
                own.close()  # the breaker learns of the error
                exchange.error = None
        if not isinstance(outcome, Response) or not self.cooldowns.none:
            self._learn(sent, outcome)

    def _abandon(self, going: Going, sent: Sent, *, answered: bool) -> None:
        """It ends with the request. Where its client went away before there was an answer, what was sent is charged."""
        if not answered:
            going.meter.sent = any(attempt.sent for attempt in going.exchange.attempts[-1:])
        own = self._over(going, sent)
        self.loads.end(sent.provider.name, sent.key.load)
        if own is not None:
            own.close()

    def _over(self, going: Going, sent: Sent) -> Deferred | None:
        """The exchange is as it was before the attempt. What that has opened."""
        exchange = going.exchange
        own = exchange.deferred
        exchange.deferred, exchange.deadline = sent.outer, sent.deadline
        for way in sent.ways:
            self.cooldowns.give_back(way)
        return own

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

    def _learn(self, sent: Sent, outcome: Response | Failure) -> None:
        deployment = self._ways(sent.candidate, sent.key)[0]
        now, cooldowns = asyncio.get_running_loop().time(), self.cooldowns
        if isinstance(outcome, Failure) and outcome.blames == "request":
            return
        if isinstance(outcome, Failure) and outcome.blames == "key" and sent.candidate.model:
            deployment = deployment._replace(model="")
        if isinstance(outcome, Response):
            cooldowns.succeeded(deployment)
            cooldowns.succeeded(deployment._replace(model=""))
        elif outcome.reason == "key":
            cooldowns.refused(deployment, now)
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


def _unanswered(error: GatewayError) -> Failure:
    """The failure that this error of an attempt is. Raises it where it is not the provider's fault."""
    failure = of_error(error)
    if failure is None:
        raise error
    return failure


def _is_worth_while(going: Going, last: Failure | None) -> bool:
    """Whether the same request may be answered if it is sent again."""
    return going.may_be_sent_again and (last is None or last.blames != "request")


def is_final(going: Going, failure: Failure) -> bool:
    """Whether no other deployment may be asked after this."""
    if not failure.switch or (going.creates and failure.reason not in _UNDONE):
        return True
    return not going.may_be_sent_again and failure.reason not in _UNSENT


def _is_stale(going: Going, failure: Failure) -> bool:
    """Whether the provider had closed the connection that the request was sent on, before it read any of it."""
    attempts = going.exchange.attempts
    if failure.error is None or not attempts or not going.may_be_sent_again or going.creates:
        return False
    last = attempts[-1]
    return last.reused and last.unanswered and last.failure is ErrorKind.UPSTREAM_RESET


def _note_next(going: Going, reason: str) -> None:
    """Have the last attempt say why another one follows."""
    attempts = going.exchange.attempts
    if attempts and not attempts[-1].retry:
        attempts[-1].retry, attempts[-1].why_not = reason, ""


def _note_untranslated(record: ModelRecord, candidate: Candidate, error: CannotTranslate) -> None:
    left = LeftOut(candidate.provider, f"cannot translate {error.field or 'the request'}")
    if left not in record.left_out:  # in another round, or for another key
        record.left_out += (left,)


def _untranslated(error: CannotTranslate) -> ModelError:
    code = "unsupported_parameter"
    return ModelError(ErrorKind.BAD_REQUEST, str(error), code, param=error.field, logged=error.reason)
