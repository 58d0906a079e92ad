"""The one loop that tries providers, until one answers, all have failed, or the time is over.

Until the client has content of an answer, a failure is followed by the next deployment (a key of a provider, for one
model), unseen by the client. When all have been tried there is a second and a third round, after a pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson

from gateway.algorithms.backoff import full_jitter
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange, Headers, Response, WholeBody
from gateway.http.bodies import Body
from gateway.http.messages import Deferred
from gateway.http.model_record import LeftOut, ModelRecord, Switch
from gateway.llm import failures
from gateway.llm.accounting import Bill
from gateway.llm.apis import Call
from gateway.llm.choosing import Candidate
from gateway.llm.cooldown import Cooldowns, Deployment
from gateway.llm.failures import Failure
from gateway.llm.holding import Beginning, Limits, hold
from gateway.llm.metering import Decoder, Meter, MeteredStream, MeteredWhole, WholeAnswer
from gateway.llm.providers import CREDENTIALS, Key, Loads, Provider, for_client, without_keys
from gateway.llm.request import ModelRequest, rewritten
from gateway.llm.streams.table import reader_of
from gateway.llm.streams.whole import whole

logger = logging.getLogger("gateway.models")

ROUNDS: Final = 3
MOST_TRIES: Final = 8  # at providers, for one request
FIRST_PAUSE: Final = 0.5  # seconds, between rounds
LONGEST_PAUSE: Final = 4.0
LONGEST_WAIT: Final = 5.0  # for the end of a pause that a provider asked for

_HIDDEN: Final = CREDENTIALS | {
    b"accept-encoding",
    b"content-digest",
    b"content-encoding",
    b"content-md5",
    b"cookie",
    b"digest",
    b"origin",
    b"referer",
}
"""Headers of the client that are no provider's business, or not true of what is sent."""

_PLAIN: Final = (b"accept-encoding", b"identity")  # so that usage can be read
_NO_RETRY: Final = (b"x-should-retry", b"false")  # the SDKs try twice more by themselves, otherwise
_CODED: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
_KEY_REFUSED: Final = "the provider refused the credential of the gateway, whose operator must correct that"


@dataclass(slots=True)
class Going:
    """One request to a model, on its way. Either `request`, whose body is whole, or `upload`, which streams."""

    exchange: Exchange
    call: Call
    model: str
    stream: bool
    record: ModelRecord
    meter: Meter
    bill: Bill
    request: ModelRequest | None = None
    upload: Body | None = None
    output_limit: int | None = None  # to be added
    affinity: bytes = b""
    keys: Mapping[str, str] | None = None  # the only deployments that may be asked: provider -> fingerprint of its key
    lines: tuple[tuple[bytes, bytes], ...] = ()  # for every provider

    def body_for(self, candidate: Candidate) -> tuple[Body | None, int]:
        """What this provider is sent, and how many bytes that is, where it does not stream."""
        if self.request is None or not self.call.api.reads_body:
            return self.upload, 0
        model = candidate.model if candidate.model != self.request.model else None
        body = rewritten(self.request, model=model, ask_usage=self.stream, output_limit=self.output_limit)
        return WholeBody(body, []), len(body)


class Failover:
    """Tries providers. All requests of one configuration share it."""

    def __init__(self, providers: Mapping[str, Provider], cooldowns: Cooldowns, loads: Loads, limits: Limits) -> None:
        self.providers = providers
        self.cooldowns = cooldowns
        self.loads = loads
        self._limits = limits
        self._all = tuple(providers.values())

    async def answer(
        self, going: Going, candidates: Sequence[Candidate], before: tuple[str, str] | None = None
    ) -> Response | Failure:
        """The answer, or the last failure. `before`: the backend that was asked before these, and how it failed.

        Raises GatewayError where the request itself is at fault, or no provider may be asked now.
        """
        last: Failure | None = None
        record = going.record
        for number in range(ROUNDS):
            if number and not await self._pause(going, candidates, number, last):
                break
            for candidate, provider, key in self._deployments(going, candidates):
                if not self._may_try(going, candidate, key, note=not number) or record.tries >= MOST_TRIES:
                    continue
                if not await going.bill.may_try(candidate):
                    continue
                if before is not None:
                    record.switches += (Switch(before[0], candidate.backend, before[1]),)
                outcome = await self._try(going, provider, key, candidate)
                if isinstance(outcome, Response):
                    return outcome
                last, before = outcome, (candidate.backend, outcome.reason)
                if not outcome.switch or (going.upload is not None and record.tries):
                    return last
            if record.tries >= MOST_TRIES:
                break
        if last is None:
            raise self._none_left(going, candidates)
        return last

    def _deployments(self, going: Going, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Provider, Key]]:
        for candidate in candidates:
            provider = self.providers[candidate.provider]
            for key in provider.ordered(going.affinity, random.random(), self.loads.of):
                if going.keys is None or going.keys.get(candidate.provider) == key.fingerprint:
                    yield candidate, provider, key

    def _left(self, candidate: Candidate, key: Key) -> tuple[float, str]:
        """For how many seconds a deployment is left alone, and why."""
        now, cooldowns = asyncio.get_running_loop().time(), self.cooldowns
        ways = (
            Deployment(candidate.provider, key.fingerprint, candidate.model),
            Deployment(candidate.provider, key.fingerprint),
        )
        return max((cooldowns.left(way, now), cooldowns.why(way)) for way in ways)

    def _may_try(self, going: Going, candidate: Candidate, key: Key, *, note: bool) -> bool:
        left, why = self._left(candidate, key)
        if left and note:
            going.record.left_out += (LeftOut(candidate.provider, "key" if why == "key" else "cooldown"),)
        return not left

    async def _pause(self, going: Going, candidates: Sequence[Candidate], number: int, last: Failure | None) -> bool:
        """Wait before another round; False where that is no use."""
        lefts = [self._left(candidate, key)[0] for candidate, _, key in self._deployments(going, candidates)]
        soonest = min(lefts, default=LONGEST_WAIT + 1)
        pause = max(soonest, full_jitter(number, random.random(), FIRST_PAUSE, LONGEST_PAUSE) if last else 0.0)
        loop = asyncio.get_running_loop()
        if soonest > LONGEST_WAIT or loop.time() + pause >= going.exchange.deadline:
            return False
        await asyncio.sleep(pause)
        return True

    async def _try(self, going: Going, provider: Provider, key: Key, candidate: Candidate) -> Response | Failure:
        """One attempt. What it opened is closed at once where it fails, and else with the request."""
        exchange, record = going.exchange, going.record
        exchange.target_path = provider.path_of(going.call.path_for(candidate.model))
        exchange.extra_headers = (*going.lines, *key.lines, _PLAIN)
        exchange.hidden_headers |= _HIDDEN
        body, size = going.body_for(candidate)
        exchange.body = body
        if going.request is not None and body is not None:
            exchange.fields = {**exchange.fields, b"content-length": b"%d" % size}
        record.tries += 1
        record.provider, record.model, record.backend = provider.name, candidate.model, candidate.backend
        going.meter.sent, going.meter.answer = False, None
        names = provider.name, provider.load_name(key)
        deployment = Deployment(provider.name, key.fingerprint, candidate.model)
        self.loads.begin(*names)
        self.cooldowns.begin(deployment, asyncio.get_running_loop().time())
        outer, deadline = exchange.deferred, exchange.deadline
        exchange.deadline = min(deadline, asyncio.get_running_loop().time() + provider.total)
        exchange.deferred = own = Deferred()
        own.add(partial(self.loads.end, *names))
        outcome: Response | Failure | None = None
        try:
            outcome = await self._outcome(going, provider, candidate)
        finally:
            exchange.deferred, exchange.deadline = outer, deadline
            if isinstance(outcome, Response):
                exchange.defer(own.close)
            else:
                exchange.error = outcome.error if outcome is not None else exchange.error
                own.close()
                exchange.error = None
                self.cooldowns.give_back(deployment)
        self._learn(deployment, outcome)
        return outcome

    async def _outcome(self, going: Going, provider: Provider, candidate: Candidate) -> Response | Failure:
        try:
            response = await provider.handler(going.exchange)
        except GatewayError as error:
            failure = failures.of_error(error)
            going.meter.sent = any(attempt.sent for attempt in going.exchange.attempts[-1:])
            if failure is None:
                raise
            return failure
        going.meter.sent = True
        if response.status >= 400:
            return await self._refused(going, response)
        if going.stream and _is_event_stream(response):
            return await self._streamed(going, response)
        return await self._whole(going, response)

    async def _refused(self, going: Going, response: Response) -> Failure:
        going.meter.sent = False  # nothing was answered: nothing is charged
        body = await _text_of(response)
        return failures.of_response(response, without_keys(body, self._all))

    async def _streamed(self, going: Going, response: Response) -> Response | Failure:
        """A stream, from its first content on; what came before it is held."""
        request, meter = going.request, going.meter
        taking_out = request is not None and not request.tells_usage
        reader = reader_of(going.call.api, asked=taking_out)
        assert not isinstance(response.body, bytes)
        headers, decoder = _decoding(response.headers)
        stream = MeteredStream(response.body, reader, meter, taking_out=taking_out, decoder=decoder)
        await hold(stream, self._limits)
        if stream.failure is not None and not stream.answered:
            meter.lost(reader)
            return failures.truncated(stream.failure)
        meter.answer = reader
        stream.trouble = partial(_broke, going)
        answer = Response(response.status, _passed(going, headers), stream)
        if reader.error is not None and not meter.first:
            meter.lost(reader if reader.usage is not None else None)
            return failures.of_said(reader.error, answer)
        going.record.from_provider = True
        return answer

    async def _whole(self, going: Going, response: Response) -> Response | Failure:
        """An answer that does not stream. As far as it may be held, a failure in the middle of it is unseen, too."""
        meter, api = going.meter, going.call.api
        headers, decoder = _decoding(response.headers)
        body = response.body
        if isinstance(body, bytes):
            data = body if decoder is None else decoder.decode(body)
        else:
            beginning = Beginning(body)
            await beginning.hold(self._limits)
            if beginning.failure is not None:
                return failures.truncated(beginning.failure)
            if not beginning.whole:
                going.record.from_provider = True
                passed = MeteredWhole(beginning, api, meter, decoder)
                return Response(response.status, _passed(going, headers), passed)
            data = b"".join(beginning.held)
            if decoder is not None:
                data = decoder.decode(data)
        answer = Response(response.status, _passed(going, headers, len(data)), data)
        if _is_json(headers):
            said = whole(api, _parsed(data), response.status)
            if said.error is not None:
                meter.sent = False
                return failures.of_said(said.error, answer)
            meter.answer = WholeAnswer(said, len(data))
        meter.content()
        going.record.from_provider = True
        return answer

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
        lefts = [self._left(candidate, key) for candidate, _, key in self._deployments(going, candidates)]
        left, why = min(lefts, default=(1.0, ""))
        seconds = max(1, round(left + 0.5))
        kind = ErrorKind.QUOTA_EXCEEDED if why == "rate_limited" else ErrorKind.UPSTREAM_UNAVAILABLE
        detail = f"every provider of the model is left alone for a while, the first for {seconds} s more: {why}"
        said = f"every provider of the model is at its limit or fails; try again in {seconds} s"
        going.record.failure = "cooldown"
        return GatewayError(kind, detail, headers=((b"retry-after", b"%d" % seconds),), public_detail=said)


def final(going: Going, failure: Failure) -> Response:
    """What the client gets of the last failure: the provider's words, where it said any. Raises GatewayError."""
    going.record.failure = failure.reason
    response = failure.response
    if response is None:
        assert failure.error is not None
        raise failure.error
    if failure.reason == "key":
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, _KEY_REFUSED, public_detail=_KEY_REFUSED)
    going.record.from_provider = True
    body = response.body
    length = len(body) if isinstance(body, bytes) else None
    headers = _passed(going, _decoding(response.headers)[0], length)
    if response.status >= 400 and not any(name == b"x-should-retry" for name, _ in headers):
        headers.append(_NO_RETRY)
    return Response(response.status, headers, body)


def _broke(going: Going, error: GatewayError) -> None:
    """An answer ended in its middle, and the client has been told."""
    going.exchange.error = error
    going.record.failure = "timeout" if error.kind is ErrorKind.UPSTREAM_TIMEOUT else "truncated"


def _passed(going: Going, headers: Headers, length: int | None = None) -> Headers:
    """Lines for the client. `length`: of a body that is whole."""
    lines = for_client(headers)
    if length is not None:
        lines = [line for line in lines if line[0] != b"content-length"]
        lines.append((b"content-length", b"%d" % length))
    elif going.stream:
        lines = [line for line in lines if line[0] != b"content-length"]
    return lines


def _decoding(headers: Headers) -> tuple[Headers, Decoder | None]:
    """Lines without the coding that is undone, and what undoes it."""
    coding = next((value.strip().lower() for name, value in headers if name == b"content-encoding"), b"")
    if coding not in _CODED:
        return headers, None
    return [line for line in headers if line[0] not in (b"content-encoding", b"content-length")], Decoder()


def _is_event_stream(response: Response) -> bool:
    kind = next((value for name, value in response.headers if name == b"content-type"), b"")
    return kind.lower().startswith(b"text/event-stream") and not isinstance(response.body, bytes)


def _is_json(headers: Headers) -> bool:
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    return kind.partition(b";")[0].strip().lower().endswith(b"json")


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


async def _text_of(response: Response) -> bytes:
    """The body of an error, as far as it is read."""
    _, decoder = _decoding(response.headers)
    body = response.body
    if isinstance(body, bytes):
        return body if decoder is None else decoder.decode(body)
    pieces: list[bytes] = []
    size = 0
    try:
        while size < failures.MOST_ERROR and (piece := await body.read()):
            pieces.append(piece)
            size += len(piece)
    except GatewayError:
        pass  # what came of it will do
    body.close()
    text = b"".join(pieces)[: failures.MOST_ERROR]
    return text if decoder is None else decoder.decode(text)
