"""The models that a request names beside its own: what a provider may answer with in its place, or call for a tool.

OpenRouter takes a list as `models`, LiteLLM as `fallbacks` and as names with commas between them, tools of Responses
and of Messages have a `model` of their own, servers with speculative decoding a `draft_model`. They are names as the
provider has them: no alias is looked up for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gateway.http.parameters import parameters
from gateway.llm.splice import has_escaped_letters

NONE: Final[Mapping[str, str]] = MappingProxyType({})
MOST_NAMES: Final = 100  # of one request
_LONGEST_PLACE: Final = 100  # characters of a place in a message

PLAIN: Final = frozenset(
    {
        "model",
        "messages",
        "input",
        "contents",
        "content",
        "prompt",
        "suffix",
        "system",
        "instructions",
        "systemInstruction",
        "system_instruction",
        "metadata",
        "user",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "top_k",
        "n",
        "seed",
        "stop",
        "stop_sequences",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "prompt_cache_key",
        "previous_response_id",
        "store",
        "encoding_format",
        "dimensions",
        "response_format",
    }
)
"""Members of a body in which no model is named but the request's own: texts, numbers, labels, and schemas."""

_LISTS: Final = frozenset(
    {
        "models",
        "fallbacks",
        "fallback",
        "fallback_models",
        "context_window_fallbacks",
        "content_policy_fallbacks",
        "default_fallbacks",
        "allowed_models",
        "model_list",
    }
)
_SINGLE: Final = frozenset(
    {
        "model",
        "model_name",
        "modelname",
        "model_id",
        "modelid",
        "draft_model",
        "speculative_model",
        "fallback_model",
    }
)
_NAMING: Final = _LISTS | _SINGLE
_OUTERMOST: Final = _NAMING | {"engine", "deployment_id"}
_KNOWN: Final = _OUTERMOST | {
    *("tools", "functions", "plugins", "extra_body", "router_settings_override", "requests"),
    *("generatecontentrequest", "generate_content_request", "generationconfig", "generation_config"),
}
"""Outermost members that name models somewhere in them, as servers read them."""

_ELSEWHERE: Final = (PLAIN - {"model"}) | {
    *("args", "arguments", "properties", "schema", "parameters", "input_schema", "parametersjsonschema"),
    *("input_examples", "examples", "default", "enum", "client_metadata", "parameters_json_schema"),
    *("responseschema", "response_schema", "responsejsonschema", "response_json_schema"),
}
"""Where the word stands for anything, at any depth: texts, values for tools, and descriptions of them."""

_QUIET: Final = _ELSEWHERE | {"name", "description", "type", "strict", "cache_control", "title", "required"}

_QUIET_IN_SESSIONS: Final = _QUIET - {"input"}
"""The same of sessions in real time, where `input` has settings of the audio that comes, with its transcription."""


class TooManyNames(ValueError):
    """A body names more models than are looked at."""


class Others(NamedTuple):
    """Names of models beside the request's own: each with the member that names it.

    `unknown`: in members that no protocol has, which may mean anything, or nothing.
    """

    known: Mapping[str, str]
    unknown: Mapping[str, str]


def other_models(model: str, document: Mapping[str, Any]) -> Others:
    """The names in this body, of which `model` is its own. Raises TooManyNames."""
    known: dict[str, str] = {}
    unknown: dict[str, str] = {}
    if "," in model:
        known.update((part.strip(), "model") for part in model.split(","))
    for name, value in document.items():
        if name not in PLAIN:
            found = known if name.casefold() in _KNOWN else unknown
            rest: list[Any] = []  # values in which members may name models
            _look(found, rest, name, value, _OUTERMOST)
            _look_within(found, rest)
    known.pop(model, None)
    unknown.pop(model, None)
    return Others(known, unknown)


def models_in_message(message: Any) -> Mapping[str, str]:
    """The names in a message of a session in real time, each with the member that names it: of the session, of a
    response, of a transcription. Raises TooManyNames."""
    found: dict[str, str] = {}
    _look_within(found, [message], _QUIET_IN_SESSIONS)
    return found


def place_in_message(message: Any, model: str) -> str:
    """Where a message of a session names this model: the members that lead there, `session.audio.model`."""
    rest: list[tuple[str, Any]] = [("", message)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, list):
            rest += ((path, each) for each in value if isinstance(each, dict | list))
        elif isinstance(value, dict):
            for name, each in value.items():
                if name in _QUIET_IN_SESSIONS:
                    continue
                place = f"{path}.{name}" if path else name
                if name.casefold() in _NAMING and (each == model or (isinstance(each, list) and model in each)):
                    return place
                if isinstance(each, dict | list):
                    rest.append((place[-_LONGEST_PLACE:], each))
    return "model"


def _look_within(found: dict[str, str], rest: list[Any], quiet: frozenset[str] = _QUIET) -> None:
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            for name, each in value.items():
                if name not in quiet:
                    _look(found, rest, name, each, _NAMING, quiet)


def _look(
    found: dict[str, str],
    rest: list[Any],
    name: str,
    value: Any,
    naming: frozenset[str],
    quiet: frozenset[str] = _QUIET,
) -> None:
    """Take the names in the value of a member, if it names models, or else look into it later."""
    folded = name.casefold()
    if folded not in naming:
        if folded not in quiet:
            rest.append(value)
        return
    names = [value]
    while names:
        part = names.pop()
        if isinstance(part, str):
            found.setdefault(part, name)
            if len(found) > MOST_NAMES:
                raise TooManyNames
        elif isinstance(part, list):
            names += part
        elif isinstance(part, dict):
            if any(each.casefold() in _NAMING for each in part):
                rest.append(part)
            else:
                names += part.values()  # which lead from one name to others


def is_ambiguous(body: bytes, document: Mapping[str, Any]) -> bool:
    """Whether a name may be hidden in a duplicated member, of which it is unknown which one a provider reads."""
    if PLAIN.issuperset(document) and not has_escaped_letters(body):
        return False  # `model` itself is there once, or says the same everywhere
    try:
        json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    naming = [folded for name in names if (folded := name.casefold()) in _OUTERMOST]
    if len(set(names)) < len(names) or len(set(naming)) < len(naming):
        raise ValueError("a name is duplicated")


def differing(model: str, names: Iterable[str]) -> Sequence[str]:
    """Those that name another model than the path of Gemini's does."""
    own = model.removeprefix("models/")
    return [name for name in names if name.removeprefix("models/") != own]


def names_model(name: str) -> bool:
    """Whether a field of a form, or a parameter of a query, with this name would name a model to some servers."""
    return name.partition("[")[0].casefold() in _OUTERMOST


def named_in_query(query: bytes) -> Sequence[str]:
    """The parameters of a query that name a model."""
    return [name for name, _ in parameters(query) if names_model(name)]
