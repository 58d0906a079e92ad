"""Descriptions of APIs as they are found: every one is read, or rejected with the reason."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.starter.openapi import DescriptionError, read_description

SWAGGER: dict[str, Any] = {
    "swagger": "2.0",
    "host": "api.example.com:8080",
    "basePath": "/v1",
    "schemes": ["https"],
    "securityDefinitions": {"k": {"type": "apiKey", "in": "header", "name": "X-K"}},
    "paths": {"/a/{id}": {"get": {"summary": "x"}, "delete": {"security": []}}},
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://{h}.example.com/{b}", "variables": {"h": {"default": "a"}, "b": {"default": "v2"}}}],
    "components": {"securitySchemes": {"k": {"type": "apiKey", "in": "header", "name": "X-K"}}, "pathItems": {}},
    "paths": {"/a/{id}": {"summary": "s", "get": {}, "servers": [{"url": "http://x"}]}, "/b": {"$ref": "#/x"}},
    "x": {"post": {"summary": "referred to"}},
}
ODD: tuple[Any, ...] = (
    None,
    True,
    1.5,
    "",
    "/{",
    "http://[",
    "https://h:99999/",
    "\ud800",
    [],
    {},
    [None],
    [1],
    {"a": 1},
    {"$ref": "#/x/y"},
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to everything in it."""
    if path:
        yield path
    for step, below in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(below, (*path, step))


def changed(document: Any, path: tuple[str | int, ...], odd: Any) -> Any:
    if not path:
        return odd
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], odd)
    return copy


@given(data=st.data(), document=st.sampled_from((SWAGGER, OPENAPI)), odd=st.sampled_from(ODD))
def test_any_description_is_read_or_refused(data: st.DataObject, document: dict[str, Any], odd: Any) -> None:
    """With anything in the place of anything else, there are routes, or a reason why not; never a traceback."""
    text = json.dumps(changed(document, data.draw(st.sampled_from(list(places(document)))), odd))
    with contextlib.suppress(DescriptionError):
        described = read_description(text.encode())
        "".join((described.backend, *described.left_out, *(each.summary for each in described.routes))).encode()


def test_each_version_is_read() -> None:
    """The first server with the defaults of its variables, or what stands in its place in version 2."""
    two, three = (read_description(json.dumps(each).encode()) for each in (SWAGGER, OPENAPI))
    assert (two.backend, [each.path for each in two.routes]) == ("https://api.example.com:8080", ["/v1/a/{id}"])
    assert (three.backend, [each.path for each in three.routes]) == ("https://a.example.com", ["/v2/a/{id}", "/v2/b"])
    assert (two.key_header, three.routes[1].summary) == ("X-K", "referred to")
