"""Backends that speak https, and those that only seem to."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import httpx2
import orjson
import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from gateway.deadlines import Deadlines
from gateway.upstream.tls import EndpointTls
from gateway.upstream.transport import Connector, Resolver
from tests.support import running_gateway, scripted_backend
from tests.upstream.wire import OK, always, connected, read_message


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def certificate(directory: Path, name: str, subject: str, days: int, ca: str | None) -> None:
    """Write name.pem and name.key: signed by a CA, or by itself."""
    (directory / f"{name}.ext").write_text(f"subjectAltName={subject}\n")
    request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
    if ca is None:
        # Python 3.13 asks of a CA that it says what its key is for.
        extra = ["-addext", f"subjectAltName={subject}" if subject else "keyUsage=critical,keyCertSign"]
        openssl(
            directory, *request, *extra, "-x509", "-days", str(days), "-keyout", f"{name}.key", "-out", f"{name}.pem"
        )
        return
    openssl(directory, *request, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    signer = ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", f"{name}.ext"]
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", *signer, "-days", str(days), "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    certificate(directory, "ca", "", 30, None)
    certificate(directory, "good", "DNS:backend.test,IP:127.0.0.1", 30, "ca")
    certificate(directory, "elsewhere", "DNS:elsewhere.test", 30, "ca")
    certificate(directory, "expired", "IP:127.0.0.1", -1, "ca")
    certificate(directory, "selfsigned", "IP:127.0.0.1", 30, None)
    return directory


def server_side(certificates: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{name}.pem", certificates / f"{name}.key")
    return context


@contextlib.asynccontextmanager
async def https_backend(certificates: Path, name: str) -> AsyncIterator[int]:
    context = server_side(certificates, name)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await always(OK)(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A backend that speaks plain HTTP."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def test_https(tmp_path: Path, certificates: Path) -> None:
    """An https backend is asked only where its certificate holds; otherwise the client learns what is wrong, and the
    operator the one remedy for that. Metrics have when that ends."""
    async with contextlib.AsyncExitStack() as opened:
        ports = {
            name: await opened.enter_async_context(https_backend(certificates, name))
            for name in ("good", "elsewhere", "expired", "selfsigned")
        }
        plain = await opened.enter_async_context(scripted_backend(refuse))

        def service(name: str, port: int, tls: str) -> str:
            return f"  {name}: {{endpoints: ['127.0.0.1:{port}'], protocol: https, tls: {{{tls}}}}}\n"

        ca = f"ca: '{certificates / 'ca.pem'}'"
        services = {name: (port, ca) for name, port in ports.items()} | {
            "renamed": (ports["elsewhere"], f"{ca}, server_name: elsewhere.test"),
            "unverified": (ports["selfsigned"], "verify: false"),
            "unknown-ca": (ports["good"], "verify: true"),
            "plain": (plain, ca),
        }
        routes = "services:\n" + "".join(service(name, *how) for name, how in services.items()) + "routes:\n"
        routes += "".join(f"- {{path: /{name}, target: {name}}}\n" for name in services)
        direct = {"direct": ports["good"], "direct-plain": plain}
        routes += "".join(f"- {{path: /{name}, target: 'https://127.0.0.1:{port}'}}\n" for name, port in direct.items())
        with running_gateway(tmp_path, routes, "errors: {detail: full}") as gateway:
            seen, details = {}, {}
            for name in [*services, *direct]:
                async with connected(gateway.port) as (reader, writer):
                    writer.write(f"GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                    response = await read_message(reader)
                    seen[name] = "ok" if response.status == 200 else orjson.loads(response.body)["type"].split(":")[-1]
                    details[name] = "" if response.status == 200 else orjson.loads(response.body)["detail"]
            page = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/metrics").text
            health = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/health").json()
            assert "Traceback" not in gateway.log
        named = {
            "elsewhere": "not valid for '127.0.0.1'; name what it is valid for in `tls.server_name` of the service",
            "expired": "certificate has expired; renew it at the backend",
            "selfsigned": "self-signed certificate; name the file of its issuer in `tls.ca` of the service",
            "unknown-ca": "; name the file of its issuer in `tls.ca` of the service",
            "plain": "it speaks no TLS (WRONG_VERSION_NUMBER); set `protocol: http`, or name the port that speaks TLS",
        }
        assert details["direct-plain"].endswith("; write `http://` in the target, or name the port that speaks TLS")
        assert details["direct"].endswith("in `tls.ca` of a service, and lead to that with `target`")
        for name, remedy in named.items():
            assert details[name].endswith(remedy)
            assert any(each.startswith(f"{name}, ") and each.endswith(remedy) for each in health["failing"])
        ends = dict(re.findall(r'_certificate_expiry_timestamp_seconds\{upstream="(.*)"\} (.*)', page))
        assert ends.keys() == {"good", "renamed"}  # of those that were shown, and believed
        assert all(abs(float(end) - time.time() - 30 * 86_400) < 3600 for end in ends.values())
        bad = dict.fromkeys(["elsewhere", "expired", "selfsigned", "unknown-ca", "plain", *direct], "upstream-tls")
        assert seen == dict.fromkeys(["good", "renamed", "unverified"], "ok") | bad


async def test_system_trust(tmp_path: Path, certificates: Path) -> None:
    """`target: https://...` trusts what the system trusts, and large answers come through TLS whole."""
    async with https_backend(certificates, "good") as port:
        routes = f"routes: [{{path: '/*', target: 'https://backend.test:{port}'}}]"
        trust = {"SSL_CERT_FILE": str(certificates / "ca.pem")}
        arguments = ("--resolve", "backend.test=127.0.0.1")
        with running_gateway(tmp_path, routes, environment=trust, arguments=arguments) as gateway:
            async with connected(gateway.port) as (reader, writer):
                for _ in range(3):
                    writer.write(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
                    assert (await read_message(reader)).body == b"ok"


async def test_websockets(tmp_path: Path, certificates: Path) -> None:
    """A WebSocket reaches a backend over TLS: messages of all sizes pass both ways, and so do pings and close codes."""

    async def echo(server: ServerConnection) -> None:
        async for message in server:
            if message == "close":
                await server.close(3000, "mine")
            elif message == "cut":
                server.transport.abort()
            else:
                await server.send(message)

    good, bad = server_side(certificates, "good"), server_side(certificates, "expired")
    async with (
        serve(echo, "127.0.0.1", 0, ssl=good, max_size=None) as backend,
        serve(echo, "127.0.0.1", 0, ssl=bad) as expired,
    ):
        ports = {name: server.sockets[0].getsockname()[1] for name, server in (("good", backend), ("bad", expired))}
        trust = f"{{ca: '{certificates / 'ca.pem'}'}}"
        routes = "services:\n" + "".join(
            f"  {name}: {{endpoints: ['127.0.0.1:{port}'], protocol: https, tls: {trust}}}\n"
            for name, port in ports.items()
        )
        routes += "routes:\n- {path: /good, target: good}\n- {path: /bad, target: bad}\n"
        with running_gateway(tmp_path, routes) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}"
            async with connect(f"{url}/good", max_size=None, proxy=None) as client:
                for message in ("text", b"", "x" * 70_000, b"y" * (4 * 1024 * 1024)):
                    await client.send(message)
                    assert await client.recv() == message
                assert await (await client.ping()) > 0
                await client.send("close")
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
                assert (client.close_code, client.close_reason) == (3000, "mine")
            async with connect(f"{url}/good", proxy=None) as client:
                await client.send("cut")
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
                assert client.close_code == 1011
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{url}/bad", proxy=None)
            assert refused.value.response.status_code == 502
            assert "Traceback" not in gateway.log


class _AtOnce(ssl.SSLContext):
    """Of clients whose handshake is over while their connection is made, as on a busy machine, and who leave then."""

    backend: int  # its port
    leave: Callable[[], object]
    bytes_in: ssl.MemoryBIO
    bytes_out: ssl.MemoryBIO

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *rest: Any, **named: Any) -> ssl.SSLObject:
        self.bytes_in, self.bytes_out = incoming, outgoing
        return super().wrap_bio(incoming, outgoing, *rest, **named)


class _Handshake(ssl.SSLObject):
    def do_handshake(self) -> None:
        context = cast(_AtOnce, self.context)
        with socket.create_connection(("127.0.0.1", context.backend)) as line:
            while True:
                try:
                    super().do_handshake()
                except ssl.SSLWantReadError:
                    line.sendall(context.bytes_out.read())
                    context.bytes_in.write(line.recv(65536))
                else:
                    break
        context.leave()


class _Backend(socketserver.ThreadingTCPServer):
    """Shakes hands with whoever says something."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secure:
            secure.recv(1)


async def _leave_in_the_handshake(context: _AtOnce) -> list[str]:
    """What the loop has to say of a client that leaves in the moment in which the handshake with the backend ends."""
    loop, said = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _, what: said.append(f"{what['message']}: {what.get('exception')}"))
    connector = Connector(Deadlines(loop), Resolver({}))
    connecting = connector.connect(
        "b", b"b", "127.0.0.1", context.backend, tls=EndpointTls(context), server_name="backend.test", seconds=10
    )
    task = asyncio.create_task(connecting)
    context.leave = task.cancel
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(10):  # turns of the loop, in which it would go on with it
        await asyncio.sleep(0)
    return said


def test_a_client_that_leaves_in_a_handshake_is_no_error(certificates: Path) -> None:
    """The connection to the backend is closed, and the log has no error of the loop."""
    context = _AtOnce(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificates / "ca.pem")
    context.sslobject_class = _Handshake
    with _Backend(server_side(certificates, "good")) as backend:
        context.backend = backend.server_address[1]
        threading.Thread(target=backend.serve_forever, args=(0.01,), daemon=True).start()
        assert uvloop.run(_leave_in_the_handshake(context)) == []
        backend.shutdown()
