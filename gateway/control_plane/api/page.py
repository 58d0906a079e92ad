"""The page: `GET /`, its files below `/page/`, and signing in to it, `/session`."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateway.admin.cookie_sessions import SECONDS
from gateway.admin.page_files import DIRECTORY as SHARED
from gateway.admin.page_files import INDEX, TYPES, File
from gateway.admin.sessions import cookies_of
from gateway.control_plane import audit
from gateway.control_plane.callers import Caller
from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import Problem
from gateway.control_plane.recognising import Shown
from gateway.control_plane.schemas import Answer, Body, Moment

DIRECTORY: Final = Path(__file__).parent.parent / "page"
OF_BOTH: Final = ("dom.js", "format.js", "page.css", "icon.svg")
"""Files that the page of the admin port has, too."""

Typed = Annotated[str, Field(strict=True, max_length=16 * 1024)]


class SignIn(Body):
    """A token or a key; or a name and its password."""

    token: Typed | None = None
    username: Typed | None = None
    password: Typed | None = None

    @property
    def authorization(self) -> bytes | None:
        """The token as a header value; None if it is malformed."""
        if self.token is not None and self.token.isascii() and self.token.isprintable():
            return b"Bearer " + self.token.strip().encode()
        if self.username is None or self.password is None:
            return None
        return b"Basic " + b64encode(f"{self.username}:{self.password}".encode("utf-8", "replace"))


class SessionAnswer(Answer):
    """Who looks at the page."""

    name: str | None
    signed_in: bool
    may_read: bool
    ends_at: Moment | None = None


_OWN: Final = {str(path.relative_to(DIRECTORY)): File(path) for path in DIRECTORY.rglob("*") if path.suffix in TYPES}
FILES: Final[Mapping[str, File]] = {**{name: File(SHARED / name) for name in OF_BOTH}, **_OWN}
"""Each is read when it is first asked for."""

router = APIRouter()


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself."""
    return FILES[INDEX].answer(request)


@router.get("/page/{name:path}")
async def file(name: str, request: Request) -> Response:
    """A file of the page."""
    if name not in FILES:
        raise Problem(404, "the page has no such file")
    return FILES[name].answer(request)


@router.get("/session")
async def show_session(plane: ThePlane, request: Request) -> SessionAnswer:
    """Who is signed in, if anyone."""
    caller: Caller | None = request.scope["state"]["caller"]
    signed_in = plane.access.sessions.first(_cookies(request), lambda authorization: authorization) is not None
    return SessionAnswer(
        name=caller and caller.name, signed_in=caller is not None and signed_in, may_read=caller is not None
    )


@router.post("/session")
async def sign_in(plane: ThePlane, body: SignIn, request: Request, response: Response) -> SessionAnswer:
    """Begin a session with a credential."""
    sessions, tries = plane.access.sessions, plane.access.tries
    address: str = request.scope["state"]["client"]
    if seconds := tries.seconds_to_wait(address):
        detail = f"too many credentials that do not hold, from {address}; try again in {math.ceil(seconds)} s"
        raise Problem(429, detail, headers={"retry-after": str(math.ceil(seconds))})
    if (authorization := body.authorization) is None:
        raise Problem(400, 'expected {"token": "..."}, or {"username": "...", "password": "..."}')
    try:
        caller = await plane.access.known(Shown.of(request.scope).with_authorization(authorization))
    except Problem as problem:
        if problem.status == 401:
            tries.count(address)
            raise Problem(401, "this credential does not hold here") from None
        raise
    async with plane.database.transaction() as session:
        await audit.record(session, caller, "session.begin", "session", details={"client": address})
    request.scope["state"]["caller"] = caller
    response.headers["set-cookie"] = sessions.cookie(sessions.begin(authorization), secure=_over_https(request))
    ends = plane.now() + timedelta(seconds=SECONDS)
    return SessionAnswer(name=caller.name, signed_in=True, may_read=True, ends_at=ends)


@router.delete("/session")
async def sign_out(plane: ThePlane, request: Request, response: Response) -> SessionAnswer:
    """End the session."""
    sessions = plane.access.sessions
    sessions.end(_cookies(request))
    response.headers["set-cookie"] = sessions.cookie("", secure=_over_https(request))
    return SessionAnswer(name=None, signed_in=False, may_read=False)


def _over_https(request: Request) -> bool:
    """Whether the browser has the page by https, from a proxy: this port has no TLS itself."""
    return request.headers.get("origin", "").lower().startswith("https:")


def _cookies(request: Request) -> str:
    return cookies_of(request.headers.getlist("cookie"))
