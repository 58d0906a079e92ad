"""The routes that a description of an API (OpenAPI 3, or 2) asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import yaml
from pydantic_core import PydanticCustomError

from gateway.config.values.addresses import parse_target
from gateway.config.values.paths import check_path
from gateway.routes.pattern import parse
from gateway.routes.wildcards import PatternError

MAX_BYTES = 16 * 1024**2
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "query")

_AS_IT_IS = "/{}!$&'()+,;=:@~%-._"  # not the asterisk, which is a wildcard to us
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DescriptionError(Exception):
    """The description cannot be used; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Described:
    """One path of the description, as a route: those of its operations that need a credential, or those that do not."""

    path: str
    methods: tuple[str, ...]
    summary: str = ""
    needs_credential: bool = False


@dataclass(slots=True)
class Description:
    """The routes of a description."""

    backend: str = ""  # scheme, host and port; empty where it names none
    routes: list[Described] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # a sentence each
    key_header: str = ""  # in which it wants an API key


def read_description(data: bytes) -> Description:
    """Raises DescriptionError."""
    if len(data) > MAX_BYTES:
        raise DescriptionError(f"it has more than {MAX_BYTES // 1024**2} MiB")
    try:
        text = data.decode("utf-8-sig")
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _LOADER)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise DescriptionError(f"it is neither JSON nor YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(document, Mapping):
        raise DescriptionError("it is no OpenAPI description: expected an object with openapi and paths")
    if not isinstance(document.get("paths"), Mapping) or not ("openapi" in document or "swagger" in document):
        raise DescriptionError("it is no OpenAPI description: it needs openapi (or swagger) and paths at its top")
    url = _server(document)
    try:
        server = urlsplit(url)
    except ValueError as error:
        raise DescriptionError(f"its server {url} is no URL: {error}; correct it") from None
    described = Description(key_header=next(_key_headers(document), ""))
    if server.netloc:
        described.backend = f"{server.scheme or 'https'}://{server.netloc.rpartition('@')[2]}"
        try:
            parse_target(described.backend)
        except (PydanticCustomError, ValueError) as error:
            reason = error.message() if isinstance(error, PydanticCustomError) else error
            message = f"its server {described.backend} cannot be a target: {reason}; give --backend"
            raise DescriptionError(message) from None
    base, secured = server.path.rstrip("/"), document.get("security")
    for path, item in document["paths"].items():
        if _text(path).startswith("/"):
            _add(described, document, base, _text(path), item, secured)
    return described


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value, where it is of the kind that is meant."""
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    """The same of a text or number; half a surrogate, which JSON may have, becomes a question mark."""
    usable = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value).encode("utf-8", "replace").decode() if usable else ""


def _server(document: Mapping[str, Any]) -> str:
    """The first one, with the defaults of its variables; of Swagger 2, what stands in its place."""
    if "swagger" in document:
        schemes = document.get("schemes")
        scheme = (_text(schemes[0]) if isinstance(schemes, list) and schemes else "") or "https"
        host, base = _text(document.get("host")), _text(document.get("basePath"))
        return f"{scheme}://{host}{base}" if host else base
    servers = document.get("servers")
    server: Any = servers[0] if isinstance(servers, list) and servers else {}
    variables = _mapping(_mapping(server).get("variables"))

    def default(match: re.Match[str]) -> str:
        return _text(_mapping(variables.get(match[1])).get("default"))

    return _PLACEHOLDER.sub(default, _text(_mapping(server).get("url")))


def _add(described: Description, document: Mapping[str, Any], base: str, path: str, item: Any, secured: Any) -> None:
    item = _resolved(document, item)
    operations = [(method, item[method]) for method in METHODS if isinstance(item.get(method), Mapping)]
    if not operations:
        described.left_out.append(f"{path}: it has no operation that a request could ask for")
        return
    try:
        pattern = check_path(base + quote(_PLACEHOLDER.sub(_named, path.partition("?")[0]), safe=_AS_IT_IS))
        parse(pattern)
    except (PydanticCustomError, PatternError) as error:
        reason = error.message() if isinstance(error, PydanticCustomError) else error
        described.left_out.append(f"{path}: {reason}")
        return
    methods = tuple(method.upper() for method, _ in operations if not (method == "head" and "get" in item))
    needing = {method.upper() for method, each in operations if _needs_credential(each.get("security", secured))}
    if any("servers" in each for each in (item, *(operation for _, operation in operations))):
        described.left_out.append(f"{path}: its own servers; its requests go where all others go")
    texts = (item.get("summary"), *(operation.get("summary") for _, operation in operations))
    text = next(filter(None, map(_text, texts)), "")
    summary = "".join(each if each.isprintable() else " " for each in text)[:100].strip()
    for needs in (False, True):
        some = tuple(method for method in methods if (method in needing) is needs)
        if some:
            described.routes.append(Described(pattern, some, summary, needs))


def _needs_credential(security: Any) -> bool:
    """Whether it demands one: an empty requirement among several makes that optional."""
    return isinstance(security, list) and bool(security) and all(security)


def _named(match: re.Match[str]) -> str:
    """A placeholder by a name that captures may have."""
    return "{" + (re.sub(r"[^A-Za-z0-9_]", "_", match[1]) or "_") + "}"


def _resolved(document: Mapping[str, Any], item: Any) -> Mapping[str, Any]:
    """A path's operations; a reference leads to another place of the same document (RFC 6901)."""
    for _ in range(10):  # references to references
        reference = item.get("$ref") if isinstance(item, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        item = document
        for step in reference[2:].split("/"):
            item = item.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(item, Mapping) else {}
    return item if isinstance(item, Mapping) else {}


def _key_headers(document: Mapping[str, Any]) -> Iterator[str]:
    schemes = document.get("securityDefinitions") or _mapping(document.get("components")).get("securitySchemes")
    for scheme in map(_mapping, _mapping(schemes).values()):
        if (scheme.get("type"), scheme.get("in")) == ("apiKey", "header"):
            name = _text(scheme.get("name"))
            if re.fullmatch(r"[A-Za-z0-9-]{1,60}", name):
                yield name
