"""Backends that demand a certificate of the gateway: mutual TLS."""

from __future__ import annotations

import asyncio
import gc
import re
import shutil
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from gateway.check import compile_offline
from gateway.cli import main
from gateway.config.problems import ConfigError
from gateway.upstream.tls import ClientCertificate, TlsSettings, UnusableFile
from tests.support import GatewayProcess, running_gateway, until
from tests.upstream.test_tls import certificate, openssl, server_side


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("issued")
    certificate(directory, "ca", "", 30, None)
    certificate(directory, "server", "IP:127.0.0.1", 30, "ca")
    for name in ("first", "renewed"):
        certificate(directory, name, f"DNS:{name}.test", 30, "ca")
    certificate(directory, "stranger", "DNS:stranger.test", 30, None)
    return directory


def demanding(issued: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = server_side(issued, "server")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(issued / "ca.pem")
    return context


class _Answers(BaseHTTPRequestHandler):
    """With the name in the certificate that it was shown."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        shown = cast(ssl.SSLSocket, self.connection).getpeercert() or {}
        names = cast(Sequence[tuple[str, str]], shown.get("subjectAltName", ()))
        self._answer((names[0][1] if names else "nobody").encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Backend(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.context = context
        self.handshakes = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.handshakes += 1
        with self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, *_: object) -> None:
        """A client that is refused."""


@contextmanager
def backend(context: ssl.SSLContext) -> Iterator[_Backend]:
    with _Backend(context) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def routes(
    issued: Path, *ports: int, tls: str = ", certificate_file: own.pem, key_file: own.key", more: str = ""
) -> str:
    endpoints = ", ".join(f"'127.0.0.1:{port}'" for port in ports)
    service = (
        f"endpoints: [{endpoints}], balance: round_robin, protocol: https, tls: {{ca: '{issued / 'ca.pem'}'{tls}}}"
    )
    return f"services: {{s: {{{service}{more}}}}}\nroutes: [{{id: r, path: /*, target: s}}]\n"


def show(issued: Path, directory: Path, name: str, key: str | None = None) -> None:
    """Make these the certificate and the key of the gateway, each in one go."""
    for source, file in ((f"{name}.pem", "own.pem"), (f"{key or name}.key", "own.key")):
        shutil.copy(issued / source, directory / f".{file}")
        (directory / f".{file}").rename(directory / file)


def get(gateway: GatewayProcess, path: str = "/") -> httpx2.Response:
    return httpx2.get(f"{gateway.url}{path}")


def failing(gateway: GatewayProcess) -> str:
    report = httpx2.get(f"http://127.0.0.1:{gateway.admin_port}/health").json()
    return "\n".join([*report["failing"], *report["errors"]])


def secret_of(issued: Path, name: str) -> str:
    """A line of a private key."""
    return (issued / f"{name}.key").read_text().splitlines()[1]


@pytest.fixture
def configured(tmp_path: Path, issued: Path) -> Path:
    (tmp_path / "config").mkdir()
    show(issued, tmp_path / "config", "first")
    return tmp_path


def test_requests_and_health_checks(configured: Path, issued: Path) -> None:
    """The backend is shown the certificate by requests and by health checks, and nothing says what the key is."""
    with backend(demanding(issued)) as server:
        checked = ", health: {path: /, interval: 1s, initial: unhealthy}"
        with running_gateway(configured, routes(issued, server.server_port, more=checked)) as gateway:
            until(lambda: get(gateway).status_code == 200)
            assert get(gateway).text == "first.test"
            assert httpx2.post(f"{gateway.url}/x", content=b"x" * 100_000).content == b"x" * 100_000
            admin = f"http://127.0.0.1:{gateway.admin_port}"
            said = "".join(httpx2.get(f"{admin}{path}").text for path in ("/config", "/services/s", "/health"))
            assert "own.key" in said
            assert secret_of(issued, "first") not in said + gateway.log + gateway.access_log


def test_comments_between_certificates(configured: Path, issued: Path) -> None:
    """Bundles say in their own language whose certificates they have; a damaged key beside such is the one named."""
    config = configured / "config"
    for source, file in ((issued / "ca.pem", "ca.pem"), (issued / "first.pem", "own.pem")):
        (config / file).write_text(f"# Prüfstelle Főtanúsítvány\n{source.read_text()}", encoding="utf-8")
    with backend(demanding(issued)) as server:
        text = routes(issued, server.server_port).replace(str(issued / "ca.pem"), "ca.pem")
        with running_gateway(configured, text) as gateway:
            assert get(gateway).text == "first.test"
        (config / "own.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
        with pytest.raises(ConfigError) as refused:
            compile_offline(config)
        assert "tls.key_file: own.key cannot be used: it is damaged" in str(refused.value.problems[0])


async def test_websockets(configured: Path, issued: Path) -> None:
    """A tunnel reaches a backend that demands a certificate."""

    async def echo(server: ServerConnection) -> None:
        async for message in server:
            await server.send(message)

    async with serve(echo, "127.0.0.1", 0, ssl=demanding(issued)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with running_gateway(configured, routes(issued, port)) as gateway:
            async with connect(f"ws://127.0.0.1:{gateway.port}/", proxy=None) as client:
                await client.send("hello")
                assert await client.recv() == "hello"


def test_a_renewed_certificate(configured: Path, issued: Path) -> None:
    """It is shown as soon as its files have changed; the key of another one is refused, and the former is shown on."""
    config = configured / "config"
    with (
        backend(demanding(issued)) as server,
        running_gateway(configured, routes(issued, server.server_port)) as gateway,
    ):
        assert get(gateway).text == "first.test"
        show(issued, config, "renewed", key="stranger")
        until(lambda: "tls.key_file: own.key cannot be used: it is not the key of own.pem" in failing(gateway))
        assert get(gateway).text == "first.test"
        show(issued, config, "renewed")
        until(lambda: get(gateway).text == "renewed.test")
        assert failing(gateway) == ""
        assert not any(secret_of(issued, name) in gateway.log for name in ("first", "renewed", "stranger"))


def test_what_is_known_of_an_endpoint_outlives_a_renewal(configured: Path, issued: Path) -> None:
    """It is up, though it would have to be found so at first, and no request fails; connections of before are not
    used."""
    config = configured / "config"
    checked = ", health: {path: /, interval: 1h, initial: unhealthy}"
    with (
        backend(demanding(issued)) as server,
        running_gateway(configured, routes(issued, server.server_port, more=checked)) as gateway,
    ):
        until(lambda: get(gateway).status_code == 200)
        for name in ("renewed", "first"):
            show(issued, config, name)
            answers: list[str] = []
            while f"{name}.test" not in answers:
                answer = get(gateway)
                assert answer.status_code == 200, answer.text
                answers.append(answer.text)
            assert {get(gateway).text for _ in range(5)} == {f"{name}.test"}


async def test_websockets_outlive_a_renewal(configured: Path, issued: Path) -> None:
    """Also longer than the streams of an endpoint that leaves its service go on."""

    async def echo(server: ServerConnection) -> None:
        shown = (server.transport.get_extra_info("ssl_object").getpeercert())["subjectAltName"][0][1]
        async for message in server:
            assert isinstance(message, str)
            await server.send(f"{message} of {shown}")

    async with serve(echo, "127.0.0.1", 0, ssl=demanding(issued)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        drain = "drain: {window: 0s, deadline: 0.1s}"
        with running_gateway(configured, routes(issued, port), drain) as gateway:
            url = f"ws://127.0.0.1:{gateway.port}/"
            async with connect(url, proxy=None) as client:
                show(issued, configured / "config", "renewed")
                said = ""
                while said != "hello of renewed.test":
                    async with connect(url, proxy=None) as other:
                        await other.send("hello")
                        said = str(await other.recv())
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 0.3)
                await client.send("still")
                assert await client.recv() == "still of first.test"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_certificate_is_configured(tmp_path: Path, issued: Path, version: ssl.TLSVersion) -> None:
    """The failure is one of TLS, and its remedy is the setting; the client's request was sent to nobody else."""
    with backend(demanding(issued, version)) as server:
        text = routes(issued, server.server_port, tls="")
        with running_gateway(tmp_path, text, "errors: {detail: full}") as gateway:
            answer = httpx2.post(f"{gateway.url}/x", content=b"order")
            assert answer.status_code == 502
            assert answer.json()["type"].endswith(":upstream-tls")
            assert "`tls.certificate_file` and `tls.key_file` of the service" in answer.json()["detail"]
            assert "demands a certificate" in failing(gateway)
            assert "crash" not in failing(gateway)


def test_a_certificate_that_is_not_accepted(configured: Path, issued: Path) -> None:
    """The alert of the backend is told, and what to correct."""
    show(issued, configured / "config", "stranger")
    with (
        backend(demanding(issued)) as server,
        running_gateway(configured, routes(issued, server.server_port)) as gateway,
    ):
        assert get(gateway).json()["type"].endswith(":upstream-tls")
        assert re.search(
            r"does not accept the certificate of the gateway \(\w*UNKNOWN_CA\); name one", failing(gateway)
        )


def test_another_endpoint_is_asked(tmp_path: Path, issued: Path) -> None:
    """What may be repeated goes to an endpoint that demands nothing."""
    with backend(demanding(issued)) as strict, backend(server_side(issued, "server")) as lenient:
        text = routes(issued, strict.server_port, lenient.server_port, tls="")
        with running_gateway(tmp_path, text) as gateway:
            until(lambda: get(gateway).text == "nobody" and strict.handshakes > 0)
            assert all(get(gateway).status_code == 200 for _ in range(4))


def test_files_that_cannot_be_used(
    configured: Path, issued: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` names the file and the remedy: one that is missing or no PEM, a key of another certificate, an encrypted
    key, which nobody is asked a password for, and one of both without the other."""
    config = configured / "config"
    openssl(config, "pkey", "-aes128", "-passout", "pass:x", "-in", str(issued / "first.key"), "-out", "locked.key")
    (config / "empty.pem").touch()
    (config / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (config / "broken.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    shutil.copy(issued / "renewed.key", config)
    inline = (issued / "first.key").read_text().replace("\n", "\\n")

    def said(certificate_file: str, key_file: str) -> str:
        tls = "".join(
            f", {key}: {value}"
            for key, value in (("certificate_file", certificate_file), ("key_file", key_file))
            if value
        )
        (config / "routes.yaml").write_text(routes(issued, 1, tls=tls))
        with pytest.raises(SystemExit):
            main(["check", "--config", str(config)])
        return capsys.readouterr().err

    def of(key: str, text: str) -> str:
        return f"services.s.tls.{key}: {text}"

    assert of("certificate_file", "no.pem cannot be used: No such file or directory; create it") in said(
        "no.pem", "own.key"
    )
    assert of("key_file", "no.key cannot be used: No such file") in said("own.pem", "no.key")
    assert of("certificate_file", "empty.pem cannot be used: it has no certificate in PEM") in said(
        "empty.pem", "own.key"
    )
    assert of("key_file", "own.pem cannot be used: it has no private key in PEM") in said("own.pem", "own.pem")
    assert of("certificate_file", "broken.pem cannot be used: it is damaged") in said("broken.pem", "own.key")
    assert of("key_file", "broken.key cannot be used: it is damaged") in said("own.pem", "broken.key")
    assert of("key_file", "renewed.key cannot be used: it is not the key of own.pem") in said("own.pem", "renewed.key")
    openssl(config, "genpkey", "-algorithm", "ed25519", "-out", "other.key")
    assert of("key_file", "other.key cannot be used: it is not the key of own.pem") in said("own.pem", "other.key")
    assert of("key_file", "locked.key cannot be used: its key is encrypted") in said("own.pem", "locked.key")
    assert 'services.s.tls: a certificate is shown with its key; add "key_file"' in said("own.pem", "")
    assert 'services.s.tls: a certificate is shown with its key; add "certificate_file"' in said("", "own.key")
    text = said("own.pem", f'"{inline}"')
    assert "expected the name of a file" in text
    assert secret_of(issued, "first")[:8] not in text


@pytest.mark.parametrize(
    ("file", "content", "key", "said"),
    [
        ("own.key", None, "key_file", "No such file"),
        ("own.pem", None, "certificate_file", "No such file"),
        ("own.key", "renewed.key", "key_file", "it is not the key of own.pem"),
        ("own.key", "ca.pem", "key_file", "it has no private key"),
        ("own.pem", "ca.key", "certificate_file", "it has no certificate"),
    ],
)
def test_a_file_that_changes_while_it_is_used_is_named(
    configured: Path, issued: Path, file: str, content: str | None, key: str, said: str
) -> None:
    """Not always the certificate, where it has been fine when it was read."""
    config = configured / "config"
    settings = TlsSettings(client=ClientCertificate.read(config / "own.pem", config / "own.key"))
    if content is None:
        (config / file).unlink()
    else:
        shutil.copy(issued / content, config / file)
    with pytest.raises(UnusableFile, match=said) as error:
        settings.context()
    assert error.value.key == key


def contexts() -> int:
    gc.collect()
    return sum(isinstance(each, ssl.SSLContext) for each in gc.get_objects())


def test_equal_services_share_what_they_trust_and_show(configured: Path, issued: Path) -> None:
    """Each set of certificates takes a megabyte, and some ten milliseconds, once, however many services have it."""
    shutil.copy(issued / "ca.pem", configured / "config")
    settings = [
        "{}",
        "{server_name: other.test}",
        "{ca: ca.pem}",
        "{certificate_file: own.pem, key_file: own.key}",
        "{certificate_file: own.pem, key_file: own.key, ca: ca.pem}",
    ]
    services = "".join(
        f"  s{number}: {{endpoints: ['127.0.0.1:{number + 1}'], protocol: https, tls: {settings[number % 5]}}}\n"
        for number in range(50)
    )
    routes = "".join(f"- {{path: /{number}, target: s{number}}}\n" for number in range(50))
    (configured / "config" / "routes.yaml").write_text(
        f"services:\n{services}routes:\n{routes}- {{path: /, target: 'https://a.test'}}\n"
    )
    before = contexts()
    snapshot = compile_offline(configured / "config")
    assert contexts() - before == 4
    assert len(snapshot.handlers) == 51
