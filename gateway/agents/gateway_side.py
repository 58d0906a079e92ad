"""The way from the bridge to the gateway: over the bus in Redis, or by the admin API where there is none.

Neither is ever waited for: what cannot be said now waits in bounded memory, and the oldest goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

import httpx2
import orjson
from pydantic import ValidationError

from gateway.agents.link import shown
from gateway.agents.pieces import REST_SECONDS, in_pieces
from gateway.bus.bus import Received, Subscription
from gateway.bus.redis import RedisBus
from gateway.events import KINDS, Message
from gateway.live import Tasks
from gateway.outside.http_client import HTTP_ERRORS, TooLargeError, http_client, reason_of, whole_body
from gateway.outside.redis_link import RedisLink
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.agents")

MOST_WAITING: Final = 1000  # messages for the admin API
MOST_WAITING_BYTES: Final = 16 * 1024**2
SENT: Final = 200  # messages of one request
SENT_BYTES: Final = 4 * 1024**2
MOST_ANSWER: Final = 16 * 1024**2
WAIT_SECONDS: Final = 20.0  # that the admin API may hold an answer back
CALL_SECONDS: Final = 10.0  # for each step of a call, beside that
ROUND_SECONDS: Final = 1.0  # between two questions: each costs the gateway and the bridge as much as some requests
PAUSES: Final = (0.2, 0.5, 1.0, 2.0)  # seconds between attempts, the last one again and again
LOG_SECONDS: Final = 60.0
TOKEN_WANTED: Final = (
    "the token of the bridge is not good; run it as the user of the gateway, with the same state_directory, so that it "
    "reads the one of this machine, or set GATEWAY_ADMIN_TOKEN to one that may write"
)

M = TypeVar("M", bound=Message)
Handle = Callable[[M], Awaitable[None]]


class GatewaySide(Protocol):
    """The interface that a role uses."""

    async def start(self) -> None:
        """Begin. Does not wait for the gateway."""
        ...

    async def stop(self) -> None:
        """Say what waits, as far as that takes no time, and end."""
        ...

    def subscribe(self, kind: type[M], handle: Handle[M]) -> None:
        """Have `handle` called with each message of this kind; before `start`."""
        ...

    def publish(self, message: Message) -> None:
        """Say it as soon as possible. Never waits."""
        ...

    @property
    def problem(self) -> str:
        """Why the gateway cannot be reached; empty where it can."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Messages that were lost between the bridge and the gateway, for people."""
        ...

    @property
    def losses(self) -> int:
        """When this number rises, the gateway may have forgotten what was said by key."""
        ...


class BusSide:
    """Over `bus: redis`."""

    def __init__(self, url: str, timeout: float, prefix: str) -> None:
        self._link = RedisLink(url, timeout, prefix, counted=False)
        self._bus = RedisBus(self._link)
        self._wanted: list[tuple[type[Any], Handle[Any]]] = []
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """See `GatewaySide`."""
        await self._link.start()
        await self._bus.start()
        self._subscriptions = [self._bus.subscribe(kind, _without_more(handle)) for kind, handle in self._wanted]

    async def stop(self) -> None:
        """See `GatewaySide`."""
        for subscription in self._subscriptions:
            subscription.end()
        await self._bus.stop()
        await self._link.stop()

    def subscribe(self, kind: type[M], handle: Handle[M]) -> None:
        """See `GatewaySide`."""
        self._wanted.append((kind, handle))

    def publish(self, message: Message) -> None:
        """See `GatewaySide`."""
        self._bus.publish(message)

    def counts(self) -> Mapping[str, int]:
        """See `GatewaySide`."""
        return {"lost_on_the_bus": sum(self._bus.counts.dropped.values())}

    @property
    def problem(self) -> str:
        """See `GatewaySide`."""
        return "" if self._link.available else "Redis does not answer (bus: redis), so that the gateway is not reached"

    @property
    def losses(self) -> int:
        """See `GatewaySide`."""
        return self._bus.losses


def _without_more(handle: Handle[Any]) -> Callable[[Any, Received], Awaitable[None]]:
    async def take(message: Message, received: Received) -> None:
        await handle(message)

    return take


class AdminSide:
    """By the admin API. `token` is read at each call, so that another one needs no restart."""

    def __init__(self, admin: str, token: Callable[[], str | None]) -> None:
        self.tasks = Tasks()
        self.losses = 0
        self.problem = "the admin API was not asked yet"
        self.dropped = 0  # messages that waited too long
        self.missed = 0  # messages of the gateway that were not asked for in time
        self._url = f"http://{admin}"
        self._token = token
        self._handlers: dict[str, list[Handle[Any]]] = {}
        self._waiting: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0
        self._number = 0
        self._news = asyncio.Event()
        self._client: httpx2.AsyncClient | None = None
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)
        self._logged = ""

    async def start(self) -> None:
        """See `GatewaySide`."""
        self._client = await http_client(CALL_SECONDS + WAIT_SECONDS, 4)
        if self._handlers:
            self.tasks.supervise("asking the admin API", self._ask)
        self.tasks.supervise("messages to the admin API", self._tell)

    async def stop(self) -> None:
        """See `GatewaySide`."""
        await self.tasks.end()
        if self._client is not None:
            with contextlib.suppress(*HTTP_ERRORS, TimeoutError, _NotAnsweredError):
                async with asyncio.timeout(1.0):
                    await self._send_some()
            await self._client.aclose()

    def subscribe(self, kind: type[M], handle: Handle[M]) -> None:
        """See `GatewaySide`."""
        self._handlers.setdefault(kind.KIND, []).append(handle)

    def publish(self, message: Message) -> None:
        """See `GatewaySide`."""
        self._number += 1
        key = message.KIND, message.key if message.key is not None else f"#{self._number}"
        self._take(key)
        self._waiting[key] = message.to_json()
        self._bytes += len(self._waiting[key])
        while len(self._waiting) > MOST_WAITING or self._bytes > MOST_WAITING_BYTES:
            self._take(next(iter(self._waiting)))
            self.dropped += 1
        self._news.set()

    def counts(self) -> Mapping[str, int]:
        """See `GatewaySide`."""
        return {"lost_to_the_gateway": self.dropped, "lost_from_the_gateway": self.missed}

    def _take(self, key: tuple[str, str]) -> bytes | None:
        body = self._waiting.pop(key, None)
        self._bytes -= len(body) if body is not None else 0
        return body

    async def _ask(self) -> None:
        after, failures = "", 0
        while True:
            asked = time.monotonic()
            try:
                kinds = quote(",".join(self._handlers))
                path = f"/agents/messages?after={quote(after)}&wait={WAIT_SECONDS:g}&kinds={kinds}"
                after = await self._take_batch(await self._call("GET", path), after)
                failures = 0
            except (*HTTP_ERRORS, _NotAnsweredError) as error:
                self._failed(error)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)] * random.uniform(0.8, 1.2))
                failures += 1
                continue
            await asyncio.sleep(asked + ROUND_SECONDS - time.monotonic())

    async def _take_batch(self, batch: Mapping[str, Any], former: str) -> str:
        """The cursor behind it. Raises _NotAnsweredError."""
        after, messages, missed = batch.get("next"), batch.get("messages"), batch.get("missed")
        if not isinstance(after, str) or not isinstance(messages, list) or not isinstance(missed, int):
            raise _NotAnsweredError("its answer has no messages, so that it is no admin API", hopeless=False)
        if self.problem:
            self.problem = ""
            logger.info("the admin API at %s answers", self._url)
        if former.partition("-")[0] != after.partition("-")[0]:
            self.losses += 1  # another process, which knows nothing of what was said before
        self.missed += missed
        await asyncio.sleep(REST_SECONDS)
        async for each in in_pieces(messages):
            await self._hand_over(each)
        return after

    async def _hand_over(self, given: Any) -> None:
        kind = given.get("kind") if isinstance(given, dict) else None
        handlers = self._handlers.get(str(kind), ())
        if not handlers:
            return
        try:
            message = KINDS[str(kind)].model_validate(given.get("body"), extra="ignore")
        except ValidationError:
            logger.warning("a message %s of the admin API cannot be read", kind)
            return
        for handle in handlers:
            try:
                await handle(message)
            except Exception:
                logger.exception("a message %s cannot be handled", kind)

    async def _tell(self) -> None:
        failures = 0
        while True:
            await self._news.wait()
            try:
                await self._send_some()
            except (*HTTP_ERRORS, _NotAnsweredError) as error:
                self._failed(error)
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)] * random.uniform(0.8, 1.2))
                failures += 1
                continue
            failures = 0

    async def _send_some(self) -> None:
        some: list[tuple[tuple[str, str], bytes]] = []
        size = 0
        for key, body in self._waiting.items():
            size += len(body)
            if len(some) == SENT or (some and size > SENT_BYTES):
                break
            some.append((key, body))
        self._news.clear()
        if not some:
            return
        messages = [{"kind": key[0], "body": orjson.Fragment(body)} for key, body in some]
        try:
            await self._call("POST", "/agents/messages", orjson.dumps({"messages": messages}))
        except _NotAnsweredError as error:
            self._news.set()
            if not error.hopeless:
                raise
            self.dropped += len(some)
            self._failed(error)
        except BaseException:
            self._news.set()
            raise
        for key, body in some:
            if self._waiting.get(key) is body:
                self._take(key)
        if self._waiting:
            self._news.set()

    async def _call(self, method: str, path: str, body: bytes | None = None) -> Mapping[str, Any]:
        """Raises _NotAnsweredError, and HTTP_ERRORS."""
        assert self._client is not None
        token = self._token()
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        headers |= {"authorization": f"Bearer {token}"} if token else {}
        async with self._client.stream(method, self._url + path, content=body, headers=headers) as response:
            try:
                answer = orjson.loads(await whole_body(response, MOST_ANSWER))
            except TooLargeError as error:
                raise _NotAnsweredError(f"it {error}, which is no admin API", hopeless=False) from None
            except ValueError:
                answer = None
        if not response.is_success or not isinstance(answer, dict):
            said = answer.get("error") if isinstance(answer, dict) else None
            if response.status_code in (401, 403):
                said = TOKEN_WANTED
            reason = shown(f"it answers {response.status_code}: {said or 'which is no admin API'}")
            raise _NotAnsweredError(reason, hopeless=response.status_code in (400, 413))
        return answer

    def _failed(self, error: Exception) -> None:
        answered = isinstance(error, _NotAnsweredError)
        wrong = "does not serve the bridge" if answered else "is not reached"
        problem = f"the admin API at {self._url} {wrong}: {reason_of(error)}"
        (self._log.line if problem == self._logged else self._log.always)("%s", problem)
        self.problem = self._logged = problem


class _NotAnsweredError(Exception):
    """The admin API refuses; `hopeless`: it will never take the same."""

    def __init__(self, reason: str, *, hopeless: bool) -> None:
        super().__init__(reason)
        self.hopeless = hopeless
