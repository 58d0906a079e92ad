"""Consumers of auth.yaml that cannot be distinguished."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from gateway.config.models import Configuration, Consumer
from gateway.config.models.auth.consumers import ApiKeyConfig
from gateway.config.models.auth.plain_consumers import HashedKey
from gateway.config.problems import Fault, Path
from gateway.config.yaml.document import Scalar


def duplicates(configuration: Configuration) -> Iterator[Fault]:
    """Values that may belong to one consumer only, and belong to two."""
    seen: defaultdict[str, set[object]] = defaultdict(set)  # by message
    for index, consumer in enumerate(configuration.auth.consumers):
        for value, path, message in _unique(consumer):
            if value in seen[message]:
                yield Fault(("consumers", index, *path), message)
            seen[message].add(value)


def _unique(consumer: Consumer) -> Iterator[tuple[object, Path, str]]:
    """A value that must be unique, its place, and the message for a second consumer that has it."""
    yield consumer.name, ("name",), "a consumer has this name already; rename one of them"
    keys: Sequence[ApiKeyConfig | HashedKey] = consumer.keys
    for index, key in enumerate(keys):
        message = "this key is there already; a key has one consumer: remove one"
        yield key.digest or key.file, ("keys", index), message
    if consumer.basic is not None:
        message = "another consumer has this user name; change one of them"
        yield consumer.basic.username, ("basic", "username"), message
    for index, signing in enumerate(consumer.signatures):
        message = "another key has this key_id; give each of them its own"
        yield signing.key_id, ("signatures", index, "key_id"), message
    for index, certificate in enumerate(consumer.certificates):
        yield repr(certificate), ("certificates", index), "this certificate is there already; remove one"
    for index, subject in enumerate(consumer.subjects):
        message = "this subject is there already; a token has one consumer: remove one"
        yield f"{subject.issuer}\n{subject.subject}", ("subjects", index), message


def plain_keys(configuration: Configuration) -> Iterator[Fault]:
    """Keys that stand in the file as they are, where everyone who may read it can use them."""
    document = configuration.documents["auth.yaml"]
    for index, consumer in enumerate(configuration.auth.consumers):
        for number, key in enumerate(consumer.keys):
            path = ("consumers", index, "keys", number, "key")
            node = document.find(path).node if key.key is not None else None
            if isinstance(node, Scalar) and not node.expanded:
                message = "the key is in plain text; write ${file:...} or ${NAME}, or its hash"
                yield Fault(path, f"{message}: {key.key}", show_value=False)


def expired(configuration: Configuration) -> Iterator[Fault]:
    """Keys that have expired."""
    for index, consumer in enumerate(configuration.auth.consumers):
        for number, key in enumerate(consumer.keys):
            if key.expires is not None and key.expires <= time.time():
                at = datetime.fromtimestamp(key.expires, UTC).isoformat().replace("+00:00", "Z")
                message = f"this key of {consumer.name} has expired at {at}; remove it, or give out a new one"
                yield Fault(("consumers", index, "keys", number, "expires"), message)
