"""The way to gateways and their providers: HTTP, to where they may be only, with bounded answers."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpcore2
import orjson

from gateway.control_plane.adapters.networks import AllowedAddresses, literal
from gateway.control_plane.adapters.protocol import AdapterError, FieldError, Reason
from gateway.live.thread import on_thread

MOST: Final = 1024**2  # bytes of an answer, unless said otherwise
_CONNECTIONS: Final = 200  # at once
_LOOKUPS: Final = 64  # names that are looked up at once, each on a thread
_SHOWN: Final = 200  # characters of what a gateway says
_TRANSIENT: Final = frozenset({408, 429, 502, 503, 504})
_REASONS: Final[Mapping[int, Reason]] = {
    400: "invalid", 401: "unauthorized", 403: "unauthorized", 404: "missing", 409: "conflict", 422: "invalid"
}  # fmt: skip
_NOT_DONE: Final = frozenset({408, 429, 503})  # the server says that it has not begun

Resolve = Callable[[str, int], Sequence[str]]


class CallFailed(AdapterError):
    """A request did not succeed."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        code: int | None = None,
        again: bool = False,
        perhaps_done: bool = True,
        wait: float = 0,
        errors: Sequence[FieldError] = (),
    ) -> None:
        """`code` is the status of the answer; `again`: another try may succeed, after `wait` seconds.

        `perhaps_done`: what was asked for may have been done all the same.
        """
        super().__init__(reason, message, errors)
        self.code = code
        self.again = again
        self.perhaps_done = perhaps_done
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; of `send`, one with a status of success."""

    url: str
    code: int
    headers: Mapping[str, str]  # with names in small letters
    body: bytes = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)  # of the request: what is not shown if it comes back

    def text(self, value: object) -> str:
        """A message of the other side for display: one line without credentials; empty if it is not text."""
        if not isinstance(value, str):
            return ""
        for secret in self.secrets:
            value = value.replace(secret, "***")
        text = "".join(character if character.isprintable() else " " for character in value)
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

    def json(self) -> Any:
        """The body as JSON. Raises CallFailed."""
        try:
            return orjson.loads(self.body)
        except ValueError:
            raise CallFailed("answer", f"{self.url} answered, but not with JSON") from None

    def document(self) -> Mapping[str, Any]:
        """The body as a JSON object. Raises CallFailed."""
        found = self.json()
        if not isinstance(found, dict):
            raise CallFailed("answer", f"{self.url} answered, but not with a JSON object")
        return found

    def refusal(self) -> CallFailed:
        """The error that this answer is, with what its JSON says of it."""
        try:
            found = self.document()
        except CallFailed:
            found = {}
        messages = (found[key] for key in ("message", "detail", "error_description", "error", "title") if key in found)
        said = self.text(next(messages, ""))
        listed = found.get("errors")
        errors = [
            FieldError(self.text(each.get("field")), self.text(each.get("message")))
            for each in (listed if isinstance(listed, list) else [])[:20]
            if isinstance(each, dict)
        ]
        message = f"{self.url} answered {self.code}{f': {said}' if said else ''}"
        if 300 <= self.code < 400:
            message += " (redirects are not followed: give the URL that it leads to)"
        wait = self.headers.get("retry-after", "")
        return CallFailed(
            _REASONS.get(self.code, "status"),
            message,
            code=self.code,
            again=self.code in _TRANSIENT,
            perhaps_done=self.code not in _NOT_DONE and self.code >= 500,
            wait=float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 8 else 0.0,
            errors=errors,
        )


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)

    @property
    def shown(self) -> str:
        """The URL for messages."""
        return without_query(self.url)

    @property
    def host(self) -> str:
        """Raises CallFailed for what is no URL to ask."""
        url = self.url
        try:
            parts = urlsplit(url)
            host = parts.hostname if parts.scheme in {"http", "https"} and parts.port != 0 else None
        except ValueError:
            host = None
        if not host or not url.isascii() or not url.isprintable() or " " in url:
            raise CallFailed("invalid", "expected a URL that begins with http:// or https://", perhaps_done=False)
        return host

    @property
    def all_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Raises CallFailed for what no header can hold."""
        usual = {"Accept": "application/json", "Connection": "close", "User-Agent": "flowmaster-control-plane"}
        every = usual | dict(self.headers)
        if self.body is not None:
            every["Content-Length"] = str(len(self.body))
        try:
            return [(name.encode("ascii"), value.encode("utf-8")) for name, value in every.items()]
        except UnicodeError:
            raise CallFailed("invalid", "a header cannot hold this", perhaps_done=False) from None

    @property
    def secrets(self) -> Sequence[str]:
        """Secret parts of `Authorization` in the forms in which they may be echoed; the longest first."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        found = [value]
        if scheme == "Basic":
            password = base64.b64decode(value).decode(errors="replace").partition(":")[2]
            found += [password, unquote(password)]  # OAuth2 quotes it
        return [each for each in found if each]


class Outbound:
    """A client for all gateways. Redirects are not followed, cookies not kept, proxies of the environment not used."""

    def __init__(self, allowed: AllowedAddresses, ca: Path | None = None, resolve: Resolve | None = None) -> None:
        """Raises OSError where `ca` cannot be read. `resolve`: another name service than the system's."""
        self.allowed = allowed
        self._tls = ssl.create_default_context(cafile=ca)
        self._network = _Network(allowed, resolve or _resolve)
        self._slots = asyncio.Semaphore(_CONNECTIONS)

    async def send(
        self,
        method: str,
        url: str,
        seconds: float,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        most: int = MOST,
    ) -> Reply:
        """Send a request once, in `seconds` altogether. Raises CallFailed, also for any status but 2xx."""
        request, progress = _Request(method, url, headers or {}, body), _Progress()
        if (refusal := self.allowed.refusal_of_host(request.host)) is not None:
            raise CallFailed("address", refusal, perhaps_done=False)
        try:
            async with asyncio.timeout(seconds):
                answer = await self._exchange(request, most, progress)
        except TimeoutError:
            why = f"{request.shown} did not answer within {seconds:g} s"
            raise CallFailed("timeout", why, again=True, perhaps_done=progress.connected) from None
        if not 200 <= answer.code < 300:
            raise answer.refusal()
        return answer

    async def _exchange(self, request: _Request, most: int, progress: _Progress) -> Reply:
        try:
            # One connection for each request: gateways are many, and each is asked now and then.
            origin = httpcore2.URL(request.url).origin
            connection = httpcore2.AsyncHTTPConnection(origin, self._tls, network_backend=self._network)
            headers, traced = request.all_headers, {"trace": progress}
            async with (
                self._slots,
                connection,
                connection.stream(
                    request.method, request.url, headers=headers, content=request.body, extensions=traced
                ) as response,
            ):
                received = bytearray()
                async for piece in response.aiter_stream():
                    received += piece
                    if len(received) > most:
                        raise CallFailed("answer", f"{request.shown} sent more than {most // 1024} KiB")
                named = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
                return Reply(request.shown, response.status, named, bytes(received), request.secrets)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            raise progress.failure(error, request.shown) from None
        except (httpcore2.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise CallFailed("invalid", f"{request.shown} is no URL to ask: {error}", perhaps_done=False) from None


class _Progress:
    """How far a request has come: a trace of httpcore2."""

    def __init__(self) -> None:
        self.connected = False

    async def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        self.connected = self.connected or "send_request" in event

    def failure(self, error: Exception, url: str) -> CallFailed:
        """The message of a connection failure, and whether the request may have had an effect."""
        if (failed := _before_http(error, url)) is not None:
            return failed
        if isinstance(error, httpcore2.TimeoutException):
            return CallFailed("timeout", f"{url} did not answer in time", again=True, perhaps_done=self.connected)
        if isinstance(error, httpcore2.ProtocolError):
            return CallFailed("answer", f"{url} answered with an incomplete HTTP response", again=True)
        if self.connected:
            return CallFailed("answer", f"{url} ended the connection without a whole answer", again=True)
        why = next((os.strerror(each.errno) for each in _causes(error) if isinstance(each, OSError) and each.errno), "")
        return CallFailed(
            "refused", f"{url}: no connection{f' ({why})' if why else ''}", again=True, perhaps_done=False
        )


class _Network(httpcore2.AsyncNetworkBackend):
    """Opens connections, to allowed addresses only."""

    def __init__(self, allowed: AllowedAddresses, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._sockets = httpcore2.AnyIOBackend()
        self._lookups = asyncio.Semaphore(_LOOKUPS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  as the library calls it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises CallFailed where none of the addresses may be connected to."""
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        if (address := literal(host)) is not None:
            if (denied := self._allowed.refusal(address, None)) is not None:
                raise CallFailed("address", denied, perhaps_done=False)
            return [str(address)]
        async with self._lookups:
            found = await on_thread("gateway-lookup", lambda: self._resolve(host, port))
        refusals, may_be = [], []
        for each in dict.fromkeys(found):
            refusal = self._allowed.refusal(ip_address(each.partition("%")[0]), host)
            may_be += [each] if refusal is None else []
            refusals += [refusal] if refusal is not None else []
        if not may_be and refusals:
            raise CallFailed("address", refusals[0], perhaps_done=False)
        return may_be


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _before_http(error: Exception, url: str) -> CallFailed | None:
    """A failure of names or of TLS."""
    for each in _causes(error):
        if isinstance(each, socket.gaierror):
            message = f"{url}: the name has no address here ({each.strerror})"
            return CallFailed("name", message, again=each.errno == socket.EAI_AGAIN, perhaps_done=False)
        if isinstance(each, ssl.SSLCertVerificationError):
            message = f"{url}: its certificate is not trusted ({each.verify_message})"
            return CallFailed("tls", message, perhaps_done=False)
        if isinstance(each, ssl.SSLError):
            return CallFailed("tls", f"{url}: no TLS with it ({each.reason or 'failed'})", perhaps_done=False)
    return None


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def without_query(url: str) -> str:
    """The URL as it may be shown: a query may hold a key."""
    return url.partition("?")[0].partition("#")[0]
