"""Which Python files the policies of middleware.yaml come from: they are read, watched and told apart with it."""

from collections.abc import Iterator
from functools import lru_cache

from pydantic_core import PydanticCustomError

from gateway.config.models.python_policies import split_class
from gateway.config.yaml.compose import compose
from gateway.config.yaml.document import Document, Entry, Mapping, Node, Scalar

MAX_SOURCE_BYTES = 1024**2


@lru_cache(maxsize=4)
def policy_files(middleware: bytes) -> tuple[str, ...]:
    """The files, as they are named there, relative to the configuration directory. Nothing where it is not YAML."""
    if b"policies" not in middleware:
        return ()
    document, _ = compose("middleware.yaml", middleware)
    return tuple(dict.fromkeys(_files(document))) if document else ()


def _files(document: Document) -> Iterator[str]:
    for policy in _entries(_entries(document.root).get("policies")).values():
        named = _entries(policy).get("class")
        if named is None or not isinstance(named.node, Scalar):
            continue
        try:
            file, _, _ = split_class(named.node.text)
        except PydanticCustomError:
            continue
        if file:
            yield file


def _entries(value: Node | Entry | None) -> dict[str, Entry]:
    node = value.node if isinstance(value, Entry) else value
    return node.entries if isinstance(node, Mapping) else {}
