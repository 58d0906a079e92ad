"""Finds the consumer of a token by its claims."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from gateway.auth import claims as reading
from gateway.auth.claims import Claims
from gateway.auth.identities import Identities
from gateway.auth.scheme import Recognised, Refused
from gateway.auth.token import TokenError
from gateway.config.models import Consumer
from gateway.config.models.auth.scheme_keys import Claims as ClaimNames
from gateway.errors import ErrorKind
from gateway.http import Identity

NOT_ITS_SUBJECT = Refused(
    "the token's subject has the name of a consumer that does not list it among its subjects; "
    "if it is that consumer, add it to subjects of the consumer in auth.yaml",
    ErrorKind.FORBIDDEN,
    public_detail="the token's subject is not allowed here",
)


class SubjectMapper:
    """Finds the consumer that the subject of a token stands for, or makes one of its claims."""

    def __init__(self, consumers: Iterable[Consumer], identities: Identities) -> None:
        self._identities = identities
        self._subjects = {
            (subject.issuer, subject.subject): consumer for consumer in consumers for subject in consumer.subjects
        }

    def recognise(self, claims: Claims, names: ClaimNames, scheme: str, token: bytes) -> Recognised | Refused:
        """Who bears this token, which was verified. Raises TokenError where its claims are not what they should be."""
        subject = reading.name(claims, names.consumer)
        if subject is None:
            raise TokenError(f"the token has no {names.consumer}")
        consumer = self._subjects.get((claims["iss"], subject)) or self._subjects.get((None, subject))
        if consumer is None and subject in self._identities.consumers:
            return NOT_ITS_SUBJECT
        tenant = reading.name(claims, names.tenant) if names.tenant else None
        groups = reading.names(claims, names.groups) if names.groups else frozenset()
        scopes = reading.names(claims, names.scopes, " ")
        if consumer is not None:
            tenant = consumer.tenant or tenant
            groups |= frozenset(consumer.groups)
            scopes = scopes or frozenset(consumer.scopes)
        name = consumer.name if consumer else subject
        fingerprint = "sha256:" + sha256(token).hexdigest()[:12]
        return self._identities.recognised(Identity(name, scheme, tenant, groups, scopes, claims, fingerprint))
