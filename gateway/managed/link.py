"""The way to the control plane: found, kept, and found again, without ever holding up a request.

A WebSocket is tried first; where there is none, heartbeats and a long poll. Whenever a connection begins, the whole of
what is wanted and what runs is compared: what was missed meanwhile does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.algorithms.backoff import doubled
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.managed.applying import Applying
from gateway.managed.bundle_store import BundleStore, Identity
from gateway.managed.errors import CallError, NoWebSocketError
from gateway.managed.reporting import Reporting
from gateway.managed.settings import Settings, read_settings

if TYPE_CHECKING:
    from gateway.control_messages import Heartbeat
    from gateway.managed.calls import Calls
    from gateway.managed.line import Line

logger = logging.getLogger("gateway.managed")

FIRST_PAUSE: Final = 1.0  # until it is tried again; doubled each time, and spread by a quarter
LONGEST_PAUSE: Final = 300.0
CALM_SECONDS: Final = 60.0  # of a connection, after which the pauses begin anew
POLLING_SECONDS: Final = 300.0  # until a WebSocket is tried again, where there was none
SETTINGS_SECONDS: Final = 2.0  # between two looks at what the files say of the control plane
JOIN: Final = "fgj_"
SHORTEST_BEAT: Final = 0.5  # seconds between two heartbeats
SAME_SECONDS: Final = 60.0  # a failure logged this recently is not superseded by another one in the log

GatewayType = Literal["INGRESS", "EGRESS"]


class Link:
    """Of one gateway. On the loop."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        secrets: KnownSecrets,
        applying: Applying,
        reporting: Reporting,
        changed: Callable[[Settings], None],
    ) -> None:
        """`changed` is called with the settings whenever they are others."""
        self.settings = Settings()
        self.settings_error: ConfigError | None = None
        self.how: str | None = None  # "websocket" or "polling" while connected
        self.gateway: str | None = None  # its identifier, once it is known
        self.failure: str | None = None  # of the last try
        self.since = time.time()  # it is connected, or not
        self.news = asyncio.Event()  # there is something to say at once
        self._directory = directory
        self._environment = environment
        self._secrets = secrets
        self._applying = applying
        self._reporting = reporting
        self._changed = changed
        self._identity: Identity | None = None
        self._shown: str | None = None  # the token of the last connection, while it has not failed
        self._refused: str | None = None  # the token that the control plane did not know at the last try
        self._logged: str | None = None  # the failure in the last log line; None once connected
        self._logged_seen = 0.0  # monotonic: when that failure last occurred

    async def work(self) -> None:
        """Without end."""
        await self._look_at_settings()
        try:
            while True:
                await _first([self._keep_connected(), self._until_other_settings()])
        finally:
            self._disconnected()

    async def leave(self) -> None:
        """This process ends, and its connection has ended. Where the control plane does not hear of it, it notices."""
        if self._shown is None:
            return
        with contextlib.suppress(CallError):
            calls = await _calls(self.settings, self._shown)
            try:
                await calls.leave(self._reporting.instance)
            finally:
                await calls.close()

    async def _keep_connected(self) -> None:
        if self.settings.url is None:
            await asyncio.Event().wait()
        tries, polling = 0, False
        while True:
            began = time.monotonic()
            try:
                await self._session(polling=polling)
                polling = False
            except NoWebSocketError as error:
                self._failed(error)
                polling = True
                continue  # at once, by the other way
            except CallError as error:
                self._failed(error)
                polling = False
            tries = 1 if time.monotonic() - began >= CALM_SECONDS else tries + 1
            await asyncio.sleep(doubled(FIRST_PAUSE, tries, LONGEST_PAUSE) * random.uniform(0.75, 1.25))

    async def _session(self, *, polling: bool) -> None:
        """One connection, from its beginning to its end. Raises CallError; returns where the other way is to be
        tried again."""
        from gateway.managed.line import Line  # noqa: PLC0415  a gateway without a control plane needs none

        token = await self._token()
        calls = await _calls(self.settings, token)
        try:
            if polling:
                await self._poll(calls)
            else:
                await self._talk(calls, await Line.open(self.settings.websocket, token, self.settings.ca))
        except CallError as error:
            self._refused = token if error.status == 401 else None
            raise
        finally:
            self._disconnected()
            await calls.close()

    async def _talk(self, calls: Calls, line: Line) -> None:
        self._connected("websocket", calls, line.gateway)
        applying = self._applying
        try:
            await _first(
                [
                    line.hear(applying.want, lambda: applying.wanted),
                    self._beat(lambda: line.say(self._heartbeat())),
                ]
            )
        finally:
            await line.close()

    async def _poll(self, calls: Calls) -> None:
        async def say() -> None:
            self._applying.want(await calls.heartbeat(self._heartbeat()))

        await say()
        self._connected("polling", calls, self.gateway)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLLING_SECONDS):
                await _first([self._beat(say), self._ask(calls)])

    async def _ask(self, calls: Calls) -> None:
        while True:
            wanted = self._applying.wanted
            after = wanted.revision if wanted is not None and wanted.revision is not None else ""
            began = time.monotonic()
            found = await calls.wanted(after)
            if found is not None and found.revision != after:
                self._applying.want(found)
            elif time.monotonic() - began < FIRST_PAUSE:
                await asyncio.sleep(FIRST_PAUSE)  # it does not wait as it should

    async def _beat(self, say: Callable[[], Awaitable[None]]) -> None:
        """A heartbeat now, whenever there is news, and from time to time."""
        while True:
            self.news.clear()
            await say()
            await asyncio.sleep(SHORTEST_BEAT)
            pause = self.settings.heartbeat * random.uniform(0.9, 1.1) - SHORTEST_BEAT
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, pause)):
                    await self.news.wait()

    def _heartbeat(self) -> Heartbeat:
        return self._reporting.heartbeat(self.settings.name, self.settings.labels or {})

    # Who it is.

    async def _token(self) -> str:
        """The token to show. Raises CallError."""
        settings = self.settings
        if settings.token is not None and not settings.token.startswith(JOIN):
            return settings.token
        if self._identity is None or self._identity.url != settings.url:
            store = BundleStore(settings.state)
            self._identity = await asyncio.to_thread(store.identity, settings.http)
        identity = self._identity
        if identity is not None and (identity.token != self._refused or settings.token is None):
            self._secrets.add(identity.token)
            return identity.token
        if settings.token is None:
            raise CallError("there is no token; put it into the file that control_plane.token_file names")
        try:
            return await self._join(settings, settings.token)
        except CallError:
            self._refused = None  # the next time, it shows what it has: the control plane may know it again
            raise

    async def _join(self, settings: Settings, token: str) -> str:
        """Raises CallError."""
        from gateway.control_messages import Join  # noqa: PLC0415  the same

        calls = await _calls(settings, token)
        try:
            kind: GatewayType = "EGRESS" if settings.gateway_type == "EGRESS" else "INGRESS"
            joined = await calls.join(Join(name=settings.name, gateway_type=kind))
        finally:
            await calls.close()
        self._secrets.add(joined.token)
        self._identity = Identity(settings.http, joined.gateway_id, joined.token)
        logger.info("joined the control plane as %s, gateway %s", joined.name, joined.gateway_id)
        try:
            await asyncio.to_thread(BundleStore(settings.state).join, self._identity)
        except OSError as error:
            logger.warning("the token of this gateway cannot be kept: %s; it joins again after a restart", error)
        return joined.token

    # What the files say.

    async def _until_other_settings(self) -> None:
        """Return when the files say something else."""
        former = self.settings
        while self.settings == former:
            await asyncio.sleep(SETTINGS_SECONDS)
            await self._look_at_settings()

    async def _look_at_settings(self) -> None:
        """Where they are wrong, the former ones stay."""
        try:
            found = await asyncio.to_thread(read_settings, self._directory, self._environment, self._secrets)
        except ConfigError as error:
            if str(error) != str(self.settings_error):
                logger.warning("control_plane cannot be read: %s", self._secrets.hide(str(error)))
            self.settings_error = error
            return
        self.settings_error = None
        if found != self.settings:
            self.settings, self._refused, self._logged = found, None, None
            await self._applying.go_on(None if found.url is None else found.state)
            if found.url is not None:
                await asyncio.to_thread(self._reporting.identify, BundleStore(found.state))
            self._changed(found)

    # How it is.

    def _connected(self, how: str, calls: Calls, gateway: str | None) -> None:
        logger.info("connected to the control plane %s by %s", self.settings.url, how)
        self.how, self.gateway, self.failure, self.since = how, gateway, None, time.time()
        self._shown, self._logged = calls.token, None
        self._applying.calls = calls

    def _disconnected(self) -> None:
        self._applying.calls = None
        if self.how is not None:
            self.how, self.since = None, time.time()

    def _failed(self, error: CallError) -> None:
        self._shown = None
        remedy = "; put a new token into the file that control_plane.token_file names" if error.status == 401 else ""
        message = self._secrets.hide(str(error)) + remedy
        self.failure, now = message, time.monotonic()
        # Two failures may alternate, such as that of the WebSocket and that of HTTP: one of them is logged.
        if message == self._logged:
            self._logged_seen = now
        elif self._logged is None or now - self._logged_seen > SAME_SECONDS:
            self._logged, self._logged_seen = message, now
            logger.warning(
                "the control plane %s cannot be used: %s; this gateway keeps its configuration",
                self.settings.url,
                message,
            )


async def _calls(settings: Settings, token: str) -> Calls:
    """Raises CallError."""
    from gateway.managed.calls import Calls  # noqa: PLC0415  the same

    return await Calls.open(settings.http, token, settings.ca)


async def _first(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do these side by side until the first of them ends, or raises; what it raises is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
