"""docs/admin-api.md, made from the document (OpenAPI) that a gateway serves at its admin port.

`python -m tests.docs.admin_page` writes it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.docs.links import anchor
from tests.support import GatewayProcess, running_gateway

PAGE = Path(__file__).parents[2] / "docs" / "admin-api.md"
INTRODUCTION = Path(__file__).parent / "admin_introduction.md"
ROUTES = "routes: [{path: /wolves/*, id: wolves, redirect: /dogs/$1}]\n"

Document = Mapping[str, Any]


def document_of(gateway: GatewayProcess) -> Document:
    """What a gateway says of its admin port."""
    with urlopen(f"http://127.0.0.1:{gateway.admin_port}/openapi.json") as answer:
        document: Document = json.load(answer)
    return document


def page_of(document: Document) -> str:
    """The page: what is written by hand, then every operation by its path."""
    parts = [
        "<!-- Made by `python -m tests.docs.admin_page`: change the operations in gateway/admin/, not this file. -->\n"
    ]
    parts.append(INTRODUCTION.read_text())
    parts += _contents(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    return "\n".join(parts)


def _contents(paths: Mapping[str, Any]) -> Iterator[str]:
    yield "| request | what it does |\n|---|---|"
    for path, operations in paths.items():
        for method, operation in operations.items():
            title = f"{method.upper()} {path}"
            yield f"| [`{title}`](#{anchor(title)}) | {operation['summary']} |"
    yield ""


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    token = " Needs a token that may write, on every address." if operation.get("security") else ""
    more = f"\n{operation['description']}" if "description" in operation else ""
    yield f"### {title}\n\n{operation['summary']}{token}{more}\n"
    if operation["parameters"]:
        yield "| parameter | what it is |\n|---|---|"
        for parameter in operation["parameters"]:
            yield f"| `{parameter['name']}` | {_described(parameter)} |"
        yield ""
    if "requestBody" in operation:
        yield from _body(operation["requestBody"]["content"]["application/json"]["schema"])
    yield "; ".join(f"{status}: {answer['description']}" for status, answer in operation["responses"].items()) + ".\n"


def _described(parameter: Mapping[str, Any]) -> str:
    place = "in the path" if parameter["in"] == "path" else "required" if parameter["required"] else ""
    return " ".join(text for text in (parameter.get("description", ""), f"({place})" if place else "") if text)


def _body(schema: Mapping[str, Any]) -> Iterator[str]:
    """The fields of a body, and those of what they hold."""
    required = schema.get("required", ())
    yield "The body is `application/json`. " + schema.get("description", "").partition("\n")[0]
    for name, field in schema.get("properties", {}).items():
        choices = field.get("enum", ())
        one_of = " (" + ", ".join(f"`{choice}`" for choice in choices) + ")" if choices else ""
        yield f"\n- `{name}`{' (required)' if name in required else ''}{one_of}"
    yield ""


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as directory, running_gateway(Path(directory), ROUTES) as gateway:
        PAGE.write_text(page_of(document_of(gateway)))


if __name__ == "__main__":
    main()
