"""One connection to Redis on which calls follow each other without waiting, and are answered in their order.

So whatever number of requests asks at a time, there is one socket to look at, and an answer to any of them is a sign
that Redis works on all.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.outside.redis_scripts import Script

Arguments = Sequence[str | int | bytes]

_RUN: Final = rb"^run_id:([0-9a-f]{1,64})\r?$"


class Call:
    """A script, and the future of its answer: None where there is none. `error` says why."""

    __slots__ = ("_arguments", "_keys", "_script", "adds", "answer", "error", "known", "tried", "turn")

    def __init__(self, script: Script, keys: Sequence[str], arguments: Arguments, turn: int) -> None:
        self._script = script
        self._keys = keys
        self._arguments = arguments
        self.turn = turn  # how often Redis had failed before
        self.tried = False  # on a connection that broke
        self.known = True  # that Redis has the script already, and needs only its hash
        self.adds = script.adds
        self.error: Exception | None = None
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def command(self) -> tuple[str | int | bytes, ...]:
        """The command."""
        name, script = ("EVALSHA", self._script.sha) if self.known else ("EVAL", self._script.text)
        return (name, script, len(self._keys), *self._keys, *self._arguments)

    def came(self, answer: Any) -> None:
        """Set the answer of Redis."""
        if self._script.is_answer(answer, len(self._keys)):
            self.end(answer)
        else:
            self.end(None, ValueError("the server is not a Redis"))

    def end(self, answer: Any, error: Exception | None = None) -> None:
        """Set the result, unless the caller was cancelled."""
        if not self.answer.done():
            self.error = error
            self.answer.set_result(answer)


class Pipeline:
    """One connection (redis.asyncio.Connection, which is not typed throughout). Its end is its task's end."""

    def __init__(
        self,
        connection: Any,
        calls: Sequence[Call],
        connected: Callable[[str], None],
        ended: Callable[[Pipeline, Exception], None],
    ) -> None:
        """`connected` is called with the run of the server, a name that each start of a Redis gives itself, before
        anything is asked on the connection; with "" where it does not show that."""
        from redis.exceptions import NoScriptError, ResponseError  # noqa: PLC0415  only those who have a Redis need it

        self._no_script = NoScriptError
        self._refusal = ResponseError
        self._connection = connection
        self._unsent: deque[Call] = deque(calls)
        self._sent: deque[Call] = deque()
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._on_connected = connected
        self._ended = ended
        self.connected = False
        self.task = asyncio.create_task(self._run())

    def add(self, call: Call) -> None:
        """Send it as soon as may be."""
        self._unsent.append(call)
        self._wanted.set()

    def unanswered(self) -> list[Call]:
        """The calls whose callers have not given up."""
        return [*_waiting(self._sent), *_waiting(self._unsent)]

    async def _run(self) -> None:
        reader: asyncio.Task[None] | None = None
        try:
            await self._connection.connect()
            self.connected = True
            self._on_connected(await self._run_of_server())
            reader = asyncio.create_task(self._read())
            reader.add_done_callback(lambda _: self._wanted.set())
            while not reader.done():
                await self._wanted.wait()
                self._wanted.clear()
                calls = _waiting(self._unsent)
                self._unsent.clear()
                if calls:
                    self._sent.extend(calls)
                    packed = b"".join(
                        piece for call in calls for piece in self._connection.pack_command(*call.command())
                    )
                    await self._connection.send_packed_command(packed, check_health=False)
            await reader
        except Exception as error:  # whatever it is: what is asked must be answered
            self._ended(self, error)
        finally:
            if reader is not None:
                reader.cancel()
            with contextlib.suppress(Exception):
                await self._connection.disconnect(nowait=True)

    async def _run_of_server(self) -> str:
        await self._connection.send_command("INFO", "server", check_health=False)
        try:
            answer = await self._connection.read_response(disconnect_on_error=False)
        except self._refusal:  # an access list without INFO, or a server that is loading its data
            return ""
        found = re.search(_RUN, answer, re.MULTILINE) if isinstance(answer, bytes) else None
        return "" if found is None else found[1].decode()

    async def _read(self) -> None:
        while True:
            answer: Any = None
            error: Exception | None = None
            try:
                answer = await self._connection.read_response(disconnect_on_error=False)
            except self._refusal as refusal:
                error = refusal
            call = self._sent.popleft()  # an IndexError where something comes that was not asked for
            if isinstance(error, self._no_script) and call.known:
                call.known = False
                self.add(call)
            elif error is not None:
                call.end(None, error)
            else:
                call.came(answer)


def _waiting(calls: deque[Call]) -> list[Call]:
    return [call for call in calls if not call.answer.done()]
