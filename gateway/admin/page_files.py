"""The page, as it is in the package: `GET /` and the files that it consists of, below `/page/`."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.answers import Refused
from gateway.admin.operations import Operation, answering

DIRECTORY: Final = Path(__file__).parent / "page"
INDEX: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class File:
    """One file. It is read when it is first asked for, and kept."""

    path: Path

    @cached_property
    def content(self) -> bytes:
        """The file, uncompressed."""
        return self.path.read_bytes()

    @cached_property
    def compressed(self) -> bytes:
        """The same, with gzip."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def tag(self) -> str:
        """The ETag of the contents; weak, because of the compression."""
        return f'W/"{sha256(self.content).hexdigest()[:16]}"'

    def answer(self, request: Request) -> Response:
        """The file, or 304 if the browser has it."""
        headers = {"cache-control": "no-cache", "etag": self.tag, "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == self.tag:
            return Response(status_code=304, headers=headers)
        content = self.content
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["content-encoding"] = self.compressed, "gzip"
        return Response(content, headers=headers, media_type=TYPES[self.path.suffix])


def page_operations() -> list[Operation]:
    """The page itself."""
    index = File(DIRECTORY / INDEX)

    async def page(request: Request) -> Response:
        return index.answer(request)

    summary = "A page with all of this, live, for a browser."
    described = "It holds nothing that needs a token; what it shows, it asks for."
    return [Operation("GET", "/", page, summary, media_type="text/html", description=described, open=True)]


def file_route() -> Route:
    """The files of the page, of which there is no other list than the directory."""
    files: Mapping[str, File] = {
        str(path.relative_to(DIRECTORY)): File(path) for path in DIRECTORY.rglob("*") if path.suffix in TYPES
    }

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None:
            raise Refused(404, "the page has no such file")
        return found.answer(request)

    return Route("/page/{name:path}", answering(file))
