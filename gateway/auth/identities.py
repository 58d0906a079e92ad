"""From a credential that holds to who it is: identity, headers for the backend, decision for the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from gateway.auth.scheme import Recognised
from gateway.config.models import ConsumerConfig, IdentityHeaders
from gateway.http import Decision, Identity

_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_PLAIN_IN_LIST = _PLAIN.replace(",", "").replace(" ", "")


class Identities:
    """Makes identities. `consumers` are those of auth.yaml, by name."""

    def __init__(self, consumers: Iterable[ConsumerConfig], names: IdentityHeaders) -> None:
        self.consumers = {consumer.name: consumer for consumer in consumers}
        self._consumer = names.consumer.encode()
        self._tenant = names.tenant.encode()
        self._groups = names.groups.encode()
        self._scopes = names.scopes.encode()

    def of_consumer(self, consumer: ConsumerConfig, scheme: str, fingerprint: str) -> Recognised:
        """A consumer of auth.yaml, by a credential that is there, too."""
        groups, scopes = frozenset(consumer.groups), frozenset(consumer.scopes)
        return self.recognised(
            Identity(consumer.name, scheme, consumer.tenant, groups, scopes, fingerprint=fingerprint)
        )

    def named(self, name: str, scheme: str, fingerprint: str = "") -> Recognised:
        """The consumer of this name, or nothing but the name."""
        if name in self.consumers:
            return self.of_consumer(self.consumers[name], scheme, fingerprint)
        return self.recognised(Identity(name, scheme, fingerprint=fingerprint))

    def recognised(self, identity: Identity) -> Recognised:
        """With what follows from the identity."""
        by = f" by {identity.fingerprint}" if identity.fingerprint else ""
        decision = Decision(f"authentication:{identity.scheme}", "allow", f"it is {identity.consumer}{by}")
        return Recognised(identity, tuple(self._headers(identity)), decision)

    def _headers(self, identity: Identity) -> Iterable[tuple[bytes, bytes]]:
        """What is no visible ASCII is percent-encoded, so that nothing in a token can begin a line of its own."""
        yield self._consumer, _encoded(identity.consumer)
        if identity.tenant is not None:
            yield self._tenant, _encoded(identity.tenant)
        if identity.groups:
            yield self._groups, b",".join(quote(group, _PLAIN_IN_LIST).encode() for group in sorted(identity.groups))
        if identity.scopes:
            yield self._scopes, b" ".join(quote(scope, _PLAIN_IN_LIST).encode() for scope in sorted(identity.scopes))


def _encoded(text: str) -> bytes:
    return quote(text, _PLAIN).encode()


def header_names(names: IdentityHeaders) -> frozenset[bytes]:
    """The headers that only the gateway writes; an underscore is a hyphen to a CGI backend, and so it is here."""
    return frozenset(
        name.replace("_", "-").encode() for name in (names.consumer, names.tenant, names.groups, names.scopes)
    )
