"""The command `pilotctl`, for what its daemon does not do over the socket: signatures, the inbox, setting up."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.admin.client import TOKEN_VARIABLE
from gateway.agents.link import shown

NEEDED: Final = frozenset(
    {
        "info",
        "find",
        "lookup",
        "handshake",
        "pending",
        "approve",
        "trust",
        "publish",
        "subscribe",
        "send-message",
        "inbox",
        "sign-request",
        "verify-request",
        "set-hostname",
    }
)
OUTPUT_MOST: Final = 64 * 1024 * 1024  # bytes of an answer: an unread inbox
ENDS_WITHIN: Final = 2.0  # seconds, once it is killed
WITHIN: Final = 10.0  # seconds


class PilotctlError(Exception):
    """It failed. `code` is one of its own (not_found, trust_required ...), or `missing`, `timeout`, `garbled`."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.code = code


class Pilotctl:
    """Runs it against the daemon of one socket, without a shell."""

    def __init__(self, command: str, socket: str, within: float = WITHIN) -> None:
        self._command = command
        kept = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        self._environment = {**kept, "PILOT_SOCKET": socket}
        self._within = within

    async def run(self, *arguments: str, text: bytes = b"") -> Mapping[str, Any]:
        """The `data` of its answer. Raises PilotctlError."""
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                "--json",
                *arguments,
                env=self._environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except ValueError as error:  # a NUL, or half a character
            raise PilotctlError("invalid_argument", f"pilotctl {arguments[0]} cannot be given that: {error}") from error
        except OSError as error:
            raise PilotctlError(
                "missing", f"{self._command} cannot be run: {error.strerror}", "agents.pilotctl"
            ) from error
        try:
            async with asyncio.timeout(self._within):
                return _data(arguments[0], await _output(process, text))
        except TimeoutError as error:
            raise PilotctlError(
                "timeout", f"pilotctl {arguments[0]} has not ended within {self._within:g} s"
            ) from error
        finally:
            if process.returncode is None:
                await _end(process)

    async def check(self) -> None:
        """Raise PilotctlError for a version that lacks a command that is needed here."""
        commands = (await self.run("context")).get("commands")
        there = set(commands) if isinstance(commands, dict) else set()
        if missing := sorted(NEEDED - there):
            raise PilotctlError("not_found", f"this version of pilotctl has no {', '.join(missing)}")


async def _output(process: asyncio.subprocess.Process, text: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError, RuntimeError):  # it may have ended already
        process.stdin.write(text)
        process.stdin.close()
    pieces: list[bytes] = []
    length = 0
    while piece := await process.stdout.read(1 << 16):
        length += len(piece)
        if length > OUTPUT_MOST:
            raise PilotctlError("garbled", f"pilotctl answered with more than {OUTPUT_MOST} bytes")
        pieces.append(piece)
    await process.wait()
    return b"".join(pieces)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it. Its output is read to the end, or asyncio would not see it end; a child of it may hold that open."""
    assert process.stdout is not None
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDS_WITHIN):
            while await process.stdout.read(1 << 16):
                pass
            await process.wait()


def _data(command: str, output: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(output)
    except orjson.JSONDecodeError as error:
        raise PilotctlError("garbled", f"pilotctl {command} answered with something that is no JSON") from error
    if isinstance(answer, dict) and answer.get("status") == "ok" and isinstance(answer.get("data"), dict):
        return dict(answer["data"])
    found = answer if isinstance(answer, dict) else {}
    message = f"pilotctl {command}: {found.get('message') or 'it failed without saying why'}"
    raise PilotctlError(shown(str(found.get("code", "garbled"))), shown(message), shown(str(found.get("hint", ""))))
