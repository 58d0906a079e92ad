"""The names in conditions, the types of their values, and how they are looked up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from ipaddress import ip_address
from typing import Any

from gateway.algorithms.conditions.condition import ConditionError
from gateway.algorithms.conditions.facts import WEEKDAYS, Facts, Getter
from gateway.algorithms.conditions.syntax import Path

_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value. `remedy` says what is wrong with a text that is written down beside it, if something is."""

    name: str
    literal: type | None  # what it is compared with; None: with anything
    remedy: Callable[[str], str | None] = lambda text: None
    ordered: bool = False


def _method(text: str) -> str | None:
    return None if text == text.upper() else f'methods are in capitals: write "{text.upper()}"'


def _path(text: str) -> str | None:
    return None if text.startswith("/") else f'a path starts with "/": write "/{text}"'


def _weekday(text: str) -> str | None:
    return None if text in WEEKDAYS else f"a weekday is {', '.join(WEEKDAYS)}{_suggestion(text, WEEKDAYS)}"


def _date(text: str) -> str | None:
    try:
        return None if date.fromisoformat(text).isoformat() == text else "a date is written as 2026-12-31"
    except ValueError:
        return "a date is written as 2026-12-31"


def _address(text: str) -> str | None:
    try:
        ip_address(text)
    except ValueError:
        return 'this is not an IP address; for a network, write client in "10.0.0.0/8"'
    return None


def _host(text: str) -> str | None:
    normal = text.lower() if text.startswith("[") else text.lower().partition(":")[0]
    return None if text == normal else f'a host is compared in lower case, without its port: write "{normal}"'


TEXT = Kind("a text", str)
HOST = Kind("a host", str, _host)
METHOD = Kind("a method", str, _method)
PATH = Kind("a path", str, _path)
WEEKDAY = Kind("a weekday", str, _weekday)
DATE = Kind("a date", str, _date, ordered=True)
ADDRESS = Kind("an address", str, _address)
NUMBER = Kind("a number", float, ordered=True)
TRUTH = Kind("true or false", bool)
CLAIM = Kind("a claim", None, ordered=True)
LIST = Kind("a list of texts", None)
MAPPING = Kind("a group of names", None)

OPAQUE = (LIST, MAPPING)
TEXTS = (TEXT, HOST, METHOD, PATH)


@dataclass(frozen=True, slots=True)
class Named:
    """The meaning of a name."""

    kind: Kind
    get: Getter


def _consumer(facts: Facts) -> str | None:
    identity = facts.exchange.identity
    return identity.consumer if identity else None


def _tenant(facts: Facts) -> str | None:
    identity = facts.exchange.identity
    return identity.tenant if identity else None


def _groups(facts: Facts) -> Collection[str]:
    identity = facts.exchange.identity
    return identity.groups if identity else ()


def _scopes(facts: Facts) -> Collection[str]:
    identity = facts.exchange.identity
    return identity.scopes if identity else ()


def _client(facts: Facts) -> str | None:
    address = facts.exchange.client
    return None if address == "unknown" else address


_SIMPLE: Mapping[str, Named] = {
    "consumer": Named(TEXT, _consumer),
    "tenant": Named(TEXT, _tenant),
    "groups": Named(LIST, _groups),
    "scopes": Named(LIST, _scopes),
    "method": Named(METHOD, lambda facts: facts.exchange.method),
    "path": Named(PATH, lambda facts: facts.exchange.path),
    "original_path": Named(TEXT, lambda facts: facts.exchange.original_path),
    "client": Named(ADDRESS, _client),
}
_TIME: Mapping[str, Named] = {
    "hour": Named(NUMBER, lambda facts: facts.moment.hour),
    "minute": Named(NUMBER, lambda facts: facts.moment.minute),
    "weekday": Named(WEEKDAY, lambda facts: facts.moment.weekday),
    "date": Named(DATE, lambda facts: facts.moment.date),
}
_GROUPED = ("claims", "headers", "query", "time")


def named(path: Path) -> Named:
    """The meaning of a path. Raises ConditionError."""
    if path.name in _SIMPLE:
        if path.steps:
            raise ConditionError(f'"{path.name}" is {_SIMPLE[path.name].kind.name}, it has nothing in it', path.at)
        return _SIMPLE[path.name]
    if path.name == "claims":
        return _claims(path.steps)
    if path.name == "headers":
        return _headers(path)
    if path.name == "query":
        if not path.steps:
            return Named(MAPPING, lambda facts: facts.parameters)
        name = _only(path)
        return Named(TEXT, lambda facts: facts.parameter(name))
    if path.name == "time":
        return _time(path)
    names = (*_SIMPLE, *_GROUPED)
    raise ConditionError(f'unknown name "{path.name}"{_suggestion(path.name, names)}', path.at)


def _claims(steps: tuple[str, ...]) -> Named:
    if not steps:
        return Named(MAPPING, lambda facts: facts.claims)
    if len(steps) == 1:
        name = steps[0]
        return Named(CLAIM, lambda facts: facts.claims.get(name))

    def nested(facts: Facts) -> Any:
        value: Any = facts.claims
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return Named(CLAIM, nested)


def _headers(path: Path) -> Named:
    if not path.steps:
        return Named(MAPPING, lambda facts: _HeaderNames(facts.exchange.fields))
    name = _only(path).lower()
    if _FIELD.fullmatch(name) is None:
        raise ConditionError(f'"{name}" cannot be the name of a header', path.at)
    field = name.encode()
    return Named(HOST if name == "host" else TEXT, lambda facts: facts.header(field))


def _time(path: Path) -> Named:
    if not path.steps:
        raise ConditionError(f"write time.{', time.'.join(_TIME)}", path.at)
    name = _only(path)
    if name not in _TIME:
        raise ConditionError(f'unknown name "time.{name}"{_suggestion(name, tuple(_TIME), "time.")}', path.at)
    return _TIME[name]


def _only(path: Path) -> str:
    if len(path.steps) > 1:
        raise ConditionError(f'"{path.name}.{path.steps[0]}" has nothing in it', path.at)
    return path.steps[0]


class _HeaderNames:
    """The names of headers, to be asked for as text in any case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name.lower().encode("utf-8", "replace") in self._fields


def _suggestion(word: str, known: Collection[str], prefix: str = "") -> str:
    likely = difflib.get_close_matches(word.lower()[:100], known, 1, 0.6)
    return f', did you mean "{prefix}{likely[0]}"?' if likely else f"; known are {', '.join(known)}"
