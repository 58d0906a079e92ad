"""Objects of a gateway-controller in the files of a revision: `{apiVersion, kind, metadata: {name}, spec}`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import yaml

from gateway.control_plane.adapters.protocol import AdapterError, FieldError, Revision

_ORDER: Final[Mapping[str, tuple[str, str]]] = {
    "LlmProviderTemplate": ("/llm-provider-templates", "llm-provider-template"),
    "LlmProvider": ("/llm-providers", "llm-provider"),
    "LlmProxy": ("/llm-proxies", "llm-proxy"),
    "Mcp": ("/mcp-proxies", "mcp-proxy"),
    "RestApi": ("/rest-apis", "rest-api"),
}
"""Where each kind is; what others need comes first."""


@dataclass(frozen=True, slots=True)
class Described:
    """One resource, as it is sent."""

    kind: str
    name: str
    collection: str  # "/llm-providers"
    body: bytes

    @property
    def path(self) -> str:
        """`/llm-providers/openai`."""
        return f"{self.collection}/{quote(self.name, safe='')}"


def described(revision: Revision) -> Sequence[Described]:
    """The resources of all files, in the order in which they are made. Raises AdapterError with all that is wrong."""
    found: list[tuple[int, Described]] = []
    errors: list[FieldError] = []
    for file, content in sorted(revision.files.items()):
        for place, document in _documents(file, content, errors):
            made = _described(document)
            if isinstance(made, str):
                errors.append(FieldError(place, made))
            else:
                found.append(made)
    seen: set[str] = set()
    for _, each in found:
        if each.path in seen:
            errors.append(FieldError(each.path, "described twice"))
        seen.add(each.path)
    if errors:
        raise AdapterError("invalid", "the files do not describe resources of a gateway-controller", errors)
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _documents(file: str, content: bytes, errors: list[FieldError]) -> list[tuple[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(content))
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        errors.append(FieldError(f"{file}:{mark.line + 1}" if mark else file, "no YAML"))
        return []
    return [(f"{file}#{number}", each) for number, each in enumerate(documents, 1) if each is not None]


def _described(document: Any) -> tuple[int, Described] | str:
    """The place in the order, and the resource; or what is wrong."""
    if not isinstance(document, dict):
        return "expected apiVersion, kind, metadata and spec"
    kind, metadata = document.get("kind"), document.get("metadata")
    if not isinstance(kind, str) or kind not in _ORDER:
        return f"kind: expected one of {', '.join(_ORDER)}"
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not 1 <= len(name) <= 128 or name in {".", ".."}:
        return "metadata.name: expected a text of at most 128 characters"
    try:
        body = json.dumps({key: value for key, value in document.items() if key != "status"}).encode()
    except (TypeError, ValueError, RecursionError):
        return "it has values that JSON has not, such as dates: write them in quotes"
    collection, ours = _ORDER[kind]
    return list(_ORDER).index(kind), Described(ours, name, collection, body)
