"""Access to the admin port: no page of another site, and no change without a token."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.admin.port_users import users_of
from gateway.admin.tokens import hash_of, local_token
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, free_port, running_gateway, until

ROUTES = """
routes:
- {id: open, path: /open/*, target: "asgi:tests.lifecycle.apps:one"}
- {id: keyed, path: /keyed/*, target: "asgi:tests.lifecycle.apps:one", auth: [keys]}
- {id: live, path: /live/*, target: "asgi:tests.lifecycle.apps:one", auth: [tokens]}
"""
AUTH = """
schemes:
  keys: {api_key: {header: X-API-Key, query: key}}
  tokens:
    jwt:
      from: {websocket_protocol: bearer}
      issuers: [{issuer: here, audiences: [], algorithms: [HS256], secret: 0123456789abcdef0123456789abcdef}]
consumers:
- {name: acme, keys: ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}
"""  # the hash of "secret"
READER, WRITER = "gwa_a-token-that-may-read-only", "gwa_a-token-that-may-also-write"
MIDDLEWARE = f"""
admin:
  hosts: [admin.example, "other.example:8443"]
  tokens:
  - {{name: reader, hash: "{hash_of(READER)}"}}
  - {{name: writer, role: write, hash: "{hash_of(WRITER)}"}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("access"), ROUTES, MIDDLEWARE, AUTH) as process:
        yield process


def _status(gateway: GatewayProcess, method: str, path: str, **headers: str) -> int:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.request(method, admin_url(gateway, path), headers=lines, timeout=20).status_code


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST", 200),
        ("[::1]:9001", 200),
        ("127.0.0.2", 200),
        ("admin.example", 200),
        ("admin.example:8080", 200),
        ("other.example:8443", 200),
        ("other.example", 421),
        ("evil.example", 421),
        ("evil.example:{port}", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost@evil.example", 421),
        ("10.0.0.1", 421),
        ("localhost:", 421),
        ("localhost:99999", 421),
        ("", 421),
    ],
)
def test_only_its_own_names_are_answered(gateway: GatewayProcess, host: str, status: int) -> None:
    """A page whose name suddenly means 127.0.0.1 still sends its own name, and reads nothing."""
    assert _status(gateway, "GET", "/config", host=host.format(port=gateway.admin_port)) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 200),
        ("http://admin.example", 200),
        ("https://other.example:8443", 200),
        ("http://localhost:3000", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("file://127.0.0.1:{port}", 403),
    ],
)
def test_pages_of_other_origins_are_refused(gateway: GatewayProcess, origin: str, status: int) -> None:
    """Also of another port of this machine, and with the right token."""
    origin = origin.format(port=gateway.admin_port)
    assert _status(gateway, "GET", "/health", origin=origin) == status
    token = f"Bearer {WRITER}"
    assert _status(gateway, "POST", "/reload", origin=origin, authorization=token) == status


def test_a_form_of_another_site_does_nothing(gateway: GatewayProcess) -> None:
    """A browser sends it without asking; it has no token."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = httpx2.post(admin_url(gateway, "/reload"), headers=form, content=b"a=b")
    assert answer.status_code == 401
    assert "token" in answer.json()["error"]
    assert _status(gateway, "GET", "/config", sec_fetch_site="cross-site") == 403


@pytest.mark.parametrize(
    ("token", "reading", "writing"),
    [
        ("", 200, 401),
        ("Bearer wrong", 401, 401),
        (f"Basic {WRITER}", 401, 401),
        (f"Bearer {READER}", 200, 403),
        (f"bearer {WRITER}", 200, 200),
    ],
)
def test_changing_needs_a_token_that_may_write(gateway: GatewayProcess, token: str, reading: int, writing: int) -> None:
    """Reading is open on a loopback address; a token that is shown must be right."""
    headers = {"authorization": token} if token else {}
    assert _status(gateway, "GET", "/routes", **headers) == reading
    assert _status(gateway, "POST", "/reload", **headers) == writing
    entry = {"network": "203.0.113.7"}
    blocked = httpx2.post(admin_url(gateway, "/blocklist"), json=entry, headers=headers)
    assert blocked.status_code == (201 if writing == 200 else writing)
    lifted = httpx2.delete(admin_url(gateway, "/blocklist?kind=network&value=203.0.113.7"), headers=headers)
    assert lifted.status_code == writing


def test_the_token_of_this_machine_is_for_its_owner(gateway: GatewayProcess) -> None:
    """It is in a file of mode 0600 in the state directory, where the commands find it by themselves."""
    path = gateway.directory / "state" / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _status(gateway, "POST", "/reload", **gateway.admin_token) == 200
    assert path.read_text().strip() not in gateway.log
    command = ("blocklist", "add", "--network", "203.0.113.8", "--admin", f"127.0.0.1:{gateway.admin_port}")
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    done = cli(*command, environment={"GATEWAY_ADMIN_TOKEN": READER})
    assert done.returncode == 1
    assert "may only read" in done.stderr


def test_a_token_that_others_could_read_is_replaced(tmp_path: Path) -> None:
    """A file with looser permissions is not trusted at the next start."""
    state = tmp_path / "config" / "state"
    with running_gateway(tmp_path, ROUTES, auth=AUTH) as process:
        first = process.admin_token
        process.stop()
        process.start()
        assert process.admin_token == first
        process.stop()
        (state / "admin-token").chmod(0o644)
        process.start()
        assert process.admin_token != first
        assert _status(process, "POST", "/reload", **process.admin_token) == 200


def test_to_test_keys_needs_a_token(gateway: GatewayProcess) -> None:
    """/explain with a credential says whether it is right: not to everybody, and not without a line in the log. A
    command of the user who runs the gateway finds the token by itself."""
    for query in (
        "url=/keyed/x&header=X-API-Key: secret",
        "url=/keyed/x?key=secret",
        "url=/keyed/x?a%23%26key=secret",
        "url=/x&header=cookie: a=b",
        "url=/live/x&header=Upgrade: websocket&header=Sec-WebSocket-Protocol: chat, bearer.secret",
    ):
        url = admin_url(gateway, f"/explain?{query}")
        answer = httpx2.get(url)
        assert (answer.status_code, "rules" in answer.json()) == (401, False)
        logged = len(gateway.log)
        assert httpx2.get(url, headers={"authorization": f"Bearer {READER}"}).status_code == 200
        until(lambda: "explained to reader" in gateway.log[logged:])  # noqa: B023  it is called at once
    where = ("--running", "--admin", f"127.0.0.1:{gateway.admin_port}")
    done = cli("explain", *where, "GET", "/keyed/x", "-H", "X-API-Key: secret")
    assert "verdict: " in done.stdout, done.stderr
    assert "secret" not in gateway.log
    for query in ("url=/open/x&header=accept: text/html", "url=/live/x&header=Sec-WebSocket-Protocol: chat"):
        assert httpx2.get(admin_url(gateway, f"/explain?{query}")).status_code == 200


def test_what_is_no_url_is_not_explained(gateway: GatewayProcess) -> None:
    """What cannot be a URL is a 400 that says so, with a query as without."""
    for url in ("http://[", "http://[?a=1", "http://[?key=secret"):
        answer = httpx2.get(admin_url(gateway, "/explain"), params={"url": url})
        assert (answer.status_code, "neither a path nor a URL" in answer.json()["error"]) == (400, True)


def test_an_open_port_without_a_token_is_not_opened(tmp_path: Path) -> None:
    """Any address but loopback: the gateway does not start, and says what to do."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "auth.yaml").write_text(AUTH)
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path), "--host", "127.0.0.1"]
    command += ["--port", str(free_port()), "--admin", f"0.0.0.0:{free_port()}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "gateway admin token new" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_open_port_needs_a_token_for_everything(tmp_path: Path) -> None:
    """Also for reading; and a reload that takes the last token away is refused."""
    port = free_port()
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE, AUTH, arguments=("--admin", f"0.0.0.0:{port}")) as process:
        process.admin_port = port
        assert _status(process, "GET", "/health") == 401
        assert _status(process, "GET", "/health", authorization=f"Bearer {READER}") == 200
        assert _status(process, "GET", "/health", authorization=f"Bearer {READER}", host="evil.example") == 421
        assert not (process.directory / "state" / "admin-token").exists()
        process.write(middleware="limits: {headers: 50}\n")
        answer = httpx2.post(admin_url(process, "/reload"), headers={"authorization": f"Bearer {WRITER}"}, timeout=20)
        assert answer.status_code == 422
        assert "gateway admin token new" in str(answer.json())
        assert _status(process, "GET", "/health", authorization=f"Bearer {READER}") == 200


def test_a_new_token_works_as_it_is_printed(tmp_path: Path) -> None:
    """`gateway admin token new` prints the token, and the YAML to paste."""
    printed = cli("admin", "token", "new", "--name", "ci", "--role", "write").stdout
    token = next(line for line in printed.splitlines() if line.startswith("gwa_"))
    with running_gateway(tmp_path, ROUTES, printed[printed.index("admin:") :], AUTH) as process:
        assert _status(process, "POST", "/reload", authorization=f"Bearer {token}") == 200
        until(lambda: "POST /reload by ci: done" in process.log)
        assert _status(process, "PUT", "/breakers/nope", authorization=f"Bearer {token}") != 200
        until(lambda: "PUT /breakers/nope by ci: not done, 4" in process.log)


def test_while_nothing_is_loaded_the_answer_says_so(tmp_path: Path) -> None:
    """A right token is not called unknown because the files that list it have an error at the start."""
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE, AUTH) as process:
        process.stop()
        process.write(routes="routes: x\n")
        process.start(ready=False)
        answer = httpx2.post(admin_url(process, "/reload"), headers={"authorization": f"Bearer {WRITER}"})
        assert (answer.status_code, "no configuration is loaded" in answer.json()["error"]) == (503, True)
        assert "routes.yaml:1:1" in str(httpx2.get(admin_url(process, "/health")).json()["errors"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what another user's gateway wrote")
def test_the_state_directory_is_for_its_owner(gateway: GatewayProcess) -> None:
    """Whichever of the things in it is written first."""
    assert stat.S_IMODE((gateway.directory / "state").stat().st_mode) == 0o700


def test_metrics_and_health_have_a_port_of_their_own(tmp_path: Path) -> None:
    """For scrapers, under any host name, read-only; nothing else is served, and no errors of files."""
    port = free_port()
    with running_gateway(tmp_path, ROUTES, auth=AUTH, arguments=("--metrics", f"0.0.0.0:{port}")) as process:
        url = f"http://127.0.0.1:{port}"
        page = httpx2.get(url + "/metrics", headers={"host": "gateway.monitoring.svc"})
        assert page.status_code == 200
        assert "gateway_config_good" in page.text
        for path in ("/health", "/health/ready", "/health/live"):
            assert httpx2.get(url + path).json() == get(process, path).json()
        process.write(routes="routes: x\n")
        process.stop()
        process.start(ready=False)
        assert [httpx2.get(url + path).status_code for path in ("/health", "/health/ready", "/health/live")] == [
            503,
            503,
            200,
        ]
        assert httpx2.get(url + "/config").status_code == 404
        assert httpx2.post(url + "/metrics").status_code == 405


def test_big_answers_come_in_pages(tmp_path: Path) -> None:
    """A hundred thousand consumers: what is shown is short, says where it goes on, and delays no request."""
    names = "".join(f"- {{name: c{number:06}}}\n" for number in range(20_000))
    with running_gateway(tmp_path, ROUTES, auth=AUTH.replace("consumers:\n", "consumers:\n" + names)) as process:
        started = time.monotonic()
        page = httpx2.get(admin_url(process, "/config"), timeout=20)
        assert len(page.content) < 100_000
        assert time.monotonic() - started < 15
        assert page.json()["auth.yaml"]["consumers"][-1].startswith(
            "19901 more: /config?at=/auth.yaml/consumers&offset=100"
        )
        following = httpx2.get(admin_url(process, "/config?at=/auth.yaml/consumers&offset=20000")).json()
        assert [consumer["name"] for consumer in following] == ["acme"]
        assert following[0]["keys"][0]["hash"] == "(hidden)"
        assert httpx2.get(admin_url(process, "/config?at=/auth.yaml/consumers/20000/keys/0/hash")).json() == "(hidden)"
        routes = httpx2.get(admin_url(process, "/routes?limit=1"))
        assert ([route["id"] for route in routes.json()], routes.headers["x-total-count"]) == (["open"], "3")
        assert routes.headers["link"] == '</routes?offset=1&limit=1>; rel="next"'
        for wrong in ("/routes?limit=-1", "/config?at=/auth.yaml/none", "/endpoints?offset=x"):
            assert httpx2.get(admin_url(process, wrong)).status_code == 400


def test_what_is_secret_is_hidden_and_nothing_else(tmp_path: Path) -> None:
    """Hashes and what a policy is configured with are not shown; a rule may have the name of such a key."""
    (tmp_path / "p.py").write_text(
        "from pydantic import BaseModel\n\n\nclass Policy:\n    class Config(BaseModel):\n        key: str\n\n"
        "    def __init__(self, config):\n        pass\n\n    def wrap(self, handler):\n        return handler\n"
    )
    policies = "policies: {mine: {class: '../p.py:Policy', config: {key: hush-hush}}}\n"
    limits = "rate_limits: {password: {limits: [10/s]}}\n"
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE + policies + limits, AUTH) as process:
        shown = httpx2.get(admin_url(process, "/config?at=middleware.yaml")).json()
        assert shown["policies"]["mine"]["config"] == "(hidden)"
        assert {token["hash"] for token in shown["admin"]["tokens"]} == {"(hidden)"}
        assert shown["rate_limits"]["password"]["limits"] == ["10/s"]
        at = "/config?at=middleware.yaml/policies/mine/config"
        assert httpx2.get(admin_url(process, at)).json() == "(hidden)"


def test_no_answer_has_the_content_of_a_file(tmp_path: Path) -> None:
    """What `${file:...}` stands for is not read out by the port, wherever it is: in a URL, a path, a predicate."""
    secret = "a-secret-in-a-file"
    (tmp_path / "secret").write_text(f"{secret}\n")
    file = "${file:../secret}"
    routes = f"""
routes:
- {{id: sent, path: /sent/*, target: "asgi:tests.lifecycle.apps:one", rewrite: "/bot{file}/$1"}}
- {{id: predicate, path: /predicate, target: "asgi:tests.lifecycle.apps:one", headers: {{X-Origin: "{file}"}}}}
- {{id: path, path: "/{file}/x", target: "asgi:tests.lifecycle.apps:one"}}
- {{id: answer, path: /answer, respond: {{status: 200, headers: {{X-Mine: "{file}"}}}}}}
- {{id: asked, path: /asked, target: "asgi:tests.lifecycle.apps:one", auth: [asked]}}
"""
    auth = f"schemes: {{asked: {{forward_auth: {{url: 'http://127.0.0.1:1/check?k={file}'}}}}}}\n"
    with running_gateway(tmp_path, routes, auth=auth) as process:
        assert httpx2.get(f"{process.url}/sent/1", timeout=30).status_code == 200
        until(lambda: "/sent/1" in httpx2.get(admin_url(process, "/requests"), timeout=30).text, 30)
        answers = ["/config", "/config?at=/auth.yaml/schemes/asked/forward_auth/url", "/routes", "/map", "/requests"]
        answers += [f"/explain?url={path}" for path in ("/sent/1", "/predicate", "/asked")]
        for path in answers:
            answer = httpx2.get(admin_url(process, path), timeout=30)
            assert (answer.status_code, secret in answer.text) == (200, False), path
        assert "/bot(hidden)/1" in httpx2.get(admin_url(process, "/requests"), timeout=30).text
        with httpx2.stream("GET", admin_url(process, "/events"), timeout=30) as events:
            first = next(line for line in events.iter_lines() if '"requests"' in line)
        assert ("/bot(hidden)/1" in first, secret in first) == (True, False)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/no-such", 404), ("GET", "//config", 404), ("PUT", "/routes", 405)]
)
def test_what_is_no_operation_is_refused_in_json(gateway: GatewayProcess, method: str, path: str, status: int) -> None:
    """As every refusal is."""
    answer = httpx2.request(method, admin_url(gateway, path), headers=gateway.admin_token, timeout=30)
    assert (answer.status_code, "GET /openapi.json" in answer.json()["error"]) == (status, True)
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("index", ["%C2%B2", "%D9%A1", "9" * 5000, "-1", "1e1", "00x"])
def test_what_is_no_index_is_a_400(gateway: GatewayProcess, index: str) -> None:
    """Whatever stands for the place of an item of a list."""
    answer = httpx2.get(admin_url(gateway, f"/config?at=/routes.yaml/routes/{index}"), timeout=30)
    assert (answer.status_code, "unknown key" in answer.json()["error"]) == (400, True)


LISTENER = """\
import os, socket, sys
os.setuid(65534)
port, body = int(sys.argv[1]), b'{"error": "no", "token_file": "%s"}' % sys.argv[2].encode()
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            head = connection.recv(65536).decode()
            print([line for line in head.splitlines() if line.lower().startswith("authorization")], flush=True)
            head = b"HTTP/1.1 401 Unauthorized\\r\\nconnection: close\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body)
            connection.sendall(head + body)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("owner", "shown"), [(65534, True), (0, False)])
def test_a_command_hands_a_token_to_its_owner_only(tmp_path: Path, owner: int, shown: bool) -> None:
    """Root uses the token of a gateway that is another user; who listens while that is down cannot ask for it."""
    port = free_port()
    token = local_token(tmp_path)
    os.chown(token.path, owner, owner)
    command = [sys.executable, "-c", LISTENER, str(port), str(token.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: users_of(port) == {65534})
            cli("blocklist", "add", "--network", "203.0.113.8", "--admin", f"127.0.0.1:{port}")
        finally:
            process.kill()
        assert process.stdout is not None
        asked = process.stdout.read()
    assert asked.startswith("[]\n")
    assert (token.token in asked) is shown
