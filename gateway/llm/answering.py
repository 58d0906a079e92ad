"""What a provider answered: for the client, or a failure behind which another provider may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Response, WholeBody
from gateway.llm import failures
from gateway.llm.affinity import SealingStream
from gateway.llm.answers import refusal
from gateway.llm.failures import Failure
from gateway.llm.going import Going, Sent
from gateway.llm.guarded_stream import GuardedStream
from gateway.llm.guarding import guard_answer, refused_answer
from gateway.llm.guardrails import Refused
from gateway.llm.holding import Beginning, Limits, hold
from gateway.llm.passing import Decoder, MeteredStream, MeteredWhole, Turning, WholeAnswer
from gateway.llm.providers import Provider, for_client, without_keys
from gateway.llm.speaking import ModelError
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.reader import document_of
from gateway.llm.streams.table import reader_of
from gateway.llm.streams.whole import unread, whole
from gateway.llm.translate.translation import BadAnswer

_NO_RETRY: Final = (b"x-should-retry", b"false")  # the SDKs try twice more by themselves, otherwise
_CODED: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
_KEY_REFUSED: Final = "the provider refused the credential of the gateway, whose operator must correct that"
_REDIRECTS: Final = "the provider answers with a redirect, which is not followed with its key; correct its base_url"
_NO_ANSWER: Final = "the provider answers with a web page, or with nothing; correct its base_url"
_OF_LIMITS: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")
_ENDED: Final = {ErrorKind.UPSTREAM_TIMEOUT.slug: "timeout", ErrorKind.UPSTREAM_BAD_RESPONSE.slug: "error"}
LONGEST_TRANSLATED: Final = 3600.0  # seconds, for all of it
MOST_TRANSLATED: Final = 64 * 1024**2  # bytes of an answer that is translated, or has ids that are sealed


async def answer_of(
    going: Going, sent: Sent, provider: Provider, limits: Limits, all_providers: Sequence[Provider]
) -> Response | Failure:
    """Ask a provider, and look at its answer until it has content. Raises GatewayError for what is not its fault."""
    going.meter.sent, going.meter.answer = False, None
    try:
        response = await provider.handler(going.exchange)
    except GatewayError as error:
        failure = failures.of_error(error)
        if failure is None:
            raise
        return failure
    except BaseException:  # the client went away: what was sent is charged
        going.meter.sent = any(attempt.sent for attempt in going.exchange.attempts[-1:])
        raise
    going.meter.sent = True
    if response.session is not None:
        going.record.from_provider = True
        return response
    if wrong := _is_elsewhere(sent, response):
        going.meter.sent = False
        return Failure("error", switch=True, error=GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, wrong))
    if response.status >= 400:
        going.meter.sent = False  # nothing was answered: nothing is charged
        return await _refused(going, sent, response, all_providers)
    if _is_event_stream(response):
        return await _streamed(going, sent, response, limits, all_providers)
    return await _whole(going, sent, response, limits, all_providers)


async def _refused(going: Going, sent: Sent, response: Response, providers: Sequence[Provider]) -> Failure:
    headers, decoder = _decoding(response.headers)
    body = await _text_of(response, decoder)
    body = without_keys(body, providers)
    failure = failures.of_response(Response(response.status, headers, body), body)
    if sent.translation is None:
        return failure
    status, said = sent.translation.error(response.status, body)
    lines = [line for line in headers if not line[0].startswith(_OF_LIMITS)]
    return failure.with_response(Response(status, _as_json(lines), said))


async def _streamed(
    going: Going, sent: Sent, response: Response, limits: Limits, providers: Sequence[Provider]
) -> Response | Failure:
    """A stream, from its first content on; what came before it is held."""
    meter = going.meter
    reader = reader_of(sent.api, asked=sent.taking_out)
    body = WholeBody(response.body, []) if isinstance(response.body, bytes) else response.body  # all came at once
    headers, decoder = _decoding(response.headers)
    turning: Turning | None = sent.translated.stream() if sent.translated is not None else None
    if (sealing := going.seals(sent)) is not None:
        turning = SealingStream(sealing, sent.origin, reader.cut_off)
    clean = partial(without_keys, providers=providers)
    guarded = None
    if going.watch is not None and going.watch.on("stream"):
        turning = guarded = GuardedStream(going.watch, going.call.api, reader.cut_off, turning)
    stream = MeteredStream(body, reader, meter, clean, taking_out=sent.taking_out, decoder=decoder, turning=turning)
    if guarded is not None:
        guarded.stop = stream.stop
    await hold(stream, limits)
    if guarded is not None and guarded.refusal is not None:  # the client has nothing yet
        meter.answer = reader
        stream.close()
        return refused_answer(going, guarded.refusal)
    if stream.failure is not None and not stream.answered:
        meter.lost(reader)
        return failures.truncated(stream.failure)
    meter.answer = reader
    stream.trouble = partial(_broke, going)
    lines = [line for line in headers if line[0] != b"content-length"]
    if sent.translated is not None:
        lines = [line for line in lines if not line[0].startswith(_OF_LIMITS)]
    answer = Response(response.status, for_client(lines), stream)
    if reader.error is not None and not meter.first:
        meter.lost(reader if reader.usage is not None else None)
        return failures.of_said(reader.error, _said(going, reader.error, providers))
    going.record.from_provider = True
    return answer


async def _whole(
    going: Going, sent: Sent, response: Response, limits: Limits, providers: Sequence[Provider]
) -> Response | Failure:
    """An answer that does not stream. As far as it may be held, a failure in the middle of it is unseen, too."""
    meter, sealing = going.meter, going.seals(sent)
    headers, decoder = _decoding(response.headers)
    data = await _held(going, sent, Response(response.status, headers, response.body), limits, decoder)
    if not isinstance(data, bytes):
        return data
    if _is_json(headers) or sent.api.generates:  # servers leave out what it is
        document = _parsed(data)
        unknown = unread(sent.api, len(data))
        said = unknown if document is None else whole(sent.api, document, response.status)
        if said.error is not None:
            meter.sent = False
            return failures.of_said(said.error, _said(going, said.error, providers))
        meter.answer = WholeAnswer(said, said.text_bytes)
    if sent.translated is not None:
        try:
            data = sent.translated.answer(data)
        except BadAnswer as error:
            return _untranslatable(going, str(error))
        headers = _as_json([line for line in headers if not line[0].startswith(_OF_LIMITS)])
    elif sealing is not None:
        data = sealing.answer(data, sent.origin)
    return await _delivered(going, response.status, headers, data)


async def _delivered(going: Going, status: int, headers: Headers, data: bytes) -> Response:
    """A whole answer for the client, as its guardrails leave it."""
    if going.watch is not None:
        kind = _content_type(headers)
        try:
            data = await guard_answer(going, data, kind, _parsed(data) if _is_json(headers) else None)
        except Refused as refused:
            return refused_answer(going, refused.error)
    going.meter.content()
    going.record.from_provider = True
    return Response(status, for_client(_of_length(headers, len(data))), data)


async def _held(
    going: Going, sent: Sent, response: Response, limits: Limits, decoder: Decoder | None
) -> bytes | Response | Failure:
    """All of an answer; or the answer itself, where that is too long to be held and passes as it is."""
    data = response.body
    if not isinstance(data, bytes):
        beginning = Beginning(data)
        guarded = going.watch is not None and bool(going.watch.on("output"))
        if guarded or sent.translated is not None or going.seals(sent) is not None:
            limits = Limits(MOST_TRANSLATED, LONGEST_TRANSLATED)
        elif going.request.stream:  # which Gemini writes as an array, where no events are asked for
            limits = Limits(0, limits.seconds)
        await beginning.hold(limits)
        if beginning.failure is not None:
            return failures.truncated(beginning.failure)
        if not beginning.whole and (sent.translated is not None or guarded):
            beginning.close()
            done = "looked at by guardrails" if guarded else "translated"
            return _untranslatable(going, f"The provider's answer is longer than can be {done}.")
        if not beginning.whole:
            passed = MeteredWhole(beginning, sent.api, going.meter, decoder)
            going.record.from_provider = True
            return Response(response.status, for_client(response.headers), passed)
        data = b"".join(beginning.held)
    try:
        return _unpacked(sent, data, decoder)
    except GatewayError as error:
        return failures.truncated(error)


def _is_elsewhere(sent: Sent, response: Response) -> str:
    """Why this is no answer of a provider of models; empty where it may be one."""
    if 300 <= response.status < 400:
        return _REDIRECTS
    is_page = response.status < 300 and _content_type(response.headers).startswith(b"text/html")
    return _NO_ANSWER if is_page and sent.api.reads_body else ""


def _unpacked(sent: Sent, data: bytes, decoder: Decoder | None) -> bytes:
    """All of an answer, as it was before it was compressed. Raises GatewayError where it is not whole, or nothing."""
    if decoder is not None:
        data = decoder.decode(data, MOST_TRANSLATED)
        decoder.end()
    if sent.api.generates and not data.strip():
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, _NO_ANSWER)
    return data


def _untranslatable(going: Going, sentence: str) -> Failure:
    """What the provider answered took tokens, and is of no use to the client."""
    going.meter.lost(going.meter.answer)
    error = GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, sentence, public_detail=sentence)
    return Failure("error", switch=True, error=error)


def _said(going: Going, error: ProviderError, providers: Sequence[Provider]) -> Response:
    """An error that came with status 200, as one that the client's SDK takes for an error."""
    status = error.status if 400 <= error.status <= 599 else 502
    sentence = without_keys(error.message.encode("utf-8", "replace"), providers).decode("utf-8", "replace")
    family, id = going.call.api.family, going.exchange.request_id
    return refusal(family, status, error.code or "provider_error", sentence or "the provider failed", request_id=id)


def final(going: Going, failure: Failure) -> Response:
    """What the client gets of the last failure: the provider's words, where it said any. Raises GatewayError."""
    going.record.failure = failure.reason
    response = failure.response
    if failure.reason == "key":
        raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, _KEY_REFUSED, public_detail=_KEY_REFUSED)
    if response is None or (going.origin is not None and failure.switch):
        if going.origin is not None:
            raise not_there(going)
        assert failure.error is not None
        raise failure.error
    going.record.from_provider = True
    headers = for_client(response.headers)
    if isinstance(response.body, bytes):
        headers = _of_length(headers, len(response.body))
    if response.status >= 400:
        headers = [*(line for line in headers if line[0] != _NO_RETRY[0]), _NO_RETRY]
    return Response(response.status, headers, response.body)


def not_there(going: Going) -> GatewayError:
    """The only provider that could answer does not, and no other one is guessed."""
    going.record.failure = "affinity"
    detail = "what the request refers to is known to one provider only, which does not answer now; try again later"
    return ModelError(ErrorKind.UPSTREAM_UNAVAILABLE, detail, "provider_unavailable")


def _broke(going: Going, error: GatewayError) -> None:
    """An answer ended in its middle, and the client has been told."""
    going.exchange.error = error
    going.record.failure = _ENDED.get(error.kind.slug, "truncated")


def _of_length(headers: Headers, length: int) -> Headers:
    """Lines of a body that is whole."""
    return [*(line for line in headers if line[0] != b"content-length"), (b"content-length", b"%d" % length)]


def _as_json(headers: Headers) -> Headers:
    return [*(line for line in headers if line[0] != b"content-type"), (b"content-type", b"application/json")]


def _decoding(headers: Headers) -> tuple[Headers, Decoder | None]:
    """Lines without the coding that is undone, and what undoes it."""
    if not any(name == b"content-encoding" for name, _ in headers):
        return headers, None
    coding = next((value.strip().lower() for name, value in headers if name == b"content-encoding"), b"")
    if coding not in _CODED:
        return headers, None
    return [line for line in headers if line[0] not in (b"content-encoding", b"content-length")], Decoder()


def _content_type(headers: Headers) -> bytes:
    return next((value.lower() for name, value in headers if name == b"content-type"), b"")


def _is_event_stream(response: Response) -> bool:
    return _content_type(response.headers).startswith(b"text/event-stream")


def _is_json(headers: Headers) -> bool:
    return _content_type(headers).partition(b";")[0].strip().endswith(b"json")


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return document_of(data)  # which bears half a character


async def _text_of(response: Response, decoder: Decoder | None) -> bytes:
    """The body of an error, as far as it is read."""
    body = response.body
    pieces: list[bytes] = []
    size = 0
    if isinstance(body, bytes):
        pieces.append(body)
    else:
        try:
            while size < failures.MOST_ERROR and (piece := await body.read()):
                pieces.append(piece)
                size += len(piece)
        except GatewayError:
            pass  # what came of it will do
        body.close()
    text = b"".join(pieces)
    if decoder is not None:
        try:
            text = decoder.decode(text)
        except GatewayError:
            return b""
    return text[: failures.MOST_ERROR]
