"""What a gateway reads of a request to a model, and the few changes that it makes to the body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from gateway.llm import splice
from gateway.llm.apis import Call
from gateway.llm.texts import text_bytes
from gateway.llm.usage import members

MOST_TOKENS: Final = 2**31 - 1
"""A limit of output that is more is as good as this one."""

_LONGEST_MODEL: Final = 512  # characters: it stands in logs
_MANY_VALUES: Final = 1024 * 1024  # bytes; what is smaller is no burden, whatever it holds
_MOST_CONTAINERS: Final = 1_000_000
_MOST_COMMAS: Final = 4_000_000

_READ: Final = frozenset(
    {
        "model",
        "stream",
        "stream_options",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "generationConfig",
        "generation_config",
        "prompt_cache_key",
        "previous_response_id",
    }
)
_FOLDED: Final = {name.casefold(): name for name in _READ}

_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai.chat": ("max_completion_tokens", "max_tokens"),
    "openai.completions": ("max_tokens",),
    "openai.responses": ("max_output_tokens",),
    "anthropic.messages": ("max_tokens",),
}
"""The members that limit the output: the first is the one that is added where there is none."""

_NAME_MODELS: Final = frozenset({"requests", "generateContentRequest", "generate_content_request"})
_CONFIGS: Final = ("generationConfig", "generation_config")
_CONFIG_LIMITS: Final = ("maxOutputTokens", "max_output_tokens")
_ASKS_USAGE: Final = frozenset({"openai.chat", "openai.completions"})


class BadBody(ValueError):
    """A body that cannot be read; the text is a sentence for the client, and names the member where it is one."""

    def __init__(self, sentence: str, member: str | None = None) -> None:
        super().__init__(sentence)
        self.member = member


class ModelRequest:
    """One request, as far as it is read. `document` is its body; empty where it is no JSON.

    Who changes what it refers to, or what it says, sets body and document.
    """

    __slots__ = (
        "_placed",
        "_places",
        "api",
        "body",
        "call",
        "document",
        "model",
        "n",
        "output_limit",
        "previous_response_id",
        "prompt_cache_key",
        "size",
        "stream",
        "tools",
    )

    def __init__(
        self,
        call: Call,
        body: bytes,
        document: Mapping[str, Any],
        places: dict[str, list[splice.Span]] | None = None,
    ) -> None:
        self.call = call
        self.api = call.api
        self.body = body
        self.size = len(body)
        self.document = document
        self._places = places or {}
        self._placed = body  # where they are places of
        self.model = call.model or _text(document, "model")
        if len(self.model) > _LONGEST_MODEL:
            raise BadBody("`model` is too long", "model")
        self.stream = call.stream or _flag(document, "stream")
        _object(document, "stream_options")
        self.n = _choices(document)
        self.output_limit = _output_limit(self.api.name, document)  # tokens; None where the request names none
        self.tools = _tools(document)
        self.prompt_cache_key = _text(document, "prompt_cache_key")
        self.previous_response_id = _text(document, "previous_response_id")

    @property
    def places(self) -> Mapping[str, list[splice.Span]]:
        """Where the members stand that are read."""
        if self._placed is not self.body:
            self._places, self._placed = _places(self.body, self.document), self.body
        return self._places

    @property
    def text_bytes(self) -> int:
        """The bytes of the body without pictures and sound: what estimates of tokens begin with."""
        return text_bytes(self.body, self.document)

    @property
    def tells_usage(self) -> bool:
        """Whether a stream will say what it cost without being asked to: not where the client did not ask, in chat."""
        if not self.stream or self.api.name not in _ASKS_USAGE:
            return True
        return members(self.document.get("stream_options")).get("include_usage") is True


def read(call: Call, body: bytes) -> ModelRequest:
    """Read a body of JSON. Raises BadBody.

    A member that is read, and is there twice, has its last value in both places from then on: what the provider reads
    is what was read here.
    """
    if not call.api.reads_body:
        return ModelRequest(call, body, {})
    document = _parsed(body)
    try:
        places = _places(body, document)
        if any(len(spans) > 1 for spans in places.values()):
            body = _said_once(body, places)
            places = _places(body, document)
    except splice.TooManyError as error:
        raise BadBody(f"the body cannot be read: {error}") from None
    return ModelRequest(call, body, document, places)


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
    if ask_usage and not request.tells_usage:
        _set_member(request, "stream_options", "include_usage", b"true", values, added)
    if output_limit is not None:
        _limit(request, b"%d" % output_limit, values, added)
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
        document.update(dict.fromkeys(_limits_of(request), output_limit))
    return document


def _limits_of(request: ModelRequest) -> Sequence[str]:
    """The members to be set where the output is limited: those that are there, or the one to be added."""
    names = _LIMITS.get(request.api.name, ())
    return [name for name in names if request.document.get(name) is not None] or names[:1]


def _limit(
    request: ModelRequest, limit: bytes, values: list[tuple[splice.Span, bytes]], added: dict[str, bytes]
) -> None:
    document = request.document
    if request.api.name == "gemini.generate":
        config = next((name for name in _CONFIGS if document.get(name) is not None), _CONFIGS[0])
        said = members(document.get(config))
        inner = next((name for name in _CONFIG_LIMITS if said.get(name) is not None), _CONFIG_LIMITS[0])
        _set_member(request, config, inner, limit, values, added)
        return
    for name in _limits_of(request):
        if name in document:
            values += _everywhere(request, name, limit)
        else:
            added[name] = limit


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


def _parsed(body: bytes) -> Mapping[str, Any]:
    if len(body) > _MANY_VALUES:
        _refuse_too_many(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _leniently(body, error)
    if not isinstance(document, dict):
        raise BadBody("the body must be a JSON object")
    return document


def _leniently(body: bytes, error: orjson.JSONDecodeError) -> object:
    """Halves of characters, which SDKs write where a text was cut, and numbers that only some parsers know."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        raise BadBody(f"the body is not valid JSON: {error}") from None


def _refuse_too_many(body: bytes) -> None:
    """What is parsed takes far more memory than its bytes where it is made of tiny values."""
    if _has_too_many(body) and _has_too_many(splice.without_texts(body)):
        raise BadBody("the body has too many values for a request to a model; send it in parts")


def _has_too_many(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS or body.count(b",") > _MOST_COMMAS


def _places(body: bytes, document: Mapping[str, Any]) -> dict[str, list[splice.Span]]:
    """Where the members stand that are read.

    Raises BadBody for one in other letters: some servers take `Model` for `model`, and must not read what was not read
    here.
    """
    escaped = splice.has_escaped_letters(body)
    found: dict[str, list[splice.Span]] = {}
    for name in document:
        if name in _READ:
            found[name] = splice.places(body, name, document[name], escaped=escaped)
        elif name.casefold() in _FOLDED:
            raise BadBody(f"`{name}` must be written `{_FOLDED[name.casefold()]}`", name)
    return found


def _said_once(body: bytes, places: Mapping[str, list[splice.Span]]) -> bytes:
    """The body with the last value of each member in all places of it."""
    values: list[tuple[splice.Span, bytes]] = []
    for *others, last in places.values():
        values += [(span, body[last.start : last.end]) for span in others]
    return splice.replaced(body, values)


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadBody(f"`{name}` must be a string", name)
    if not value.isascii() and value.encode(errors="replace").decode() != value:
        raise BadBody(f"`{name}` has half of a character", name)
    return value


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadBody(f"`{name}` must be true or false", name)
    return value is True


def _number(document: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None where there is none, or one below 0, which to some servers means no limit."""
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == value // 1):
        raise BadBody(f"`{name}` must be a whole number", name)
    return int(min(value, MOST_TOKENS)) if value >= 0 else None


def _object(document: Mapping[str, Any], *spellings: str) -> Mapping[str, Any]:
    """An object that may be there, in one of these spellings."""
    there = [name for name in spellings if document.get(name) is not None]
    if len(there) > 1:
        raise BadBody(f"`{there[0]}` and `{there[1]}` are the same; write one of them", there[1])
    value = document[there[0]] if there else {}
    if not isinstance(value, dict):
        raise BadBody(f"`{there[0]}` must be an object", there[0])
    return value


def _choices(document: Mapping[str, Any]) -> int:
    config = _object(document, *_CONFIGS)
    wanted = [_number(document, "n"), _number(config, "candidateCount"), _number(config, "candidate_count")]
    return max((value for value in wanted if value), default=1)


def _output_limit(api: str, document: Mapping[str, Any]) -> int | None:
    """The largest where several are named: what a provider takes of them is its own choice."""
    if api == "gemini.generate":
        config = _object(document, *_CONFIGS)
        if all(config.get(name) is not None for name in _CONFIG_LIMITS):
            raise BadBody("`maxOutputTokens` and `max_output_tokens` are the same; write one of them")
        limits = [_number(config, name) for name in _CONFIG_LIMITS]
    else:
        limits = [_number(document, name) for name in _LIMITS.get(api, ())]
    return max((limit for limit in limits if limit is not None), default=None)


def _tools(document: Mapping[str, Any]) -> int:
    """How many tools the model may call, those of Gemini by their declarations."""
    tools = document.get("tools") or document.get("functions")
    if not isinstance(tools, list):
        return 0
    total = 0
    for tool in tools:
        declared = members(tool).get("functionDeclarations", members(tool).get("function_declarations"))
        total += len(declared) if isinstance(declared, list) else 1
    return total
