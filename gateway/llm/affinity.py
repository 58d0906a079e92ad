"""Objects of a provider are bound to the key that created them: requests with their ids go to the same key.

Where several deployments could answer, the ids of responses that a client gets say which one did, and so does encrypted
content, both encrypted (AES-GCM, NIST SP 800-38D) and valid only for the tenant that got them. The same id is always
sealed the same way (the nonce is made of it, as in RFC 8452), so that clients can compare them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import orjson

from gateway.http import Exchange
from gateway.llm import splice
from gateway.llm.apis import RESPONSES_BY_ID, Call
from gateway.llm.request import ModelRequest
from gateway.llm.sse import Event
from gateway.llm.streams.reader import document_of
from gateway.llm.usage import members
from gateway.upstream.sticky import CookieKey

KEY_FILE: Final = "models-key"  # in the state directory
RESPONSE: Final = "resp_gw1_"
CONTENT: Final = "gw1."
LONGEST: Final = 2048  # characters of an id

_NONCE_BYTES: Final = 12
_SEALED_CONTENT: Final = re.compile(rb'("encrypted_content"\s*:\s*")gw1\.([A-Za-z0-9_-]{16,2048})\.')
_ANY_CONTENT: Final = re.compile(rb'("encrypted_content"\s*:\s*")(?=[^"])')


class Origin(NamedTuple):
    """Who has made something: a provider, and the fingerprint of its key."""

    provider: str
    key: str


class NotOurs(Exception):
    """An id that opens nothing here, or is another tenant's."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Makes ids for clients, and opens them."""

    key: CookieKey = field(repr=False)

    def sealed(self, origin: Origin, id: str, exchange: Exchange) -> str:
        """The replacement of an id, or of encrypted content without one."""
        plain = orjson.dumps([*origin, id])
        owner = owner_of(exchange)
        nonce = hmac.digest(self.key.value, owner + b"\0" + plain, hashlib.sha256)[:_NONCE_BYTES]
        sealed = nonce + self._cipher().encrypt(nonce, plain, owner)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def opened(self, text: str, exchange: Exchange) -> tuple[Origin, str]:
        """The original of a replacement. Raises NotOurs."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  as in `_cipher`

        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            plain = self._cipher().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner_of(exchange))
        except (binascii.Error, ValueError, InvalidTag):
            raise NotOurs from None
        if base64.urlsafe_b64encode(sealed).decode().rstrip("=") != text:
            raise NotOurs  # the last character has bits that decide nothing
        provider, key, id = orjson.loads(plain)
        return Origin(provider, key), id

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  only with several deployments

        return AESGCM(hashlib.sha256(b"model ids\0" + self.key.value).digest())


def owner_of(exchange: Exchange) -> bytes:
    """Whose is what this caller gets."""
    identity = exchange.identity
    if identity is None:
        return b""
    return orjson.dumps(["tenant", identity.tenant] if identity.tenant else ["consumer", identity.consumer])


@dataclass(slots=True)
class Sealing:
    """The ids of one request and of its answer."""

    seal: Seal
    exchange: Exchange
    origin: Origin | None = None  # who has made what the request refers to
    unknown: str = ""  # the member that refers to what nobody here is known to have made
    known: dict[bytes, bytes] = field(default_factory=dict)  # ids: the provider's, and what the client has

    def open_call(self, call: Call) -> Call:
        """A request for a response, by the id that its provider knows. Raises NotOurs."""
        if call.api is not RESPONSES_BY_ID or not call.id.startswith(RESPONSE):
            return call
        id = self._opened(call.id)
        return replace(call, path=call.path.replace(call.id, id, 1), id=id)

    def open_request(self, request: ModelRequest) -> None:
        """Have a request refer to what its provider knows. Raises NotOurs."""
        before, body = request.previous_response_id, request.body
        if before.startswith(RESPONSE):
            id = self._opened(before)
            places = splice.places(body, "previous_response_id", before)
            request.body = splice.replaced(body, [(place, orjson.dumps(id)) for place in places])
            request.document = {**request.document, "previous_response_id": id}
            request.previous_response_id = id
        elif before:
            self.unknown = "previous_response_id"
        if b'"gw1.' in body:
            found = [token for _, token in _SEALED_CONTENT.findall(request.body)]
            if found:
                opened = {token: self.seal.opened(token.decode(), self.exchange)[0] for token in dict.fromkeys(found)}
                self.origin = opened[found[-1]]  # the latest counts
                request.body = _SEALED_CONTENT.sub(rb"\1", request.body)
                request.document = document_of(request.body) or request.document

    def _opened(self, shown: str) -> str:
        if len(shown) > LONGEST:
            raise NotOurs
        self.origin, id = self.seal.opened(shown.removeprefix(RESPONSE), self.exchange)
        self.known[id.encode()] = shown.encode()
        return id

    def answer(self, data: bytes, origin: Origin) -> bytes:
        """A whole answer, with its ids sealed."""
        try:
            self._note(members(orjson.loads(data)), origin)
        except orjson.JSONDecodeError:
            return data
        return self.changed(data, origin)

    def note_event(self, event: Event, origin: Origin) -> None:
        """Learn the id of the response that a stream is about."""
        if b'"response"' in event.data:
            try:
                self._note(members(members(orjson.loads(event.data)).get("response")), origin)
            except orjson.JSONDecodeError:
                return

    def changed(self, data: bytes, origin: Origin) -> bytes:
        """Bytes of an answer, with the ids that are known, and all encrypted content, sealed."""
        for id, shown in self.known.items():
            data = data.replace(b'"%b"' % id, b'"%b"' % shown)
        if b'"encrypted_content"' in data:
            mark = f"{CONTENT}{self.seal.sealed(origin, '', self.exchange)}.".encode()
            data = _ANY_CONTENT.sub(rb"\1" + mark, data)
        return data

    def _note(self, response: Any, origin: Origin) -> None:
        id = response.get("id")
        if isinstance(id, str) and id.startswith("resp") and id.isascii() and id.encode() not in self.known:
            shown = RESPONSE + self.seal.sealed(origin, id, self.exchange)
            self.known[id.encode()] = shown.encode()


class SealingStream:
    """Seals the ids in a stream. See `Turning`."""

    __slots__ = ("_cut_off", "_note", "_origin", "_sealing")

    def __init__(
        self, sealing: Sealing, origin: Origin, cut_off: Any, note: Callable[[bytes], None] | None = None
    ) -> None:
        self._note = note  # is told what it is made of
        self._sealing = sealing
        self._origin = origin
        self._cut_off = cut_off  # of the reader

    def event(self, event: Event) -> bytes:
        """The event, with sealed ids."""
        self._sealing.note_event(event, self._origin)
        if self._note is not None and b"output_item.added" in event.data:
            self._note(event.data)
        return self._sealing.changed(event.raw, self._origin)

    def end(self) -> bytes:
        """Nothing follows."""
        return b""

    def cut_off(self, kind: str, sentence: str) -> bytes:
        """The error of the protocol, with sealed ids."""
        return self._sealing.changed(self._cut_off(sentence), self._origin)
