import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.sync.client import connect

from tests.support import free_port

from .conftest import Demo
from .programs import ROOT, require

WRAPPER = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/flowmaster.conf;
}}
"""


def configure(directory: Path, *, port: int, gateway: str, frontend: str) -> list[str]:
    """Copy the shipped file with other addresses in it; the command that runs nginx with the copy."""
    text = (ROOT / "deploy/nginx/flowmaster.conf").read_text()
    for shipped, used in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "127.0.0.1:9000": gateway,
        "127.0.0.1:3000": frontend,
    }.items():
        assert shipped in text
        text = text.replace(shipped, used)
    (directory / "flowmaster.conf").write_text(text)
    (directory / "nginx.conf").write_text(WRAPPER.format(directory=directory))
    return [require("nginx"), "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


@pytest.fixture(scope="module")
def nginx(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real nginx with the shipped file, whose gateway and frontend are demo backends."""
    port = free_port()
    command = configure(tmp_path_factory.mktemp("nginx"), port=port, gateway=demo.gateway, frontend=demo.frontend)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen: list[str] = []
    while not seen or "start worker process " not in seen[-1]:
        seen.append(process.stderr.readline())
        assert seen[-1], "".join(seen)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.communicate()


def test_nginx_accepts_the_file_without_a_warning(tmp_path: Path) -> None:
    """`nginx -t` has nothing to say against the shipped file."""
    command = configure(tmp_path, port=free_port(), gateway="127.0.0.1:9000", frontend="127.0.0.1:3000")
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr


@pytest.mark.parametrize("path", ["/api/v1/process-design/x", "/api/v1/a%20b%2Fc", "/ws/chat"])
def test_keeps_the_prefix_and_the_path_byte_for_byte(nginx: str, path: str) -> None:
    """What is below /api/ and /ws/ reaches the gateway under the path that the client sent."""
    answer = httpx2.get(f"http://{nginx}{path}?q=%2F").json()
    assert (answer["service"], answer["path"], answer["query"]) == ("gateway", path, "q=%2F")


def test_everything_else_is_the_frontend(nginx: str) -> None:
    """A path below neither prefix goes to the frontend."""
    assert httpx2.get(f"http://{nginx}/apicture").json()["service"] == "frontend"


def test_says_who_the_client_is(nginx: str) -> None:
    """The gateway learns the client's address, scheme and host, and the Host header is the client's own."""
    headers = httpx2.get(f"http://{nginx}/api/", headers={"X-Forwarded-For": "192.0.2.1"}).json()["headers"]
    assert headers["x-forwarded-for"] == "192.0.2.1, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == headers["host"] == nginx


def test_a_client_cannot_speak_for_nginx(nginx: str) -> None:
    """A client's own Forwarded, -Proto and -Host headers do not come through as if nginx had said them."""
    forged = {"Forwarded": "for=192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "bank.example"}
    headers = httpx2.get(f"http://{nginx}/api/", headers=forged).json()["headers"]
    assert "forwarded" not in headers
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == nginx


def test_a_client_makes_up_neither_ids_nor_traces(nginx: str) -> None:
    """The request id is nginx's own, new for every request, and a client's trace is not continued."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traces = {"traceparent": trace, "tracestate": "a=b", "baggage": "a=b", "b3": "1"}
    traces |= dict.fromkeys(("X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled", "X-B3-Flags"), "1")
    forged = {"X-Request-ID": "forged"} | traces
    first, second = (httpx2.get(f"http://{nginx}/api/", headers=forged).json()["headers"] for _ in range(2))
    assert re.fullmatch("[0-9a-f]{32}", first["x-request-id"])
    assert first["x-request-id"] != second["x-request-id"]
    assert not {name.lower() for name in traces} & set(first)


OF_PROXIES = (
    "X-Forwarded-Prefix X-Forwarded-Ssl X-Forwarded-Server X-SSL-Client-Cert Client-Cert Front-End-Https X-Url-Scheme "
    "X-Original-URL X-Original-Host X-Rewrite-URL X-Script-Name X-HTTP-Method-Override X-Client-IP True-Client-IP "
    "CF-Connecting-IP Remote-User X-Accel-Mapping X-Sendfile-Type X_Forwarded_For"
)


def test_nothing_comes_through_that_the_gateway_takes_from_proxies_only(nginx: str) -> None:
    """What frameworks believe because a proxy is to write it is removed, and the port is the one that was asked for."""
    forged = dict.fromkeys([*OF_PROXIES.split(), "X-Forwarded-Port", "X-Real-IP"], "1")
    headers = httpx2.get(f"http://{nginx}/api/", headers=forged).json()["headers"]
    assert not {name.lower() for name in OF_PROXIES.split()} & set(headers)
    assert (headers["x-forwarded-port"], headers["x-real-ip"]) == (nginx.partition(":")[2], "127.0.0.1")


def test_a_client_that_names_no_host_is_served(nginx: str) -> None:
    """An HTTP/1.0 request without Host is passed on with one."""
    address, port = nginx.split(":")
    with socket.create_connection((address, int(port)), timeout=10) as client:
        client.sendall(b"GET /api/old HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b" 200 OK\r\n" in answer
    assert b'"host": "localhost"' in answer


def test_connections_to_the_gateway_are_kept(nginx: str) -> None:
    """A plain request asks the gateway neither to close the connection nor to upgrade it."""
    headers = httpx2.get(f"http://{nginx}/api/").json()["headers"]
    assert "connection" not in headers
    assert "upgrade" not in headers


def test_an_event_is_with_the_client_when_it_is_sent(nginx: str) -> None:
    """The first event of a stream arrives although the second one is an hour away."""
    with httpx2.stream("GET", f"http://{nginx}/api/v1/x/events?interval=3600", timeout=20) as answer:
        assert next(answer.iter_lines()) == "id: 1"


@pytest.mark.parametrize("path", ["/ws/chat/ws", "/api/v1/scheduling/ws"])
def test_websockets_pass(nginx: str, path: str) -> None:
    """A WebSocket goes through below /ws/ and below /api/ alike."""
    with connect(f"ws://{nginx}{path}") as websocket:
        websocket.send("over nginx")
        assert websocket.recv(10) == "over nginx"


def test_a_large_upload_passes(nginx: str) -> None:
    """A body far over nginx's own default limit arrives whole."""
    pieces = (b"x" * 65536 for _ in range(256))
    answer = httpx2.post(f"http://{nginx}/api/upload", content=pieces, timeout=60).json()
    assert answer["body_length"] == 16 * 1024 * 1024


def test_with_tls(demo: Demo, tmp_path: Path) -> None:
    """With the TLS file in place of `listen 80;`, HTTPS reaches the gateway with its scheme, and HTTP is redirected."""
    plain, secure = free_port(), free_port()
    command = configure(tmp_path, port=plain, gateway=demo.gateway, frontend=demo.frontend)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [require("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    made += ["-subj", "/CN=127.0.0.1", "-days", "1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    text = (ROOT / "deploy/nginx/flowmaster-tls.conf").read_text()
    for shipped, used in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{secure} ssl;",
        "/etc/nginx/tls/fullchain.pem": str(certificate),
        "/etc/nginx/tls/privkey.pem": str(key),
    }.items():
        assert shipped in text
        text = text.replace(shipped, used)
    (tmp_path / "flowmaster-tls.conf").write_text(text)
    server = tmp_path / "flowmaster.conf"
    included = f"include {tmp_path}/flowmaster-tls.conf;"
    server.write_text(server.read_text().replace(f"listen 127.0.0.1:{plain};", included))
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "start worker process " not in (line := process.stderr.readline()):
            assert line
        answer = httpx2.get(f"https://127.0.0.1:{secure}/api/x", verify=False)
        assert answer.json()["headers"]["x-forwarded-proto"] == "https"
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        sent_on = httpx2.post(f"http://127.0.0.1:{plain}/api/x?y=1")
        assert (sent_on.status_code, sent_on.headers["location"]) == (308, "https://127.0.0.1/api/x?y=1")
    finally:
        process.terminate()
        process.communicate()
