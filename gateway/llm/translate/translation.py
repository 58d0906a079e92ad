"""The interface of a translation between two model APIs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.llm.sse import Event


class CannotTranslate(Exception):
    """A request that the other API has no words for.

    The text is a sentence for the client, `field` says where. Names of fields may be the client's own text: logs get
    `reason`.
    """

    reason = "a field of the request cannot be translated for the provider"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


class Unsupported(CannotTranslate):
    """A field that the other API has no equivalent for: 400 where such fields are refused."""


class Malformed(CannotTranslate):
    """A field of the wrong type, or one that is missing: 400 always."""


class BadAnswer(Exception):
    """An answer of the provider that is not what its API promises: 502. The text is a sentence without its content."""


class StreamTranslator(Protocol):
    """One stream of the provider on its way to the client. It must be given every event, those of usage included."""

    @property
    def finished(self) -> bool:
        """Whether the client has got the end of its stream, or an error."""

    def event(self, event: Event) -> bytes:
        """The client's bytes for one event of the provider; b"" if there are none (yet)."""

    def end(self) -> bytes:
        """The provider's stream has ended: what is still owed, or an error if it was cut off."""

    def cut_off(self, kind: str, sentence: str) -> bytes:
        """An error in the client's protocol, after which nothing follows; `kind` as Anthropic names them."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A request as the provider gets it, and how its answer is turned back.

    `dropped` names the fields that the provider does not see, without positions in lists. `answer` takes the body of
    a whole answer (raises BadAnswer), `stream` makes a translator for a stream of events.
    """

    body: bytes
    dropped: tuple[str, ...]
    answer: Callable[[bytes], bytes]
    stream: Callable[[], StreamTranslator]


class RequestTranslator(Protocol):
    """Turns a request into one of the other API."""

    def __call__(self, document: Mapping[str, Any], model: str, *, drop: bool = False) -> Translated:
        """Raise CannotTranslate for what cannot be said; with `drop`, such fields are left out and listed instead.

        `model` is the name that the provider knows.
        """


@dataclass(frozen=True, slots=True)
class Translation:
    """From the API of a client to that of a provider.

    `to_path` is the path of the provider's API, `headers` are set on the request, and `hidden` ones of the client are
    not sent (those that begin so). `error` turns (status, body) of a failed answer into those that the client gets.
    """

    from_api: str
    to_api: str
    to_path: str
    headers: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    request: RequestTranslator
    error: Callable[[int, bytes], tuple[int, bytes]]
