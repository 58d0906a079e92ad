"""Messages as they travel, in their envelopes: how they are written, and what may be read."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import orjson
from pydantic import ValidationError

from gateway.events import KINDS, VERSION, Envelope, Message

MAX_BYTES: Final = 4 * 1024**2  # of one: 30,000 instances of a service
MAX_ID: Final = 200  # characters
TOO_LARGE: Final = b"!"  # what is read in place of a message that is larger


class Unreadable(Exception):
    """The bytes are not a message for this gateway. `reason` is one of a few, for the metric of dropped messages."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way. Nothing in `data`: there is nothing to say of `key` any more."""

    kind: str
    key: str | None  # of a message that takes the place of former ones: see `Message.key`
    id: str
    data: bytes = field(repr=False)
    written: float = field(default_factory=time.monotonic)

    @property
    def place(self) -> tuple[str, str]:
        """The message that it replaces; for most, itself."""
        return self.kind, self.id if self.key is None else self.key


def letter_of(message: Message, sender: str, number: int) -> Letter:
    """The message in its envelope. `number` is unique for this sender. Raises Unreadable."""
    sent = message.for_bus()
    id = f"{sender}.{number}"
    head = {"v": VERSION, "kind": sent.KIND, "id": id, "at": round(time.time(), 3), "from": sender}
    try:
        data = b'%b,"body":%b}' % (orjson.dumps(head)[:-1], sent.to_json())
    except (ValueError, TypeError) as error:  # a text that is no Unicode
        raise Unreadable("invalid", str(error)) from None
    if len(data) > MAX_BYTES:
        raise Unreadable("too_large", f"it has {len(data)} bytes, and at most {MAX_BYTES} are sent")
    return Letter(sent.KIND, sent.key, id, data)


def opened(kind: str, data: bytes) -> tuple[Envelope, Message]:
    """The envelope and the message in it, of this kind. Raises Unreadable."""
    if data == TOO_LARGE:
        raise Unreadable("too_large", f"it has more than {MAX_BYTES} bytes")
    try:
        fields = orjson.loads(data)
        if not isinstance(fields, dict):
            raise Unreadable("invalid", "it is no JSON object")
        version = fields.get("v")
        if type(version) is not int or version != VERSION:
            raise Unreadable("version", f"it is of version {version!r:.20}, and this gateway reads {VERSION}")
        envelope = Envelope.model_validate(fields)
        if envelope.kind != kind or kind not in KINDS:
            raise Unreadable("kind", f"it is a {envelope.kind!r:.60}, among those of {kind}")
        # What a newer gateway has added to a message is none of our business.
        return envelope, KINDS[kind].model_validate(envelope.body, extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Unreadable("invalid", f"{place:.80}: {first['msg']:.120}") from None
    except ValueError as error:  # no JSON
        raise Unreadable("invalid", f"{error!s:.120}") from None
