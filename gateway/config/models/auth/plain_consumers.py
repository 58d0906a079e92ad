"""Consumers that are no more than a name, groups and hashes of keys: of which there may be 100,000.

They are checked one by one while the file is read, and kept in a fifth of the memory. What stands there in the plainest
form has nothing that could be wrong with it; all else is checked by ConsumerConfig, as all other consumers are.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ValidationError

from gateway.config.models.auth.consumers import ApiKeyConfig, ConsumerConfig
from gateway.config.yaml.document import Folded, Mapping, Node, Scalar, Sequence, resolve

_KEYS = frozenset({"name", "tenant", "groups", "scopes", "keys"})
_KEYS_OF_KEYS = frozenset({"hash", "not_before", "expires"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._@:/-]{1,200}")  # and so much a group and a scope
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NO_LIMITS: MappingOf[str, Any] = {}


@dataclass(frozen=True, slots=True)
class HashedKey:
    """What ApiKeyConfig says of a key by its hash. `digest`: its SHA-256."""

    key: ClassVar[None] = None
    file: ClassVar[None] = None
    digest: bytes
    not_before: float | None
    expires: float | None

    @property
    def hash(self) -> str:
        """`sha256:` and the hash."""
        return "sha256:" + self.digest.hex()

    @property
    def sha256(self) -> str:
        """The same."""
        return self.hash


@dataclass(frozen=True, slots=True)
class PlainConsumer(Folded):
    """What ConsumerConfig says of such a consumer."""

    basic: ClassVar[None] = None
    signatures: ClassVar[tuple[()]] = ()
    certificates: ClassVar[tuple[()]] = ()
    subjects: ClassVar[tuple[()]] = ()
    models: ClassVar[None] = None
    limits: ClassVar[MappingOf[str, Any]] = _NO_LIMITS
    name: str
    tenant: str | None
    groups: tuple[str, ...]
    scopes: tuple[str, ...]
    keys: tuple[HashedKey, ...]

    def as_model(self) -> ConsumerConfig:
        """The same in the form of all other consumers, to be shown."""
        keys = [
            ApiKeyConfig.model_construct(hash=key.hash, not_before=key.not_before, expires=key.expires)
            for key in self.keys
        ]
        return ConsumerConfig.model_construct(
            name=self.name, tenant=self.tenant, groups=self.groups, scopes=self.scopes, keys=tuple(keys)
        )


Consumer = ConsumerConfig | PlainConsumer


class PlainConsumers:
    """Makes them of what is in the file. What many have alike is held once."""

    def __init__(self) -> None:
        self._shared: dict[Any, Any] = {}

    def fold(self, node: Node) -> PlainConsumer | None:
        """The consumer; None where there is more to it, or something is wrong with it."""
        if not isinstance(node, Mapping) or not node.entries.keys() <= _KEYS:
            return None
        try:
            return self._plainest(node)
        except _NotPlainError:
            return self._checked(node)

    def _plainest(self, node: Mapping) -> PlainConsumer:
        """The consumer, of which nothing has to be looked at twice. Raises _NotPlainError for all others."""
        name, tenant = None, None
        groups: tuple[str, ...] = ()
        scopes: tuple[str, ...] = ()
        keys: tuple[HashedKey, ...] = ()
        for key, entry in node.entries.items():
            match key:
                case "name":
                    name = _plain_name(entry.node)
                case "tenant":
                    tenant = self._once(_plain_name(entry.node))
                case "groups":
                    groups = self._once(tuple([_plain_name(item) for item in _items(entry.node)]))
                case "scopes":
                    scopes = self._once(tuple([_plain_name(item) for item in _items(entry.node)]))
                case _:
                    keys = tuple([HashedKey(_digest(item), None, None) for item in _items(entry.node)])
        if name is None:
            raise _NotPlainError
        return PlainConsumer(name, tenant, groups, scopes, keys)

    def _checked(self, node: Mapping) -> PlainConsumer | None:
        try:
            consumer = ConsumerConfig.model_validate({key: _value(entry.node) for key, entry in node.entries.items()})
        except (_NotPlainError, ValidationError):
            return None
        return PlainConsumer(
            consumer.name,
            self._once(consumer.tenant),
            self._once(consumer.groups),
            self._once(consumer.scopes),
            tuple([HashedKey(each, key.not_before, key.expires) for key in consumer.keys if (each := key.digest)]),
        )

    def _once(self, value: Any) -> Any:
        return self._shared.setdefault(value, value)


class _NotPlainError(Exception):
    """Raised for what is read like everything else."""


def _plain_name(node: Node) -> str:
    if not isinstance(node, Scalar) or not _PLAIN_NAME.fullmatch(node.text):
        raise _NotPlainError
    if node.plain and not isinstance(resolve(node.text), str):
        raise _NotPlainError
    return node.text


def _items(node: Node) -> Iterable[Node]:
    if not isinstance(node, Sequence):
        raise _NotPlainError
    return node.items


def _digest(node: Node) -> bytes:
    """The hash of a key by itself, or under `hash` alone."""
    if isinstance(node, Mapping) and len(node.entries) == 1 and "hash" in node.entries:
        node = node.entries["hash"].node
    if not isinstance(node, Scalar) or not _HASH.fullmatch(node.text):
        raise _NotPlainError
    return bytes.fromhex(node.text[7:])


def _value(node: Node) -> Any:
    if isinstance(node, Scalar):
        if "${" in node.text:
            raise _NotPlainError
        return resolve(node.text) if node.plain else node.text
    if isinstance(node, Mapping):
        if not node.entries.keys() <= _KEYS_OF_KEYS:
            raise _NotPlainError
        return {key: _value(entry.node) for key, entry in node.entries.items()}
    return [_value(item) for item in node.items]
