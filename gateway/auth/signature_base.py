"""The signature base: the covered components of a request in the form of RFC 9421, 2. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote

from gateway.algorithms.structured_fields import (
    InnerList,
    Item,
    StructureError,
    parameters_text,
    parse_dictionary,
    serialise,
)
from gateway.http import Exchange
from gateway.http.fields import values

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

COVERED_BY: Mapping[str, frozenset[str]] = {
    "@target-uri": frozenset({"@scheme", "@authority", "@path", "@query", "@request-target"}),
    "@request-target": frozenset({"@path", "@query"}),
}
"""Components that are covered along with these, as parts of them."""


class ComponentError(ValueError):
    """A component is not there, or not known; the text says which."""


def signature_base(exchange: Exchange, covered: InnerList) -> bytes:
    """RFC 9421, 2.5. Raises ComponentError."""
    lines = []
    seen: set[str] = set()
    for item in covered.items:
        identifier = serialise(item)
        if identifier in seen:
            raise ComponentError(f"{identifier} is covered twice")
        seen.add(identifier)
        lines.append(f"{identifier}: {_value(exchange, item)}")
    lines.append(f'"@signature-params": {serialise(covered)}')
    return "\n".join(lines).encode("latin-1", "replace")


def covered_names(covered: InnerList) -> frozenset[str]:
    """The components that are covered whole, and those that these include."""
    names = {str(item.value) for item in covered.items if not item.parameters}
    return frozenset(names.union(*(COVERED_BY.get(name, ()) for name in names)))


def _value(exchange: Exchange, item: Item) -> str:
    name = item.value
    if type(name) is not str:
        raise ComponentError("a component is not a text in quotes")
    if not name.startswith("@"):
        lines = values(exchange.headers, name.encode("latin-1"))
        if name != name.lower() or not lines:
            raise ComponentError(f'the request has no header "{name}"')
        parameters = dict(item.parameters)
        key = parameters.pop("key", None)
        as_bytes = parameters.pop("bs", None)
        if parameters or (as_bytes is not None and (as_bytes is not True or key is not None)):
            raise ComponentError(f'"{name}"{parameters_text(item.parameters)} is not supported here')
        if as_bytes:
            return ", ".join(f":{b64encode(line).decode()}:" for line in lines)
        whole = b", ".join(lines).decode("latin-1")
        if key is None:
            return whole
        # 2.1.2: one member of a dictionary.
        try:
            members = parse_dictionary(whole)
        except StructureError as error:
            raise ComponentError(f'the header "{name}" is no dictionary: {error}') from None
        if type(key) is not str or key not in members:
            raise ComponentError(f'the header "{name}" has no member "{key!s}"')
        return serialise(members[key])
    if name == "@query-param":
        return _query_parameter(exchange, item)
    derive = _DERIVED.get(name)
    if derive is None or item.parameters:
        raise ComponentError(f'"{name}"{parameters_text(item.parameters)} is not a component of requests')
    return derive(exchange)


# Derived components (2.2).


def _authority(exchange: Exchange) -> str:
    return exchange.host.lower().removesuffix(DEFAULT_PORTS.get(exchange.scheme, ":"))


def _path(exchange: Exchange) -> str:
    """2.2.6: the client's own, before anything of it is decoded."""
    return exchange.original_path or "/"


def _query(exchange: Exchange) -> str:
    return "?" + exchange.query.decode("latin-1")


def _request_target(exchange: Exchange) -> str:
    return _path(exchange) + exchange.query_part().decode("latin-1")


def _target_uri(exchange: Exchange) -> str:
    return f"{exchange.scheme}://{_authority(exchange)}{_request_target(exchange)}"


_DERIVED: Mapping[str, Callable[[Exchange], str]] = {
    "@method": lambda exchange: exchange.method,
    "@target-uri": _target_uri,
    "@authority": _authority,
    "@scheme": lambda exchange: exchange.scheme.lower(),
    "@request-target": _request_target,
    "@path": _path,
    "@query": _query,
}


def _query_parameter(exchange: Exchange, item: Item) -> str:
    """2.2.8: decoded and encoded again, so that `+` and `%20` are the same. A duplicated one is refused."""
    name = item.parameters.get("name")
    if set(item.parameters) != {"name"} or type(name) is not str:
        raise ComponentError('"@query-param" needs the parameter name, and no other')
    pairs = parse_qsl(exchange.query.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    found = [value for key, value in pairs if _encoded(key) == name]
    if len(found) != 1:
        raise ComponentError(f'the query has the parameter "{name}" {len(found)} times, and not once')
    return _encoded(found[0])


def _encoded(text: str) -> str:
    """Percent-encoding as of application/x-www-form-urlencoded, with %20 for a space."""
    return quote(text, safe="*-._").replace("~", "%7E")
