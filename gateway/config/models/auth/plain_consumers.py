"""Consumers that are no more than a name, groups and hashes of keys: of which there may be 100,000.

They are checked by ConsumerConfig as all others, one by one while the file is read, and kept in a fifth of the memory.
"""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ValidationError

from gateway.config.models.auth.consumers import ApiKeyConfig, ConsumerConfig
from gateway.config.yaml.document import Folded, Mapping, Node, Scalar, resolve

_KEYS = frozenset({"name", "tenant", "groups", "scopes", "keys"})
_KEYS_OF_KEYS = frozenset({"hash", "not_before", "expires"})
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
