"""HTTP client of the commands. Without the extra's libraries: a gateway's machine has these commands, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import click

F = TypeVar("F", bound=Callable[..., Any])

SECONDS = 90.0  # the check of a large revision takes some
TOKEN_VARIABLE = "GATEWAY_CONTROL_PLANE_API_TOKEN"
TOKEN_FILE = Path("state") / "control-plane-token"

CONTROL_PLANE = click.option(
    "--control-plane",
    "url",
    envvar="GATEWAY_CONTROL_PLANE",
    default="http://127.0.0.1:9010",
    show_default=True,
    metavar="URL",
    help=f"The control plane. Its token is taken from {TOKEN_VARIABLE}, or from --token-file.",
)
TOKEN = click.option(
    "--token-file",
    envvar="GATEWAY_CONTROL_PLANE_API_TOKEN_FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File with the token. Unset, and on this machine: {TOKEN_FILE} below GATEWAY_CONTROL_PLANE_CONFIG, or here.",
)


class Client:
    """The API of one control plane."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        import httpx2  # noqa: PLC0415  the other commands start faster without it

        self._httpx2 = httpx2
        self._url = url.rstrip("/")
        token = os.environ.get(TOKEN_VARIABLE) or (_read(token_file) if token_file else _local_token(url))
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(headers=headers, timeout=SECONDS, trust_env=False)

    def ask(self, method: str, *path: str, **request: Any) -> Any:
        """The answer as JSON. `path`: its parts below /api/v1. Ends the command if it refuses, or is not
        there."""
        url = f"{self._url}/api/v1/" + "/".join(quote(part, safe="") for part in path)
        try:
            response = self._http.request(method, url, **request)
            answer = response.json() if response.content else None
        except (self._httpx2.HTTPError, self._httpx2.InvalidURL) as error:
            fail(f"the control plane does not answer at {self._url}: {error}; name it with --control-plane")
        except ValueError:
            fail(f"the server at {self._url} is not a control plane; name it with --control-plane")
        if response.is_error:
            fail(*_reasons(response.status_code, answer))
        return answer

    def environment(self, named: str, missing: str = "there is no environment {}") -> dict[str, Any]:
        """An environment by its name or identifier. Ends the command with `missing` where there is none."""
        offset = 0
        while True:
            answer = self.ask("GET", "environments", params={"limit": 1000, "offset": offset})
            for each in answer["environments"]:
                if named in (each["name"], each["uuid"]):
                    found: dict[str, Any] = each
                    return found
            offset += 1000
            if offset >= answer["total"]:
                fail(f"{missing.format(named)} that you may see")


def fail(*reasons: str) -> NoReturn:
    """End the command with what is wrong."""
    for reason in reasons:
        click.echo(f"error: {reason}", err=True)
    sys.exit(1)


def _reasons(status: int, answer: Any) -> list[str]:
    given = answer if isinstance(answer, dict) else {}
    errors = given.get("errors") if isinstance(given.get("errors"), list) else []
    if errors and all(str(each.get("field", "")).startswith("files.") for each in errors):
        return [str(each["message"]) for each in errors]
    if status == 401:
        return [f"{given.get('detail', 'it wants a token')}; set {TOKEN_VARIABLE}, or name a file with --token-file"]
    return [str(given.get("detail") or given.get("message") or f"the control plane answers {status}")]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no token"
        fail(f"{path} cannot be used: {reason}; correct --token-file")


def _local_token(url: str) -> str | None:
    """The token of a control plane on this machine: from a file of the user who listens there, and of no other."""
    from gateway.admin.listening import Listening  # noqa: PLC0415  the same
    from gateway.admin.port_users import users_of  # noqa: PLC0415
    from gateway.admin.tokens import read_token  # noqa: PLC0415

    parts = urlsplit(url)
    try:
        port, host = parts.port or 9010, parts.hostname or ""
    except ValueError:
        return None
    if not Listening(host, 0).loopback:
        return None
    users = users_of(port)
    directory = Path(os.environ.get("GATEWAY_CONTROL_PLANE_CONFIG", "."))
    return read_token(directory / TOKEN_FILE, users) if len(users) == 1 else None
