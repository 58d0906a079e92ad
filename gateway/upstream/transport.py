"""How connections to endpoints come to be: names to addresses, and addresses to sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, TypeVar

from gateway.algorithms.reserved import is_reserved_or_leads_there
from gateway.deadlines import Deadlines
from gateway.errors import ErrorKind, GatewayError
from gateway.outbox import Outbox
from gateway.upstream.http1.connection import READ_BUFFER, Connection
from gateway.upstream.tls import EndpointTls, Named, cause_of

T = TypeVar("T")

_SERVICE: Final[Named] = "service"
_OUT_OF_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)


class Resolver:
    """Host names to addresses, as the system resolver finds them, which gives no TTL.

    What is found is used for TTL seconds, and longer while the name service does not answer. After that it is asked for
    again beside the requests: only the first in a minute waits for the answer.
    """

    TTL = 10.0  # seconds
    UNUSED = 60.0  # seconds behind the TTL, after which what is known may be wrong
    LIMIT = 4096  # names

    def __init__(self, fixed: dict[str, str]) -> None:
        self._fixed = fixed
        self._known: dict[str, tuple[float, list[str]]] = {}  # until when it is used as it is
        self._asking: dict[str, asyncio.Task[list[str]]] = {}
        self.unresolved: dict[str, str] = {}  # names that have no address so far, and why

    def missed(self, host: str, reason: str) -> None:
        """Somebody else has found, on whichever thread, that a name does not resolve."""
        if host not in self._known and len(self.unresolved) < self.LIMIT:
            self.unresolved[host] = reason

    async def addresses(self, host: str) -> list[str]:
        """Every address of a host. Raises OSError where there is none."""
        if host in self._fixed:
            return [self._fixed[host]]
        if is_literal(host):
            return [host]
        now = asyncio.get_running_loop().time()
        until, addresses = self._known.get(host, (0.0, []))
        if now < until:
            return addresses
        asking = self._asking.get(host)
        if asking is None:
            asking = self._asking[host] = asyncio.create_task(self._ask(host, addresses))
            asking.add_done_callback(_retrieved)
        if addresses and now < until + self.UNUSED:
            return addresses
        return await asyncio.shield(asking)

    async def _ask(self, host: str, known: list[str]) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        except OSError as error:
            if not known:
                scarcity = _scarcity()
                if scarcity is None:
                    self.missed(host, f"{host} does not resolve here: {error.strerror or error}")
                raise scarcity or error from None
            addresses = known
        finally:
            del self._asking[host]
        if len(self._known) >= self.LIMIT:
            self._known.clear()
        self._known[host] = (loop.time() + self.TTL, addresses)
        self.unresolved.pop(host, None)
        return addresses


def _scarcity() -> OSError | None:
    """The error that this gateway is out of descriptors, if it is: the C library then finds no names."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error if error.errno in _OUT_OF_DESCRIPTORS else None
    return None


def _retrieved(task: asyncio.Task[list[str]]) -> None:
    """Mark its exception as seen: no request may be waiting for it any more."""
    if not task.cancelled():
        task.exception()


def is_literal(host: str) -> bool:
    """Whether it is an address that means the same everywhere: no name, and without the zone of an IPv6 address."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


class Connector:
    """Opens connections. One for each event loop; owns the read buffer that they share."""

    def __init__(self, deadlines: Deadlines, resolver: Resolver) -> None:
        self.deadlines = deadlines
        self.resolver = resolver
        self._outbox = Outbox()
        self._buffer = memoryview(bytearray(READ_BUFFER))
        self._guarded: Connector | None = None

    def guarded(self) -> Connector:
        """One for endpoints that others name: their names lead to no reserved address."""
        if self._guarded is None:
            self._guarded = GuardedConnector(self.deadlines, self.resolver)
        return self._guarded

    async def connect(
        self,
        label: str,
        authority: bytes,
        host: str,
        port: int,
        *,
        tls: EndpointTls | None,
        server_name: str,
        seconds: float,
    ) -> Connection:
        """A new connection. Raises GatewayError, always before anything of a request was sent."""
        context, named = (None, _SERVICE) if tls is None else (tls.context, tls.named)

        async def to(address: str) -> Connection:
            connection = Connection(label, authority, self._buffer, self.deadlines, self._outbox)
            connection.named = named
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, address, port, ssl=context, server_hostname=server_name if tls else None
                )
            except BaseException:
                connection.give_up()  # of which the loop says nothing, also where it was made already
                raise
            return connection

        return await self._first(to, label, host, port, seconds, named)

    async def _first(
        self, to: Callable[[str], Awaitable[T]], label: str, host: str, port: int, seconds: float, named: Named
    ) -> T:
        """The result of `to` for the first of the host's addresses that accepts a connection."""
        with connect_failures(label, seconds, named):
            async with asyncio.timeout(seconds):
                failure: OSError | None = None
                for address in await self._addresses(host, port):
                    try:
                        return await to(address)
                    except OSError as error:
                        failure = error
                raise failure or OSError("no address")

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            return await self.resolver.addresses(host)
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:
                raise  # this gateway has none to ask with
            reason = error.strerror or error
            detail = f"{host} does not resolve ({reason}): check the target's name and the name service"
            raise GatewayError(ErrorKind.UPSTREAM_UNRESOLVED, detail, retryable=True) from error


class GuardedConnector(Connector):
    """Leaves out what a name must not lead to at the word of another party. Addresses were checked where they came."""

    async def _addresses(self, host: str, port: int) -> list[str]:
        found = await super()._addresses(host, port)
        if is_literal(host) or is_literal(host.partition("%")[0]):
            return found
        fit = [address for address in found if not is_reserved_or_leads_there(address.partition("%")[0])]
        if not fit:
            detail = (
                f"{host} leads to {found[0]}, which is link-local, reserved, or of a cloud's metadata: no instance of "
                "a registry may be there; where it is meant, register the address, and name it in allowed_networks"
            )
            raise GatewayError(ErrorKind.UPSTREAM_UNRESOLVED, detail, retryable=True)
        return fit


@contextlib.contextmanager
def connect_failures(label: str, seconds: float, named: Named) -> Iterator[None]:
    """Failures while connecting, as GatewayError: nothing of a request was sent."""
    try:
        yield
    except TimeoutError as error:
        detail = f"{label} did not accept a connection within {seconds:g} s"
        raise GatewayError(ErrorKind.UPSTREAM_CONNECT_TIMEOUT, detail, retryable=True) from error
    except ssl.SSLError as error:
        raise GatewayError(ErrorKind.UPSTREAM_TLS, f"{label}: {cause_of(error, named)}", retryable=True) from error
    except OSError as error:
        raise refusal(label, error) from error


def refusal(label: str, error: OSError) -> GatewayError:
    """Why no connection was made."""
    if error.errno in _OUT_OF_DESCRIPTORS:
        detail = "out of file descriptors: raise the limit (ulimit -n), or lower limits.connections"
        return GatewayError(ErrorKind.OVERLOADED, detail)
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    return GatewayError(ErrorKind.UPSTREAM_REFUSED, f"{label}: {reason}", retryable=True)
