"""The guardrails of a profile, between a client and the models: what is sent, and what comes whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.http import Response
from gateway.llm.answers import refusal
from gateway.llm.going import Going
from gateway.llm.guardrails import Guard, Refused, Watch
from gateway.llm.realtime import REALTIME
from gateway.llm.request import ModelRequest
from gateway.llm.said_texts import watched, watched_text
from gateway.llm.speaking import ModelError
from gateway.llm.streams.reader import document_of

_PROMPTS: Final = {"openai.completions": "prompt", "openai.embeddings": "input"}
_NO_TEXT: Final = (b"audio/", b"image/", b"video/", b"application/octet-stream")


async def guard_request(going: Going, guards: Sequence[Guard]) -> None:
    """Have the guardrails look at a request, and at its answer later. Raises GatewayError where one refuses."""
    known = going.watch.guards if going.watch is not None else ()
    new = [guard for guard in guards if guard not in known]
    if not new:
        return
    going.watch = Watch((*known, *new), going.exchange, going.record)
    watch, request = Watch(new, going.exchange, going.record), going.request
    try:
        if going.call.api is REALTIME:
            for stage in ("input", "output", "stream"):
                watch.unreadable(stage, "what is said in real time")
        elif going.upload is not None:
            watch.unreadable("input", "a form")
        elif request.document and watch.on("input"):
            if _is_of_tokens(request):
                watch.unreadable("input", "a text that is sent as numbers of tokens")
            body = await watched(watch, "input", request.body, request.document)
            if body is not request.body:
                request.body = body
                request.document = document_of(body) or request.document
    except Refused as refused:
        raise refused.error from None


def _is_of_tokens(request: ModelRequest) -> bool:
    """Whether a text, or one of several, is not written as such, but as the numbers of its tokens."""
    given = request.document.get(_PROMPTS.get(request.api.name, ""))
    return isinstance(given, list) and any(isinstance(each, list | int | float) for each in given)


async def guard_answer(going: Going, data: bytes, kind: bytes, document: object) -> bytes:
    """An answer that is whole, as the guardrails leave it. `document`: it, parsed; None where it is no JSON.

    Raises Refused.
    """
    watch = going.watch
    guards = watch.on("output") if watch is not None else ()
    if watch is None or not guards:
        return data
    if document is not None:
        return await watched(watch, "output", data, document)
    if kind.startswith(_NO_TEXT):
        return data
    try:
        return await watched_text(watch, "output", data, guards)
    except UnicodeDecodeError:
        watch.unreadable("output", "the answer")
        return data


def refused_answer(going: Going, error: ModelError) -> Response:
    """The client's answer in place of a refused one."""
    family, id = going.call.api.family, going.exchange.request_id
    return refusal(family, error.kind.status, error.code, error.public_detail or error.detail, request_id=id)
