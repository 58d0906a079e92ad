"""The few changes that are made to the body of a request: the rest of its bytes is as it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.llm import splice
from gateway.llm.request import ANY_LIMIT, CONFIG_LIMITS, CONFIGS, LIMITS, BadBody, ModelRequest, whole_number
from gateway.llm.usage import members

_NAME_MODELS: Final = frozenset({"requests", "generateContentRequest", "generate_content_request"})


def rewritten(
    request: ModelRequest, *, model: str | None = None, ask_usage: bool = False, output_limit: int | None = None
) -> bytes:
    """The body with another name of the model, with usage asked for in its stream, with a limit of its output.

    Every other byte is as it was. The name of a model that the path has is changed by `Call.path_for`. Raises BadBody.
    """
    values: list[tuple[splice.Span, bytes]] = []
    added: dict[str, bytes] = {}
    if model is not None and model != request.model:
        if request.api.family == "gemini":
            values += _models_of_gemini(request, orjson.dumps("models/" + model))
        else:
            values += _everywhere(request, "model", orjson.dumps(model))
    if ask_usage and not request.reports_usage:
        _set_member(request, "stream_options", "include_usage", b"true", values, added)
    if output_limit is not None:
        _limit(request, output_limit, values, added)
    return splice.replaced(request.body, values, added) if values or added else request.body


def _models_of_gemini(request: ModelRequest, new: bytes) -> list[tuple[splice.Span, bytes]]:
    """The path names the model; where the body does as well, in itself or in its parts, it must be the same."""
    body, document = request.body, request.document
    values = _everywhere(request, "model", new)
    try:
        for name in _NAME_MODELS:
            for outer in splice.places(body, name, document[name]) if name in document else ():
                for item in splice.items(body, outer):
                    values += [(span, new) for inner, span in splice.members(body, item.start) if inner == "model"]
    except splice.TooManyError as error:
        raise BadBody(f"the body cannot be read: {error}") from None
    return values


def limited(request: ModelRequest, output_limit: int | None) -> dict[str, Any]:
    """The document of the body with a limit of its output, to be translated. (Not of Gemini, which is not.)"""
    document = dict(request.document)
    if output_limit is not None:
        document.update(dict.fromkeys(_limits_of(request, output_limit), output_limit))
    return document


def _limits_of(request: ModelRequest, limit: int) -> Sequence[str]:
    """The members to be set where the output is limited: those that let it be longer, and the one to be added."""
    own, document = LIMITS.get(request.api.name), request.document
    if own is None:
        return ()
    there = [name for name in ANY_LIMIT if document.get(name) is not None]
    longer = [name for name in there if not 0 < (whole_number(document, name) or 0) <= limit]
    return longer if any(name in own for name in there) else [*longer, own[0]]


def _limit(request: ModelRequest, limit: int, values: list[tuple[splice.Span, bytes]], added: dict[str, bytes]) -> None:
    document, text = request.document, b"%d" % limit
    if request.api.name == "gemini.generate":
        config = next((name for name in CONFIGS if document.get(name) is not None), CONFIGS[0])
        said = members(document.get(config))
        inner = next((name for name in CONFIG_LIMITS if said.get(name) is not None), CONFIG_LIMITS[0])
        _set_member(request, config, inner, text, values, added)
        return
    for name in _limits_of(request, limit):
        if name in document:
            values += _everywhere(request, name, text)
        else:
            added[name] = text


def _set_member(
    request: ModelRequest,
    name: str,
    inner: str,
    value: bytes,
    values: list[tuple[splice.Span, bytes]],
    added: dict[str, bytes],
) -> None:
    """Have `inner` be `value` in the object `name`, whether or not there is one."""
    body, document = request.body, request.document
    said = document.get(name)
    if name not in document:
        added[name] = b'{"%b":%b}' % (inner.encode(), value)
    elif not isinstance(said, dict):
        values += _everywhere(request, name, b'{"%b":%b}' % (inner.encode(), value))
    else:
        for span in request.places[name]:
            old = body[span.start : span.end]
            try:
                spans = splice.places(old, inner, said[inner]) if inner in said else []
            except splice.TooManyError as error:
                raise BadBody(f"`{name}` cannot be read: {error}", name) from None
            new = splice.replaced(old, [(place, value) for place in spans], None if spans else {inner: value})
            values.append((span, new))


def _everywhere(request: ModelRequest, name: str, value: bytes) -> list[tuple[splice.Span, bytes]]:
    return [(span, value) for span in request.places.get(name, ())]
