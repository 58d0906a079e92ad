"""Signed requests (RFC 9421): a consumer signs parts of the request, with a secret that it shares or a key of its own.

What must be covered, and how old a signature may be, is configured. A body is checked against the Content-Digest that
is covered, while it streams. The path is covered in its normal form, in which it is matched and sent on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from gateway.algorithms.structured_fields import Bare, InnerList, Item, Parameters, StructureError, parse_dictionary
from gateway.auth.body_digest import Digest, digested, named_digest
from gateway.auth.context import AuthContext
from gateway.auth.replays import SERVICE as REPLAYS
from gateway.auth.replays import ReplayMemory
from gateway.auth.scheme import AuthResult, Locations, Recognised, Refused, unavailable
from gateway.auth.signature_base import ComponentError, covered_names, signature_base
from gateway.auth.signature_keys import SignatureKey, SignatureKeyError, public_key, shared_key
from gateway.config.models.auth.http_signature import HttpSignatureScheme, SignatureKeyConfig
from gateway.config.problems import Path as Place
from gateway.config.regular_files import read_secret, to_mend
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.http.decisions import Mode, deny
from gateway.http.fields import ENDS_HERE, nominated, values

MALFORMED = Refused("Signature-Input and Signature do not say which parts are signed how (RFC 9421, 4)")
SEVERAL = Refused("the request has more than one signature; send one", ErrorKind.AMBIGUOUS_CREDENTIALS)
UNKNOWN_KEY = Refused("the signature is made with a key that is not known")
WRONG_ALGORITHM = Refused("the signature names another algorithm than its key is for")
WRONG = Refused("the signature is wrong")
UNDATED = Refused("the signature does not say when it was created, or not in seconds (created, expires)")
TOO_OLD = Refused("the signature is too old")
TOO_NEW = Refused("the signature was created in the future; set the clock")
NO_DIGEST = Refused("the body is not covered: sign a Content-Digest header with sha-256 or sha-512 (RFC 9530)")
WRONG_DIGEST = Refused("the body is not the one that Content-Digest names")
REPLAYED = Refused("this signed message came before; add a nonce to send the same again")
FORGOTTEN = Refused("the signature is older than the record of former ones; sign the request again")
HEADERS = Locations(frozenset({b"signature", b"signature-input"}))
FULL = unavailable("too many signed requests are remembered at the moment")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it stands in the request."""

    covered: InnerList
    value: bytes

    @property
    def parameters(self) -> Parameters:
        """`created`, `keyid` and so on (2.3)."""
        return self.covered.parameters


@dataclass(frozen=True, slots=True)
class Signer:
    """A key, and who it belongs to."""

    key: SignatureKey
    holder: Recognised


@dataclass(frozen=True, slots=True)
class Demands:
    """The requirements on a signature."""

    components: frozenset[str]
    body: bool  # whether a body must be covered
    max_age: float  # seconds
    leeway: float  # seconds
    tag: str | None


@dataclass(frozen=True, slots=True)
class HttpSignature:
    """The scheme of kind `http_signature`. `signers` by key id; `once`: no message may come again."""

    name: str
    signers: Mapping[str, Signer]
    demands: Demands
    memory: ReplayMemory
    once: bool
    realm: str
    forward: bool
    mode: Mode = "enforce"  # what becomes of a body that turns out to be wrong
    locations: Locations = HEADERS

    async def authenticate(self, exchange: Exchange, *, dry_run: bool = False) -> AuthResult:
        """Who signed it. A covered body is checked while it is read: the exchange gets one that does so."""
        if b"signature" not in exchange.fields and b"signature-input" not in exchange.fields:
            return None
        try:
            found = list(_signatures(exchange, self.demands.tag))
        except StructureError:
            return MALFORMED
        if len(found) != 1:
            return SEVERAL if found else None
        return self._judge(exchange, found[0], dry_run)

    def _judge(self, exchange: Exchange, signature: Signature, dry_run: bool) -> AuthResult:
        keyid = signature.parameters.get("keyid")
        signer = self.signers.get(keyid) if isinstance(keyid, str) else None
        if signer is None:
            return UNKNOWN_KEY
        now = time.time()
        refused = self._refuse_parameters(signature.parameters, signer.key, now)
        refused = refused or self._refuse_cover(signature) or _refuse_loss(exchange, signature)
        if refused is not None:
            return refused
        try:
            base = signature_base(exchange, signature.covered)
        except ComponentError as error:
            return Refused(f"the signature cannot be checked: {error}")
        if not signer.key.verifies(signature.value, base):
            return WRONG
        digest, refused = self._body_digest(exchange, signature)
        if refused is not None:
            return refused
        refused = None if dry_run else self._refuse_replay(signer, signature, base, now)
        if refused is None and digest is not None and exchange.body is not None:
            exchange.body = digested(exchange.body, digest, partial(self._deny_body, exchange))
        return refused or signer.holder

    def _deny_body(self, exchange: Exchange) -> None:
        """Raises GatewayError, except in shadow mode."""
        headers = ((b"www-authenticate", self.challenge(WRONG_DIGEST)),)
        error = GatewayError(WRONG_DIGEST.kind, WRONG_DIGEST.detail, headers=headers)
        deny(exchange, f"authentication:{self.name}", error, self.mode)

    def _refuse_parameters(self, parameters: Parameters, key: SignatureKey, now: float) -> Refused | None:
        """2.3"""
        if parameters.get("alg", key.algorithm) != key.algorithm:
            return WRONG_ALGORITHM
        created, leeway = _time(parameters.get("created")), self.demands.leeway
        if created is None:
            return UNDATED
        if created > now + leeway:
            return TOO_NEW
        latest = created + self.demands.max_age
        if "expires" in parameters:
            expires = _time(parameters["expires"])
            if expires is None:
                return UNDATED
            latest = min(latest, expires)
        return TOO_OLD if now > latest + leeway else None

    def _refuse_cover(self, signature: Signature) -> Refused | None:
        missing = self.demands.components - covered_names(signature.covered)
        return Refused(f"the signature does not cover {', '.join(sorted(missing))}") if missing else None

    def _body_digest(self, exchange: Exchange, signature: Signature) -> tuple[Digest | None, Refused | None]:
        """The digest that the body must have, if it is covered."""
        if "content-digest" not in covered_names(signature.covered):
            return None, NO_DIGEST if exchange.body is not None and self.demands.body else None
        digest = named_digest(_whole(exchange, b"content-digest"))
        if digest is None:
            return None, NO_DIGEST
        return digest, WRONG_DIGEST if exchange.body is None and not digest.is_right else None

    def _refuse_replay(self, signer: Signer, signature: Signature, base: bytes, now: float) -> Refused | None:
        """The replay key is the signed base: for some algorithms, a second valid signature can be derived from a first
        one."""
        replays, created = self.memory.of(self.name), _time(signature.parameters.get("created")) or 0
        if not self.once:
            replays.let_pass(created)
            return None
        key, seconds = signer.holder.identity.fingerprint, self.demands.max_age + 2 * self.demands.leeway
        if replays.is_full(key, now, seconds):
            return FULL
        if replays.may_be_forgotten(created):
            return FORGOTTEN
        digest = sha256(base).digest()
        known = self.memory.came(digest) or not replays.is_new(key, digest, now, seconds, created)
        return REPLAYED if known else None

    def challenge(self, refused: Refused | None) -> bytes:
        """There is no registered scheme for signatures: this one says what must be covered."""
        components = " ".join(sorted(self.demands.components))
        return f'Signature realm="{self.realm}", components="{components}"'.encode("ascii", "replace")


def _refuse_loss(exchange: Exchange, signature: Signature) -> Refused | None:
    """A header that `Connection` names ends here: added on the way, it would take a signed one from the backend."""
    if b"connection" not in exchange.fields:
        return None
    covered = {str(item.value) for item in signature.covered.items}
    ending = {name.decode("latin-1") for name in nominated(exchange.headers, exchange.fields) - ENDS_HERE}
    lost = ", ".join(sorted(covered & ending))
    return Refused(f"the Connection header would remove signed headers from the request: {lost}") if lost else None


def _time(value: Bare | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _whole(exchange: Exchange, name: bytes) -> str:
    return b", ".join(values(exchange.headers, name)).decode("latin-1")


def _signatures(exchange: Exchange, tag: str | None) -> Iterator[Signature]:
    """Those with the tag, or all. Raises StructureError."""
    inputs = parse_dictionary(_whole(exchange, b"signature-input"))
    signatures = parse_dictionary(_whole(exchange, b"signature"))
    if inputs.keys() != signatures.keys() or not inputs:
        raise StructureError("signatures and their inputs differ in their labels")
    for label, covered in inputs.items():
        signature = signatures[label]
        if not isinstance(covered, InnerList) or not isinstance(signature, Item):
            raise StructureError("a signature is no byte sequence, or its input no list")
        if not isinstance(signature.value, bytes):
            raise StructureError("a signature is no byte sequence")
        if tag is None or covered.parameters.get("tag") == tag:
            yield Signature(covered, signature.value)


# From auth.yaml.


def http_signature(auth: AuthContext, name: str, config: HttpSignatureScheme) -> HttpSignature:
    """The scheme that auth.yaml describes; what is wrong with keys is a problem of `auth`."""
    demands = Demands(frozenset(config.components), config.body == "signed", config.max_age, config.leeway, config.tag)
    memory = auth.plan.need(REPLAYS, ReplayMemory, ("auth.yaml", ("schemes", name)))
    signers, once, mode = dict(_signers(auth, name)), config.replay == "once", auth.config.mode
    return HttpSignature(name, signers, demands, memory, once, config.realm, config.forward, mode)


def _signers(auth: AuthContext, scheme: str) -> Iterator[tuple[str, Signer]]:
    for index, consumer in enumerate(auth.config.consumers):
        for number, config in enumerate(consumer.signatures):
            place = ("consumers", index, "signatures", number)
            key = _key(auth, config, place)
            if key is not None:
                holder = auth.identities.of_consumer(consumer, scheme, f"keyid:{config.key_id}")
                yield config.key_id, Signer(key, holder)


def _key(auth: AuthContext, config: SignatureKeyConfig, place: Place) -> SignatureKey | None:
    if config.secret is not None:
        return shared_key(config.secret.get_secret_value().encode())
    where = "key" if config.key is not None else "key_file"
    try:
        pem = config.key if config.key is not None else read_secret(auth.base / str(config.key_file))
        return public_key(config.algorithm, pem.encode())
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}; {to_mend(error)}"
    except SignatureKeyError as error:
        message = str(error)
    except ValueError as error:
        message = f"the file cannot be used: {error}" if not isinstance(error, UnicodeError) else "it is not UTF-8"
    auth.problem((*place, where), message)
    return None
