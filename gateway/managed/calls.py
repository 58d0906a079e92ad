"""Calls of a gateway to its control plane over HTTP, each bounded in time and bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import httpx2
import orjson

from gateway.bundles import MEDIA_TYPE, Bundle, BundleError, unpack
from gateway.control_messages import (
    MOST_BYTES,
    PREFIX,
    DeploymentAck,
    Heartbeat,
    Join,
    Joined,
    Message,
    Wanted,
    read,
)
from gateway.managed.bundle_store import MOST_PACKED
from gateway.managed.errors import CallError
from gateway.outside.http_client import HTTP_ERRORS, TooLargeError, http_client, reason_of, whole_body

STEP_SECONDS: Final = 10.0  # of each step of a call
CALL_SECONDS: Final = 30.0
LEAVE_SECONDS: Final = 2.0
BUNDLE_SECONDS: Final = 120.0
POLL_SECONDS: Final = 25.0  # that the control plane may keep a long poll waiting
MOST_SHOWN: Final = 300  # characters of what it says

M = TypeVar("M", bound=Message)


class Calls:
    """All of them, with one token. `close` at the end."""

    def __init__(self, client: httpx2.AsyncClient, url: str, token: str) -> None:
        self.token = token
        self._client = client
        self._url = url + PREFIX
        self._headers = {"api-key": token, "accept": f"application/json, {MEDIA_TYPE}"}

    @classmethod
    async def open(cls, url: str, token: str, ca: Path | None) -> Calls:
        """Raises CallError where `ca` cannot be read."""
        try:
            return cls(await http_client(STEP_SECONDS, 4, ca), url, token)
        except OSError as error:
            raise CallError(f"{ca} cannot be used: {reason_of(error)}; correct control_plane.ca") from None

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def join(self, join: Join) -> Joined:
        """Register with a join token. Raises CallError."""
        return self._read(Joined, await self._call("POST", "/gateways/join", message=join))

    async def heartbeat(self, heartbeat: Heartbeat) -> Wanted:
        """Say how this gateway is. Raises CallError."""
        return self._read(Wanted, await self._call("POST", "/gateways/self/heartbeat", message=heartbeat))

    async def wanted(self, after: str) -> Wanted | None:
        """Wait until something else than `after` is wanted; None: it is not, for so long. Raises CallError."""
        query = {"after": after, "wait": f"{POLL_SECONDS:g}"}
        found = await self._call(
            "GET", "/gateways/self/revision", query=query, seconds=POLL_SECONDS + CALL_SECONDS, step=POLL_SECONDS * 2
        )
        return self._read(Wanted, found) if found else None

    async def bundle(self, digest: str) -> Bundle:
        """The revision with this digest, and no other. Raises CallError."""
        data = await self._call("GET", f"/gateways/self/revisions/{digest}", seconds=BUNDLE_SECONDS, most=MOST_PACKED)
        try:
            bundle = await asyncio.to_thread(unpack, data)
        except BundleError as error:
            raise CallError(f"the bundle of revision {digest[:12]} cannot be used: {error}") from None
        if bundle.digest != digest:
            raise CallError(f"the bundle of revision {digest[:12]} is {bundle.digest[:12]}; it is not used")
        return bundle

    async def upload(self, bundle: Bundle) -> None:
        """Send the local files. Raises CallError."""
        data = await asyncio.to_thread(bundle.pack)
        await self._call("POST", "/gateways/self/revision", content=data, seconds=BUNDLE_SECONDS)

    async def leave(self, instance: str) -> None:
        """This process ends, and is not to be missed. Raises CallError."""
        await self._call("DELETE", f"/gateways/self/instances/{instance}", seconds=LEAVE_SECONDS)

    async def acknowledge(self, ack: DeploymentAck) -> None:
        """Say what came of a deployment. Raises CallError."""
        await self._call("POST", "/gateways/self/deployments/ack", message=ack)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        message: Message | None = None,
        content: bytes | None = None,
        query: Mapping[str, str] | None = None,
        seconds: float = CALL_SECONDS,
        step: float = STEP_SECONDS,
        most: int = MOST_BYTES,
    ) -> bytes:
        """The body of a good answer."""
        headers = self._headers | {"content-type": MEDIA_TYPE if message is None else "application/json"}
        body = content if message is None else message.model_dump_json(by_alias=True).encode()
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(
                    method,
                    self._url + path,
                    content=body,
                    params=dict(query or {}),
                    headers=headers if body is not None else self._headers,
                    timeout=step,
                ) as response,
            ):
                data = await whole_body(response, most)
        except TimeoutError:
            raise CallError(f"it takes longer than {seconds:g} s to answer") from None
        except httpx2.TimeoutException:
            raise CallError(f"it does not answer within {step:g} s") from None
        except TooLargeError as error:
            raise CallError(f"it {error}") from None
        except HTTP_ERRORS as error:
            raise CallError(reason_of(error)) from None
        if response.status_code not in (200, 201, 204):
            raise CallError(f"it answers {response.status_code}{_said(data)}", response.status_code)
        return data

    def _read(self, kind: type[M], data: bytes) -> M:
        try:
            return read(kind, data)
        except ValueError as error:
            raise CallError(f"its answer cannot be read: {error}"[:MOST_SHOWN]) from None


def _said(data: bytes) -> str:
    """The `message` of an error answer, if it is one of ours."""
    try:
        read = orjson.loads(data)
    except orjson.JSONDecodeError:
        return ""
    message = read.get("message") if isinstance(read, dict) else None
    if not isinstance(message, str):
        return ""
    return ": " + "".join(char for char in message[:MOST_SHOWN] if char.isprintable())
