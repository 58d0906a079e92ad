"""WebSockets of models (OpenAI's Realtime API): passed on with the key exchanged, and looked at for models.

What a client says within a session may name models: of the session, of a response, of a transcription. They are held to
what holds for the bodies of requests; a message that names another one ends the session (close code 1008).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.algorithms.globs import Glob
from gateway.auth.credentials import without_parameters
from gateway.http import Decision, Exchange
from gateway.http.frames import CLOSE_REASON
from gateway.http.parameters import query_values
from gateway.llm.apis import Api, Call
from gateway.llm.choosing import ANY, Offer, fits
from gateway.llm.naming import TooManyNames, is_ambiguous, models_in_message, place_in_message

REALTIME: Final = Api("openai.realtime", "openai", metered=False, reads_body=False, session=True)
HIDDEN: Final = frozenset({b"sec-websocket-extensions"})
"""Headers of a handshake that do not go on: what is compressed cannot be looked at."""

_PATH: Final = "/v1/realtime"
_MODEL: Final = frozenset({b"model"})
_LONGEST_SHOWN: Final = 40  # bytes of a model that is refused, and of its place
_AND_OTHERS: Final = " and others"
_MOST_PARTS: Final = 100_000
"""Members and elements of a message that may name a model: to look at 16 MiB of them holds all else up for seconds.
Strings may have any length."""
_BEFORE_PARTS: Final = b",[{"  # one of these stands before each; what of them is in strings is not told apart


def find_realtime(exchange: Exchange) -> Call | None:
    """The call that a handshake is; None for what is none."""
    if not exchange.websocket or exchange.target_path != _PATH:
        return None
    named = query_values(exchange.query, "model")
    return Call(REALTIME, _PATH, model=named[0].decode("utf-8", "replace") if len(named) == 1 else "")


def with_model(query: bytes, model: str) -> bytes:
    """The query with this model."""
    rest = without_parameters(query, _MODEL)
    named = b"model=" + quote(model, safe="").encode()
    return named + b"&" + rest if rest else named


@dataclass(frozen=True, slots=True)
class SessionCheck:
    """Which models the messages of one session may name: `own` in any case, and others that its provider offers and,
    where `globs` are given, that fit one of these. What it refuses it notes among the decisions of `exchange`, without
    what the client wrote. A MessageCheck."""

    offer: Offer
    own: frozenset[str]
    globs: tuple[Glob, ...] | None
    exchange: Exchange | None = None

    def __call__(self, message: bytes) -> str:
        return self._look(message) if _may_name(message) else ""

    def _look(self, message: bytes) -> str:
        if len(message) > _MOST_PARTS and len(message) - len(message.translate(None, _BEFORE_PARTS)) > _MOST_PARTS:
            return self._refused(f"a message that may name a model has more than {_MOST_PARTS} commas and brackets")
        document = _parsed(message)
        if self.globs is not None and (document is None or is_ambiguous(message, document)):
            return self._refused("a message must be a JSON object in which every member is named once")
        try:
            named = models_in_message(document)
        except TooManyNames:
            return self._refused("a message names too many models")
        for name, member in named.items():
            if name in self.own:
                continue
            if not self._allows(name):
                logged = f"a message names a model that the consumer may not use, as `{member}`"
                return self._refused(self._of_model("you may not use the model", name, document), logged)
            if not self.offer.covers(name):
                logged = f"a message names a model that the provider of the session does not offer, as `{member}`"
                return self._refused(self._of_model("the provider here does not offer", name, document), logged)
        return ""

    def _allows(self, name: str) -> bool:
        return self.globs is None or fits(self.globs, name)

    def _refused(self, said: str, logged: str = "") -> str:
        if self.exchange is not None:
            self.exchange.decisions += (Decision("models", "deny", logged or said),)
        return said

    def _of_model(self, refusal: str, name: str, document: Any) -> str:
        """A sentence with the model, its place, and what may be used, as far as there is room."""
        shown, place = name.encode("utf-8", "replace"), place_in_message(document, name).encode("utf-8", "replace")
        if len(shown) > _LONGEST_SHOWN:
            shown = shown[: _LONGEST_SHOWN - 3] + b"..."
        if len(place) > _LONGEST_SHOWN:
            place = b"..." + place[3 - _LONGEST_SHOWN :]
        said = f"{refusal} `{shown.decode('utf-8', 'ignore')}` ({place.decode('utf-8', 'ignore')})"
        usable = dict.fromkeys((*sorted(self.own), *self._others()))
        for number, other in enumerate(usable):
            longer = f"{said}{', ' if number else '; you may use: '}{other}"
            rest = "" if number + 1 == len(usable) else _AND_OTHERS
            if len((longer + rest).encode("utf-8", "replace")) > CLOSE_REASON:
                return said + _AND_OTHERS if number else said
            said = longer
        return said

    def _others(self) -> Iterator[str]:
        """The models beside its own, as far as they are named without patterns."""
        yield from (name for name in self.offer.listed if self._allows(name))
        for glob in self.globs or ():
            if ANY not in glob.pattern and self.offer.covers(glob.pattern):
                yield glob.pattern


def _may_name(message: bytes) -> bool:
    """Whether it has what is in every message that names a model: the word, an escape, or the other encodings that some
    servers read. (An expression takes ten times as long, which counts with 16 MiB.)"""
    lower = message.lower()
    return b"model" in lower or b"fallba" in lower or b"\\" in message or b"\0" in message


def _parsed(message: bytes) -> Mapping[str, Any] | None:
    """The object that a message is; None where it is none, which no provider reads."""
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return None
    return document if isinstance(document, dict) else None
