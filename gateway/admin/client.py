"""Client of the commands for the admin API of a running gateway."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from gateway.json_output import print_json

F = TypeVar("F", bound=Callable[..., Any])

CONNECT_SECONDS = 15.0
SECONDS = 15.0  # for an answer
RELOAD_SECONDS = 600.0  # for one that waits for a configuration to be compiled, and its policies to be tried
TOKEN_VARIABLE = "GATEWAY_ADMIN_TOKEN"

ADMIN = click.option(
    "--admin",
    envvar="GATEWAY_ADMIN",
    default="127.0.0.1:9001",
    show_default=True,
    metavar="HOST:PORT",
    help=f"The admin API of the gateway. Its token is taken from {TOKEN_VARIABLE}, or from the gateway's own file.",
)


def ask(admin: str, method: str, path: str, *, seconds: float | None = None, **request: Any) -> Any:
    """The answer of the admin API, as JSON, or as text if it is text. Ends the command if it refuses, is not there, or
    takes longer than `seconds` (SECONDS where they are not given).

    The token is that of the environment; without one, and where a gateway on this machine wants one, the token in the
    file that it names, if this user may read that.
    """
    import httpx2  # noqa: PLC0415  the other commands start faster without it

    token = os.environ.get(TOKEN_VARIABLE)
    seconds = SECONDS if seconds is None else seconds
    request["timeout"] = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
    try:
        response = _send(httpx2, admin, method, path, token, request)
        answer = _content(response)
        if response.status_code == 401 and token is None and (token := _token_of(admin, answer)) is not None:
            response = _send(httpx2, admin, method, path, token, request)
            answer = _content(response)
    except httpx2.ReadTimeout:
        _end([f"the admin API at {admin} has not answered within {seconds:g} s: the gateway is busy; see its log"])
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        if "://" in admin:
            _end([f"{admin} is a URL; name the admin API by its host and port, such as 127.0.0.1:9001, with --admin"])
        _end([f"the admin API does not answer at {admin}: {error}; name it with --admin"])
    except ValueError:
        _end([f"the server at {admin} is not the admin API of a gateway; name it with --admin"])
    if response.is_error:
        other = f"the server at {admin} answers {response.status_code}, as no admin API does; name that with --admin"
        _end(_reasons(answer) or [other])
    return answer


def _end(reasons: Sequence[str]) -> NoReturn:
    """End the command with these errors: as JSON, too, for programs that read that."""
    context = click.get_current_context(silent=True)
    if context is not None and context.params.get("as_json"):
        print_json({"ok": False, "errors": list(reasons)})
    for reason in reasons:
        click.echo(f"error: {reason}", err=True)
    sys.exit(1)


def _reasons(answer: Any) -> list[str]:
    given = answer if isinstance(answer, dict) else {}
    return [str(given["error"])] if "error" in given else [str(each) for each in given.get("errors", ())]


def _content(response: Any) -> Any:
    is_text = response.headers.get("content-type", "").startswith("text/plain")
    return response.text if is_text and response.is_success else response.json()


def _send(httpx2: Any, admin: str, method: str, path: str, token: str | None, request: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.request(method, f"http://{admin}{path}", headers=headers, trust_env=False, **request)


def _token_of(admin: str, answer: Any) -> str | None:
    """The token of a gateway on this machine: from a file of the user who listens there, and of no other."""
    from gateway.admin.listening import Listening  # noqa: PLC0415  the same
    from gateway.admin.port_users import users_of  # noqa: PLC0415
    from gateway.admin.tokens import FILE, read_token  # noqa: PLC0415

    host, _, port = admin.rpartition(":")
    named = answer.get("token_file") if isinstance(answer, dict) else None
    if not isinstance(named, str) or not Listening(host.strip("[]"), 0).loopback:
        return None
    path, users = Path(named), users_of(int(port))
    return read_token(path, users) if path.name == FILE and len(users) == 1 else None
