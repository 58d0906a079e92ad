"""Makes the identity of a valid credential, and the headers for the backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from gateway.auth.scheme import Recognised
from gateway.config.models import Consumer, IdentityHeaders
from gateway.http import Identity

_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_PLAIN_IN_LIST = _PLAIN.replace(",", "").replace(" ", "")
_NO_CLAIMS: Final[Mapping[str, Any]] = {}
_NONE: Final[frozenset[str]] = frozenset()  # which takes 200 bytes


class Identities:
    """Makes identities, of the consumers of auth.yaml and others."""

    def __init__(self, consumers: Iterable[Consumer], names: IdentityHeaders) -> None:
        self._all = consumers
        self._consumer = names.consumer.encode()
        self._tenant = names.tenant.encode()
        self._groups = names.groups.encode()
        self._scopes = names.scopes.encode()

    @cached_property
    def consumers(self) -> Mapping[str, Consumer]:
        """Those of auth.yaml, by name; megabytes of many, which keys alone do not need."""
        return {consumer.name: consumer for consumer in self._all}

    def of_consumer(self, consumer: Consumer, scheme: str, fingerprint: str) -> Recognised:
        """A consumer of auth.yaml, by a credential that is there, too."""
        groups = frozenset(consumer.groups) if consumer.groups else _NONE
        scopes = frozenset(consumer.scopes) if consumer.scopes else _NONE
        return self.recognised(
            Identity(consumer.name, scheme, consumer.tenant, groups, scopes, _NO_CLAIMS, fingerprint)
        )

    def named(self, name: str, scheme: str, fingerprint: str = "") -> Recognised:
        """The consumer of this name, or nothing but the name."""
        if name in self.consumers:
            return self.of_consumer(self.consumers[name], scheme, fingerprint)
        return self.recognised(Identity(name, scheme, fingerprint=fingerprint))

    def recognised(self, identity: Identity) -> Recognised:
        """With what follows from the identity."""
        return Recognised(identity, self._headers(identity))

    def _headers(self, identity: Identity) -> tuple[tuple[bytes, bytes], ...]:
        """Text other than visible ASCII is percent-encoded, so that nothing in a token can begin a header line of its
        own."""
        headers = [(self._consumer, _encoded(identity.consumer))]
        if identity.tenant is not None:
            headers.append((self._tenant, _encoded(identity.tenant)))
        if identity.groups:
            headers.append((self._groups, _joined(identity.groups, b",")))
        if identity.scopes:
            headers.append((self._scopes, _joined(identity.scopes, b" ")))
        return tuple(headers)


def _encoded(text: str) -> bytes:
    if text.isascii() and text.isprintable() and "%" not in text:  # as nearly always: a fifth of the first use of a key
        return text.encode()
    return quote(text, _PLAIN).encode()


def _joined(texts: Iterable[str], by: bytes) -> bytes:
    return by.join([quote(text, _PLAIN_IN_LIST).encode() for text in sorted(texts)])


def header_names(names: IdentityHeaders) -> frozenset[bytes]:
    """The headers that only the gateway writes; an underscore is a hyphen to a CGI backend, and so it is here."""
    return frozenset(
        name.replace("_", "-").encode() for name in (names.consumer, names.tenant, names.groups, names.scopes)
    )
