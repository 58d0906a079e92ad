"""Answers of providers: passed on to the client, or a failure after which another provider may be tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import orjson

from gateway.errors import ErrorKind, GatewayError
from gateway.http import Headers, Response, WholeBody
from gateway.llm import failures
from gateway.llm.affinity import Origin, SealingStream
from gateway.llm.answers import refusal
from gateway.llm.failures import Failure
from gateway.llm.going import Going, Sent
from gateway.llm.guarded_stream import GuardedStream
from gateway.llm.guarding import guard_answer, refused_answer
from gateway.llm.guardrails import Refused
from gateway.llm.holding import Beginning, Limits, hold
from gateway.llm.origins import items, made_in
from gateway.llm.passing import Decoder, MeteredStream, MeteredWhole, Turning
from gateway.llm.providers import KEPT_WITH_LENGTH, SECRET, Provider, for_client, without_keys
from gateway.llm.speaking import ModelError
from gateway.llm.streams.errors import ProviderError
from gateway.llm.streams.gemini import GeminiReader
from gateway.llm.streams.messages import MessagesReader
from gateway.llm.streams.reader import document_of
from gateway.llm.streams.table import reader_of
from gateway.llm.streams.whole import unread, whole
from gateway.llm.translate.translation import BadAnswer

_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_NO_RETRY: Final = (b"x-should-retry", b"false")  # the SDKs try twice more by themselves, otherwise
_CODED: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
_OF_CODING: Final = frozenset({b"content-encoding", b"content-length"})
_KEY_REFUSED: Final = "the provider refused the credential of the gateway, whose operator must correct that"
_REDIRECTS: Final = "the provider answers with a redirect, which is not followed with its key; correct its base_url"
_NO_ANSWER: Final = "the provider answers with a web page, or with nothing; correct its base_url"
_OF_LIMITS: Final = (b"x-ratelimit-", b"anthropic-ratelimit-")
_LONGEST_KEY: Final = 4096  # bytes, with what they are escaped by
_VALUE_OF: Final = itemgetter(1)  # a header line
_ENDED: Final = {ErrorKind.UPSTREAM_TIMEOUT.slug: "timeout", ErrorKind.UPSTREAM_BAD_RESPONSE.slug: "error"}
LONGEST_TRANSLATED: Final = 3600.0  # seconds, for all of it
MOST_TRANSLATED: Final = 64 * 1024**2  # bytes of an answer that is translated, or has ids that are sealed


def at_once(going: Going, sent: Sent, response: Response, providers: Sequence[Provider]) -> Response | Failure | None:
    """A provider's answer, where it came whole and needs but to be read; None where `in_parts` is to look at it.

    Most answers are such ones, and a coroutine costs as much as reading one.
    """
    going.meter.sent = True
    values = b"\n".join(map(_VALUE_OF, response.headers))
    for provider in providers:  # no call for what hardly ever is
        for key in provider.keys:
            if len(key.value) >= SECRET and key.value in values:
                response.headers = [(name, without_keys(value, providers)) for name, value in response.headers]
    if response.session is not None:
        going.record.from_provider = True
        return response
    fields = dict(response.headers)
    kind = fields.get(b"content-type", b"").lower()
    data, status = response.body, response.status
    if (status >= 300 or kind.startswith(b"text/html")) and (wrong := _is_elsewhere(sent, status, kind)):
        going.meter.sent = False
        return Failure("error", switch=True, error=GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, wrong))
    if going.watch is not None or not isinstance(data, bytes) or status >= 400 or kind.startswith(_EVENTS):
        return None
    decoder = _decoder(response, fields) if b"content-encoding" in fields else None
    read = _whole(going, sent, data, status, kind, decoder, providers)
    return read if isinstance(read, Failure) else _passed_on(going, sent, response, read)


async def in_parts(
    going: Going, sent: Sent, response: Response, limits: Limits, providers: Sequence[Provider]
) -> Response | Failure:
    """An answer that is to be waited for, or looked at by guardrails, and one that is an error. Raises GatewayError for
    what is not the provider's fault."""
    fields, status = dict(response.headers), response.status
    kind = fields.get(b"content-type", b"").lower()
    decoder = _decoder(response, fields)
    if status >= 400:
        going.meter.sent = False  # nothing was answered: nothing is charged
        return await _refused(going, sent, response, decoder, providers)
    if kind.startswith(_EVENTS) and not sent.api.opaque:
        return await _streamed(going, sent, response, decoder, limits, providers)
    held = response.body if isinstance(response.body, bytes) else await _held(going, sent, response, decoder, limits)
    if not isinstance(held, bytes):
        return held
    data = _whole(going, sent, held, status, kind, decoder, providers)
    if isinstance(data, Failure):
        return data
    if sent.translated is not None:
        kind = _JSON
    try:
        is_json = sent.api.generates or _is_json(kind)  # whatever the server calls it
        data = await guard_answer(going, data, kind, _parsed(data) if is_json else None)
    except Refused as refused:
        return refused_answer(going, refused.error)
    return _passed_on(going, sent, response, data)


def _decoder(response: Response, fields: Mapping[bytes, bytes]) -> Decoder | None:
    """What undoes the compression of an answer, which then loses the lines that say so."""
    if b"content-encoding" not in fields or fields[b"content-encoding"].strip().lower() not in _CODED:
        return None
    response.headers = [line for line in response.headers if line[0] not in _OF_CODING]
    return Decoder()


def _passed_on(going: Going, sent: Sent, response: Response, data: bytes) -> Response:
    """The answer that the client gets of one that is whole."""
    going.meter.content()
    going.record.from_provider = True
    lines = [line for line in response.headers if line[0] not in KEPT_WITH_LENGTH]
    if sent.translated is not None:
        lines = _as_json([line for line in lines if not line[0].startswith(_OF_LIMITS)])
    lines.append((b"content-length", b"%d" % len(data)))
    response.headers, response.body = lines, data
    return response


async def _refused(
    going: Going, sent: Sent, response: Response, decoder: Decoder | None, providers: Sequence[Provider]
) -> Failure:
    body = without_keys(await _text_of(response, decoder), providers)[: failures.MOST_ERROR]
    headers = [(name, without_keys(value, providers)) for name, value in response.headers]
    failure = failures.of_response(Response(response.status, headers, body), body)
    if sent.translation is None:
        return failure
    status, said = sent.translation.error(response.status, body)
    lines = [line for line in headers if not line[0].startswith(_OF_LIMITS)]
    return failure.with_response(Response(status, _as_json(lines), said))


async def _streamed(
    going: Going,
    sent: Sent,
    response: Response,
    decoder: Decoder | None,
    limits: Limits,
    providers: Sequence[Provider],
) -> Response | Failure:
    """A stream, from its first content on; what came before it is held."""
    meter = going.meter
    reader = reader_of(sent.api, asked=sent.taking_out)
    body = WholeBody(response.body, []) if isinstance(response.body, bytes) else response.body  # all came at once
    turning: Turning | None = sent.translated.stream() if sent.translated is not None else None
    if (sealing := going.seals(sent)) is not None:
        turning = SealingStream(sealing, sent.origin, reader.cut_off, partial(_note_items, going, sent.origin))
    if going.made is not None and isinstance(reader, MessagesReader | GeminiReader) and sent.translated is None:
        reader.signed = partial(_note_signature, going, sent.origin)
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
    stream.answered = True  # what was held is the client's
    stream.trouble = partial(_broke, going)
    lines = [line for line in response.headers if line[0] != b"content-length"]
    if sent.translated is not None:
        lines = [line for line in lines if not line[0].startswith(_OF_LIMITS)]
    answer = Response(response.status, for_client(lines), stream)
    if reader.error is not None and not meter.first:
        meter.lost(reader if reader.usage is not None else None)
        return failures.of_said(reader.error, _said(going, reader.error, providers))
    going.record.from_provider = True
    return answer


def _note_signature(going: Going, origin: Origin, signature: str) -> None:
    if going.made is not None:
        going.made.note((signature.encode("utf-8", "surrogatepass"),), origin, going.exchange)


def _note_items(going: Going, origin: Origin, event: bytes) -> None:
    if going.made is not None:
        going.made.note(items(event), origin, going.exchange)


def _whole(
    going: Going,
    sent: Sent,
    data: bytes,
    status: int,
    kind: bytes,
    decoder: Decoder | None,
    providers: Sequence[Provider],
) -> bytes | Failure:
    """An answer that has come whole, in the protocol and with the ids that the client knows."""
    meter = going.meter
    try:
        if decoder is not None:
            data = decoder.decode(data, MOST_TRANSLATED)
            decoder.end()
        if sent.api.generates and (not data or data.isspace()):
            raise GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, _NO_ANSWER)
    except GatewayError as error:
        return failures.truncated(error)
    if sent.api.generates or (_is_json(kind) and not sent.api.opaque):  # servers leave out what it is
        document = _parsed(data)
        said = unread(sent.api, len(data)) if document is None else whole(sent.api, document, status)
        if said.error is not None:
            meter.sent = False
            return failures.of_said(said.error, _said(going, said.error, providers))
        meter.answer = said
    if sent.translated is not None:
        try:
            return sent.translated.answer(data)
        except BadAnswer as error:
            return _untranslatable(going, str(error))
    if going.made is not None:
        going.made.note(made_in(sent.api, data), sent.origin, going.exchange)
    return _sealed(going, sent, data) if going.issued is not None or going.sealing is not None else data


def _sealed(going: Going, sent: Sent, data: bytes) -> bytes:
    if going.issued is not None and sent.api.stored:
        return data if sent.api.opaque else going.issued.answer(going.call, data, sent.origin)
    sealing = going.seals(sent)
    return data if sealing is None else sealing.answer(data, sent.origin)


async def _held(
    going: Going, sent: Sent, response: Response, decoder: Decoder | None, limits: Limits
) -> bytes | Response | Failure:
    """All of an answer that comes in pieces, so that a failure in the middle of it is unseen, too; or the answer
    itself, where that is too long to be held and passes as it is."""
    assert not isinstance(response.body, bytes)
    beginning = Beginning(response.body)
    guarded = going.watch is not None and bool(going.watch.on("output"))
    sealed = going.issued is not None and bool(sent.api.stored) and not sent.api.opaque
    if guarded or sent.translated is not None or sealed or going.seals(sent) is not None:
        limits = Limits(MOST_TRANSLATED, LONGEST_TRANSLATED)
    elif going.request.stream and not _is_one_document(sent, response):
        limits = Limits(0, limits.seconds)
    await beginning.hold(limits)
    if beginning.failure is not None:
        return failures.truncated(beginning.failure)
    if beginning.whole:
        return b"".join(beginning.held)
    if sent.translated is not None or guarded:
        beginning.close()
        done = "looked at by guardrails" if guarded else "translated"
        return _untranslatable(going, f"The provider's answer is longer than can be {done}.")
    passed = MeteredWhole(beginning, sent.api, going.meter, decoder)
    going.record.from_provider = True
    return Response(response.status, for_client(response.headers), passed)


def _is_one_document(sent: Sent, response: Response) -> bool:
    """Whether an answer is one document where a stream was asked for: mostly an error. Gemini's streams are arrays
    where no events are asked for."""
    kind = dict(response.headers).get(b"content-type", b"").lower()
    return kind.partition(b";")[0].strip() == _JSON and sent.api.family != "gemini"


def _is_elsewhere(sent: Sent, status: int, kind: bytes) -> str:
    """Why this is no answer of a provider of models; empty where it may be one."""
    if 300 <= status < 400:
        return _REDIRECTS
    is_page = status < 300 and kind.startswith(b"text/html")
    return _NO_ANSWER if is_page and (sent.api.reads_body or (sent.api.stored and not sent.api.opaque)) else ""


def _untranslatable(going: Going, sentence: str) -> Failure:
    """The provider's answer took tokens, and is of no use to the client."""
    going.meter.lost(going.meter.answer)
    error = GatewayError(ErrorKind.UPSTREAM_BAD_RESPONSE, sentence, public_detail=sentence)
    return Failure("error", switch=True, error=error)


def _said(going: Going, error: ProviderError, providers: Sequence[Provider]) -> Response:
    """An error that came with status 200, as one that the client's SDK takes for an error."""
    status = error.status if 400 <= error.status <= 599 else 502
    code, sentence = (
        without_keys(text.encode("utf-8", "replace"), providers).decode("utf-8", "replace")
        for text in (error.code, error.message)
    )
    family, id = going.call.api.family, going.exchange.request_id
    return refusal(family, status, code or "provider_error", sentence or "the provider failed", request_id=id)


def final(going: Going, failure: Failure) -> Response:
    """The client's answer to the last failure, with the provider's message, if any. Raises GatewayError."""
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
    """An answer ended early, and the client has been notified."""
    going.exchange.error = error
    going.record.failure = _ENDED.get(error.kind.slug, "truncated")


def _of_length(headers: Headers, length: int) -> Headers:
    """Lines of a body that is whole."""
    return [*(line for line in headers if line[0] != b"content-length"), (b"content-length", b"%d" % length)]


def _as_json(headers: Headers) -> Headers:
    return [*(line for line in headers if line[0] != b"content-type"), (b"content-type", _JSON)]


def _is_json(kind: bytes) -> bool:
    return kind.partition(b";")[0].strip().endswith(b"json")


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return document_of(data)  # which bears half a character


async def _text_of(response: Response, decoder: Decoder | None) -> bytes:
    """The body of an error, as far as it is read: more than is kept of it, so that the end of that is in no key."""
    body = response.body
    most = failures.MOST_ERROR + _LONGEST_KEY
    pieces: list[bytes] = []
    size = 0
    if isinstance(body, bytes):
        pieces.append(body)
    else:
        try:
            while size < most and (piece := await body.read()):
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
    return text[:most]
