"""Bytes of requests, answers and events."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, cast

import orjson

from gateway.llm.streams.reader import document_of
from gateway.llm.translate.translation import BadAnswer, Malformed

# Events without data that are shorter are comments; longer ones are parts of what was too long to read.
SHORT = 65536
NOT_AN_OBJECT = "The provider sent an event that is not an object of JSON."
NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")  # of calls of tools, at Anthropic
_PREFIXES = ("chatcmpl-", "msg_", "resp_", "gen-")


def written(document: Any) -> bytes:
    """JSON in one line, with the halves of characters that servers and SDKs write. Raises JSONEncodeError for what is
    nested too deep: orjson reads deeper documents than it writes."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        if "surrogates" not in str(error):
            raise
        try:
            return json.dumps(document, separators=(",", ":")).encode()
        except RecursionError:
            raise error from None


def request_body(document: dict[str, Any]) -> bytes:
    """A request."""
    try:
        return written(document)
    except orjson.JSONEncodeError:
        raise Malformed("", "The request has objects inside objects deeper than can be translated.") from None


def request_text(value: Any) -> str:
    """A part of a request that the other API wants as text of JSON, such as arguments of a tool."""
    return request_body(value).decode()


def answer_body(document: dict[str, Any]) -> bytes:
    """A whole answer."""
    try:
        return written(document)
    except orjson.JSONEncodeError:
        raise BadAnswer("The provider's answer has objects inside objects deeper than can be translated.") from None


def answer_text(value: Any) -> str:
    """A part of an answer that the other API has as text of JSON, such as arguments of a tool."""
    return answer_body(value).decode()


def answer_document(body: bytes) -> dict[str, Any]:
    """A whole answer of a provider as an object."""
    document = event_document(body)
    if document is None:
        raise BadAnswer("The provider's answer is not an object of JSON.")
    return document


def event_document(data: bytes) -> dict[str, Any] | None:
    """The data of an event as an object; None if it is no such."""
    return cast(dict[str, Any] | None, document_of(data))


def event(name: str, document: dict[str, Any]) -> bytes:
    """An event with a name, as the Messages and Responses APIs have them."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), written(document))


def chunk(document: dict[str, Any]) -> bytes:
    """An event without a name, as chat/completions has them."""
    return b"data: %b\n\n" % written(document)


def renamed(identifier: object, prefix: str) -> str:
    """An id of an answer with the prefix that the client's API has; a new one where the provider gave none."""
    if not isinstance(identifier, str) or not identifier:
        return prefix + uuid.uuid4().hex
    for known in _PREFIXES:
        if identifier.startswith(known):
            return prefix + identifier[len(known) :]
    return prefix + identifier


def new_id(prefix: str) -> str:
    """An id for what the provider gave none, such as calls of tools by some servers."""
    return prefix + uuid.uuid4().hex[:24]
