"""The parsed request to a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.llm import splice
from gateway.llm.apis import Call
from gateway.llm.naming import MOST_NAMES, NONE, PLAIN, Others, TooManyNames, differing, other_models
from gateway.llm.prices import STANDARD, USUAL, Tier
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
        "n_cmpl",
        "best_of",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "n_predict",
        "generationConfig",
        "generation_config",
        "background",
        "deferred",
        "prompt_cache_key",
        "previous_response_id",
    }
)
_SERVICE_TIERS: Final = ("service_tier", "serviceTier")  # the latter of Gemini, which takes both
_ALSO_READ: Final = ("tools", "functions", "temperature", *_SERVICE_TIERS, "speed")
_FOLDED: Final = {name.casefold(): name for name in (*_READ, *_ALSO_READ)}
_QUOTED: Final = {name: b'"%b"' % name.encode() for name in _READ}

LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "openai.chat": ("max_completion_tokens", "max_tokens"),
    "openai.completions": ("max_tokens",),
    "openai.responses": ("max_output_tokens",),
    "anthropic.messages": ("max_tokens",),
}
"""The members that limit the output: the first is the one that is added where there is none."""

ANY_LIMIT: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens", "n_predict")
"""Those that a server may read in place of them: llama.cpp takes `n_predict` before all others."""

_NO_LIMIT_AT_0: Final = frozenset({"openai.chat", "openai.responses", "gemini.generate"})
"""APIs whose own servers take no limit of 0, and some others (Ollama, LocalAI) take it for none."""

CONFIGS: Final = ("generationConfig", "generation_config")
_OF_OUTPUT: Final = frozenset({*CONFIGS, *ANY_LIMIT})
_OF_CHOICES: Final = frozenset({*CONFIGS, "n", "n_cmpl", "best_of", "prompt"})
_OF_AFFINITY: Final = frozenset({"prompt_cache_key", "previous_response_id"})
_OF_PRICE: Final = frozenset({*_SERVICE_TIERS, "speed"})
OF_TOOLS: Final = ("tools", "functions")
CONFIG_LIMITS: Final = ("maxOutputTokens", "max_output_tokens")
_WITHOUT_MEANING: Final = PLAIN - _OF_CHOICES - _OF_OUTPUT - _OF_AFFINITY - {"stream", "stream_options"}
"""Members of which nothing is read but `model`."""

_GOES_ON: Final = {"openai.responses": "background", "openai.chat": "deferred"}
"""The member that has an answer go on without a connection, to be fetched later; `deferred` is one of xAI."""

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
        "background",
        "body",
        "call",
        "document",
        "model",
        "n",
        "others",
        "output_limit",
        "previous_response_id",
        "prompt_cache_key",
        "refers",
        "size",
        "stream",
        "tier",
        "tools",
        "unknown_names",
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
        self._places = places  # None: not looked for yet
        self._placed = body  # where they are places of
        self.model = call.model or _text(document, "model")
        if len(self.model) > _LONGEST_MODEL:
            raise BadBody("`model` is too long", "model")
        self.others = NONE  # models that it names beside its own, with the members that do
        self.unknown_names = NONE  # the same in members that no protocol has
        self.stream = call.stream
        self.n = 1
        self.output_limit: int | None = None  # tokens; None where a server may take the request to have none
        self.tools = 0
        self.tier = USUAL
        self.background = False  # its answer goes on without a connection, and is fetched later
        self.prompt_cache_key = self.previous_response_id = ""
        # Whether it may refer to what a provider has issued: files, and what is named for them.
        # A name that could be hidden behind escapes may be any.
        self.refers = b"gw1_" in body or b"file_id" in body or (b"\\u00" in body and splice.has_escaped_letters(body))
        if call.model or "," in self.model or not document.keys() <= _WITHOUT_MEANING:
            self._read_others(call, document)

    def _read_others(self, call: Call, document: Mapping[str, Any]) -> None:
        """Read what only some requests say. Raises BadBody."""
        if "," in self.model or not document.keys() <= PLAIN:
            self.others, self.unknown_names = _others(self.model, document)
        if call.model:  # the path names it
            self.others = _of_path(call.model, document, self.others)
        self.stream = _flag(document, "stream") or call.stream
        _object(document, "stream_options")
        names = document.keys()
        if "container" in names or "conversation" in names or ("tools" in names and _has_store(self.body)):
            self.refers = True
        if not names.isdisjoint(_OF_CHOICES):
            self.n = min(_choices(document) * _prompts(self.api.name, document), MOST_TOKENS)
        if not names.isdisjoint(_OF_OUTPUT):
            self.output_limit = _output_limit(self.api.name, document)
        if not names.isdisjoint(OF_TOOLS):
            self.tools = _tools(document)
        if (goes_on := _GOES_ON.get(self.api.name)) is not None:
            self.background = _flag(document, goes_on)
        if not names.isdisjoint(_OF_PRICE):
            self.tier = _tier(document)
        if not names.isdisjoint(_OF_AFFINITY):
            self.prompt_cache_key = _text(document, "prompt_cache_key")
            self.previous_response_id = _text(document, "previous_response_id")

    @property
    def places(self) -> Mapping[str, list[splice.Span]]:
        """Where the members stand that are read."""
        if self._places is None or self._placed is not self.body:
            self._places, self._placed = _places(self.body, self.document), self.body
        return self._places

    @property
    def text_bytes(self) -> int:
        """The bytes of the body without pictures and sound: what estimates of tokens begin with."""
        return text_bytes(self.body, self.document)

    @property
    def reports_usage(self) -> bool:
        """Whether a stream will say what it cost without being asked to: not where the client did not ask, in chat."""
        if not self.stream or self.api.name not in _ASKS_USAGE:
            return True
        return members(self.document.get("stream_options")).get("include_usage") is True


def read(call: Call, body: bytes) -> ModelRequest:
    """Read a body of JSON. Raises BadBody.

    A duplicated member that is read gets its last value in both places: what the provider reads
    is what was read here.
    """
    if not call.api.reads_body:
        return ModelRequest(call, body, {})
    document = _parsed(body)
    if not _may_be_said_twice(body, document):
        return ModelRequest(call, body, document)
    try:
        places = _places(body, document)
        if any(len(spans) > 1 for spans in places.values()):
            last_values: list[tuple[splice.Span, bytes]] = []  # of each member, for all places of it
            for *others, last in places.values():
                last_values += [(span, body[last.start : last.end]) for span in others]
            body = splice.replaced(body, last_values)
            places = _places(body, document)
    except splice.TooManyError as error:
        raise BadBody(f"the body cannot be read: {error}") from None
    return ModelRequest(call, body, document, places)


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
    """Refuse bodies of very many tiny values: parsed, they take far more memory than their bytes."""
    if _has_too_many(body) and _has_too_many(splice.without_texts(body)):
        raise BadBody("the body has too many values for a request to a model; send it in parts")


def _has_too_many(body: bytes) -> bool:
    return body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS or body.count(b",") > _MOST_COMMAS


def _may_be_said_twice(body: bytes, document: Mapping[str, Any]) -> bool:
    """Whether a member that is read could be there twice: not where nothing hides its name, which stands there once.

    Raises BadBody for one in other letters: some servers take `Model` for `model`, and must not read what was not read
    here.
    """
    unclear = b"\\" in body and splice.has_escaped_letters(body)
    for name in document:
        quoted = _QUOTED.get(name)
        if quoted is not None:
            unclear = unclear or body.find(quoted) != body.rfind(quoted)
        elif name not in PLAIN and (meant := _FOLDED.get(name.casefold(), name)) != name:
            raise BadBody(f"`{name}` must be written `{meant}`", name)
    return unclear


def _places(body: bytes, document: Mapping[str, Any]) -> dict[str, list[splice.Span]]:
    """Where the members stand that are read."""
    escaped = splice.has_escaped_letters(body)
    names = [name for name in document if name in _READ]
    return {name: splice.places(body, name, document[name], escaped=escaped) for name in names}


def _others(model: str, document: Mapping[str, Any]) -> Others:
    try:
        return other_models(model, document)
    except TooManyNames:
        raise BadBody(f"the body names more than {MOST_NAMES} models") from None


def _of_path(model: str, document: Mapping[str, Any], others: Mapping[str, str]) -> Mapping[str, str]:
    """What is named beside the model of a path, which the body may name as well. Raises BadBody for another one there.

    Gemini names it so in each part of what is asked for at once.
    """
    own = _text(document, "model")
    named = differing(model, [*([own] if own else ()), *others])
    if named:
        member = others.get(named[0], "model")
        raise BadBody(f"`{member}` must name the model that the path names, or none", member)
    return NONE


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadBody(f"`{name}` must be a string", name)
    if not value.isascii() and value.encode(errors="replace").decode() != value:
        raise BadBody(f"`{name}` has half of a character", name)
    return value


def _has_store(body: bytes) -> bool:
    return b'"container"' in body or b'"vector_store_ids"' in body


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadBody(f"`{name}` must be true or false", name)
    return value is True


def whole_number(document: Mapping[str, Any], name: str) -> int | None:
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
    config = _object(document, *CONFIGS)
    wanted = [
        whole_number(document, "n"),
        whole_number(document, "n_cmpl"),  # the same at llama.cpp
        whole_number(document, "best_of"),
        whole_number(config, "candidateCount"),
        whole_number(config, "candidate_count"),
    ]
    return max((value for value in wanted if value), default=1)


def _prompts(api: str, document: Mapping[str, Any]) -> int:
    """How many texts are to be completed: each has an answer of its own. A list of numbers is one text."""
    prompt = document.get("prompt") if api == "openai.completions" else None
    return sum(not isinstance(each, int) for each in prompt) or 1 if isinstance(prompt, list) else 1


def _limit_in(api: str, document: Mapping[str, Any], name: str) -> int | None:
    """A limit of the output; None where there is none, or what some servers take for none."""
    limit = whole_number(document, name)
    return None if limit == 0 and api in _NO_LIMIT_AT_0 else limit


def _output_limit(api: str, document: Mapping[str, Any]) -> int | None:
    """The largest where several are named; none where one of them is none: what a server takes is its own choice."""
    if api == "gemini.generate":
        config = _object(document, *CONFIGS)
        if all(config.get(name) is not None for name in CONFIG_LIMITS):
            raise BadBody("`maxOutputTokens` and `max_output_tokens` are the same; write one of them")
        return next((_limit_in(api, config, name) for name in CONFIG_LIMITS if config.get(name) is not None), None)
    own = LIMITS.get(api)
    if own is None:
        return None
    there = [name for name in ANY_LIMIT if document.get(name) is not None]
    limits = [_limit_in(api, document, name) for name in there]
    known = [limit for limit in limits if limit is not None]
    return max(known) if len(known) == len(limits) and any(name in own for name in there) else None


def _tier(document: Mapping[str, Any]) -> Tier:
    """What is said beside the model of how it is to answer. (The speed of sound is a number.)"""
    services = {name: said for name in _SERVICE_TIERS if (said := _text(document, name))}
    if len(services) > 1:
        raise BadBody("`service_tier` and `serviceTier` are the same; write one of them", "serviceTier")
    speed = document.get("speed")
    found = ["".join(services.values()).lower(), speed.lower() if isinstance(speed, str) else ""]
    return Tier(*("" if value in STANDARD else value for value in found))


def _tools(document: Mapping[str, Any]) -> int:
    """How many tools the model may call, those of Gemini by their declarations."""
    total = 0
    for name in OF_TOOLS:
        tools = document.get(name)
        for tool in tools if isinstance(tools, list) else ():
            lists = [members(tool).get("functionDeclarations"), members(tool).get("function_declarations")]
            declared = [each for each in lists if isinstance(each, list)]
            total += sum(map(len, declared)) if declared else 1
    return total
