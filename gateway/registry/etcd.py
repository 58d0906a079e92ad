"""Instances under a prefix of etcd, by its JSON gateway (/v3/kv/range and /v3/watch; etcd 3.4 or newer).

The keys are listed once and then watched from the revision behind the list. The revision moves only by what the watch
delivered. A watch that says nothing is asked for anew from the same revision; a revision that was compacted away, and
one that went back, is listed again. Every ten minutes the list is compared with what the watch has said.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from gateway.http.redaction import shown_url
from gateway.live import on_thread
from gateway.outside.http_client import whole_body
from gateway.plurals import counted
from gateway.registry.asking import MAX_LINE, UNREADABLE, client_of, first_of, lines_of
from gateway.registry.instances import parse_value
from gateway.registry.source import Instances, Sink, SourceLost
from gateway.upstream.member import Member

ANSWER_SECONDS: Final = 5.0  # for etcd to answer, and for a watch to begin
SILENCE_SECONDS: Final = 60.0  # of a watch, until another one is opened
COMPARE_SECONDS: Final = 600.0  # between two lists that are compared with the watch
GRACE_SECONDS: Final = 2.0  # in which the watch must deliver what a list has
SHORT_SECONDS: Final = 1.0  # a watch that ended sooner was refused
LIST_SECONDS: Final = 30.0  # for all of a list
MAX_LIST: Final = 64 * 1024**2  # bytes of an answer


@dataclass(frozen=True, slots=True)
class _Held:
    """The state of one key."""

    revision: int  # of its last change
    value: str  # base64
    member: Member | None  # None: the value cannot be used
    fault: str = ""  # why it cannot


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of one key."""

    key: str  # base64
    revision: int
    value: str | None  # base64; None: it was deleted


@dataclass(frozen=True, slots=True)
class _Message:
    """A message of a watch."""

    revision: int = 0  # of the server, at that time
    created: bool = False  # the watch has begun
    compacted: bool = False  # the requested revision is compacted
    canceled: str | None = None  # why it ends
    changes: Sequence[_Change] = ()


Keys = dict[str, _Held]
"""Values by key, in base64."""


class EtcdSource:
    """The instances under `prefix`. Of several `urls` the next is asked where one fails."""

    def __init__(
        self,
        urls: Sequence[str],
        prefix: str,
        login: tuple[str, str] | None = None,
        ca: Path | None = None,
        *,
        silence: float = SILENCE_SECONDS,
        compare: float = COMPARE_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._urls = urls
        self._turn = -1  # nothing was asked yet
        self._prefix = prefix
        self._range = _range_of(prefix.encode())
        self._login = login
        self._ca = ca
        self._silence = silence
        self._compare = compare
        self._grace = grace
        self._keys: Keys = {}
        self._deleted: set[str] | None = None  # keys, while a list is compared
        self._revision = 0  # of the last change that is known

    @property
    def place(self) -> str:
        """The server that is asked, and the prefix."""
        return f"etcd {shown_url(self._url)} {self._prefix}"

    @property
    def _url(self) -> str:
        return self._urls[max(0, self._turn) % len(self._urls)].rstrip("/")

    async def watch(self, sink: Sink) -> None:
        """See `Source`."""
        self._turn += 1
        async with client_of(ANSWER_SECONDS, self._ca, remedy="; choose a longer prefix") as client:
            etcd = _Etcd(client, self._url)
            if self._login is not None:
                await etcd.log_in(*self._login)
            while True:
                happened = time.perf_counter()
                self._revision, self._keys, faults = await self._listed(etcd)
                for fault in faults:
                    sink.fault(fault)
                self._deliver(sink, happened)
                await first_of(self._follow(etcd, sink), self._check(etcd, sink))

    def _deliver(self, sink: Sink, happened: float) -> None:
        members = [held.member for held in self._keys.values() if held.member is not None]
        faults = [held.fault for held in self._keys.values() if held.fault]
        sink.deliver(Instances(members, str(self._revision), happened, faults))

    async def _listed(self, etcd: _Etcd) -> tuple[int, Keys, list[str]]:
        body = await etcd.ask("/v3/kv/range", self._range)
        return await on_thread("etcd-list", partial(_parsed, body, dict(self._keys)))

    # The watch.

    async def _follow(self, etcd: _Etcd, sink: Sink) -> None:
        """Use what the watch says. Returns where the keys have to be listed again. Raises SourceLost."""
        loop = asyncio.get_running_loop()
        while True:
            began, heard = loop.time(), False
            wanted = {"create_request": {**self._range, "start_revision": self._revision + 1, "progress_notify": True}}
            try:
                async with asyncio.timeout(ANSWER_SECONDS) as patience, etcd.stream("/v3/watch", wanted) as pieces:
                    async for lines in lines_of(pieces):
                        happened, heard = time.perf_counter(), True
                        patience.reschedule(loop.time() + self._silence)
                        if not self._take(lines, sink, happened):
                            return
            except TimeoutError:
                if not heard:
                    raise SourceLost(f"its watch did not begin within {ANSWER_SECONDS:g} s") from None
            else:
                if loop.time() - began < SHORT_SECONDS:
                    raise SourceLost("it closes the watch at once")

    def _take(self, lines: Sequence[bytes], sink: Sink, happened: float) -> bool:
        """Take messages of the watch. False: the keys have to be listed again."""
        changes = 0
        for message in map(_message, lines):
            if message.compacted:
                return False
            if message.canceled is not None:
                raise SourceLost(f"it ended the watch: {message.canceled[:200] or 'without a reason'}")
            if message.created and message.revision < self._revision:
                raise SourceLost(f"it went back behind revision {self._revision}, as one that was restored does")
            for change in message.changes:
                self._apply(change, sink)
            changes += len(message.changes)
        if changes:
            self._deliver(sink, happened)
        elif lines:
            sink.alive()
        return True

    def _apply(self, change: _Change, sink: Sink) -> None:
        self._revision = max(self._revision, change.revision)
        if change.value is None:
            self._keys.pop(change.key, None)
            if self._deleted is not None:
                self._deleted.add(change.key)
            return
        self._keys[change.key], fault = _held(change.key, change.revision, change.value, self._keys.get(change.key))
        if fault:
            sink.fault(fault)

    async def _check(self, etcd: _Etcd, sink: Sink) -> None:
        """Compare with a list now and then. Returns where the watch has missed a change."""
        while True:
            await asyncio.sleep(self._compare)
            deleted: set[str] = set()
            self._deleted = deleted
            revision, listed, _ = await self._listed(etcd)
            await asyncio.sleep(self._grace)
            self._deleted = None
            missed = [key for key, held in listed.items() if key not in deleted and self._is_older(key, held)]
            missed += [key for key, held in self._keys.items() if key not in listed and held.revision <= revision]
            if missed:
                sink.fault(f"its watch has missed {counted(len(missed), 'change')}; the keys are listed again")
                return

    def _is_older(self, key: str, listed: _Held) -> bool:
        known = self._keys.get(key)
        return known is None or known.revision < listed.revision


class _Etcd:
    """One server, logged in or not."""

    def __init__(self, client: httpx2.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._headers: dict[str, str] = {}

    async def log_in(self, user: str, password: str) -> None:
        """Get a token. Raises SourceLost."""
        body = await self.ask("/v3/auth/authenticate", {"name": user, "password": password})
        try:
            self._headers = {"authorization": orjson.loads(body)["token"]}
        except UNREADABLE:
            raise SourceLost("it answers a log-in without a token") from None

    async def ask(self, path: str, message: Mapping[str, Any]) -> bytes:
        """The body of the answer. Raises SourceLost where it refuses, or one of HTTP_ERRORS, or TooLargeError."""
        content = orjson.dumps(message)
        async with (
            asyncio.timeout(LIST_SECONDS),
            self._client.stream("POST", self._url + path, content=content, headers=self._headers) as response,
        ):
            body = await whole_body(response, MAX_LIST)
        if response.status_code != 200:
            raise SourceLost(_refusal(response.status_code, body))
        return body

    @asynccontextmanager
    async def stream(self, path: str, message: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of an answer without an end. Raises as `ask` does."""
        url, content = self._url + path, orjson.dumps(message)
        endless = httpx2.Timeout(ANSWER_SECONDS, read=None)
        async with self._client.stream(
            "POST", url, content=content, headers=self._headers, timeout=endless
        ) as response:
            if response.status_code != 200:
                raise SourceLost(_refusal(response.status_code, await whole_body(response, MAX_LINE)))
            yield response.aiter_raw()


def _range_of(prefix: bytes) -> dict[str, str]:
    """All keys that begin so: up to the prefix whose last byte is one more (255 has none: it is left out)."""
    stem = prefix.rstrip(b"\xff")
    end = stem[:-1] + bytes([stem[-1] + 1])
    return {"key": base64.b64encode(prefix).decode(), "range_end": base64.b64encode(end).decode()}


def _parsed(body: bytes, known: Keys) -> tuple[int, Keys, list[str]]:
    """The revision, the keys, and what cannot be used of a list. What has not changed is what is known already."""
    try:
        answer = orjson.loads(body)
        changes = [_change(entry, "PUT") for entry in answer.get("kvs", ())]
        revision = int(answer["header"]["revision"])
    except UNREADABLE as error:
        raise SourceLost("it does not answer as etcd's JSON gateway (/v3) does") from error
    keys: Keys = {}
    faults = []
    for change in changes:
        keys[change.key], fault = _held(change.key, change.revision, change.value or "", known.get(change.key))
        if fault:
            faults.append(fault)
    return revision, keys, faults


def _message(line: bytes) -> _Message:
    try:
        said = orjson.loads(line)
        if "error" in said:
            return _Message(canceled=str(said["error"]))
        result = said["result"]
        return _Message(
            int(result["header"].get("revision", 0)),
            bool(result.get("created")),
            int(result.get("compact_revision", 0)) > 0,
            str(result.get("cancel_reason", "")) if result.get("canceled") else None,
            [_change(event["kv"], event.get("type", "PUT")) for event in result.get("events", ())],
        )
    except UNREADABLE as error:
        raise SourceLost("its watch says what cannot be read") from error


def _change(entry: Mapping[str, Any], kind: str) -> _Change:
    value = None if kind == "DELETE" else str(entry.get("value", ""))
    return _Change(str(entry["key"]), int(entry["mod_revision"]), value)


def _held(key: str, revision: int, value: str, known: _Held | None) -> tuple[_Held, str]:
    """The instance of a key, and its error. An unusable value leaves the instance as it was."""
    if known is not None and known.value == value:
        return (known if known.revision == revision else replace(known, revision=revision)), ""
    try:
        return _Held(revision, value, parse_value(base64.b64decode(value).decode())), ""
    except ValueError as error:
        name = base64.b64decode(key).decode(errors="replace")[:100]
        left = "stays as it was" if known is not None and known.member is not None else "is left out"
        fault = f"the value of {name!r} cannot be used, so the instance {left}: {error}"
        return _Held(revision, value, known.member if known is not None else None, fault), fault


def _refusal(status: int, body: bytes) -> str:
    try:
        reason = str(orjson.loads(body)["message"])
    except UNREADABLE:
        reason = "it needs the JSON gateway (/v3) of etcd 3.4 or newer" if status == 404 else "without a reason"
    return f"it answers {status}: {reason[:200]}"
