"""`gateway explain` says of any request where it would go, and why."""

from __future__ import annotations

import asyncio
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.check import compile_offline
from gateway.explain import explain
from gateway.middleware.table import POLICIES
from gateway.snapshot import Snapshot
from tests.cli.support import configured, gateway


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return compile_offline(configured(tmp_path_factory.mktemp("explain")))


def _explain(snapshot: Snapshot, method: str, url: str, *headers: tuple[str, str]) -> dict[str, Any]:
    return asyncio.run(explain(snapshot, method, url, headers))


def _lost(explained: dict[str, Any]) -> dict[str, str]:
    return {loser["route"]: loser["why"] for loser in explained["lost"]}


def test_the_winner_is_explained_completely(snapshot: Snapshot) -> None:
    """Which route and why, the path before and after, what the wildcards took, the handlers in order, the endpoints."""
    explained = _explain(snapshot, "GET", "http://x/api/v1/process-design/7?q=1")
    assert explained["request"] == "GET http://x/api/v1/process-design/7?q=1"
    assert (explained["host"], explained["path"], explained["sent"]) == (
        "x",
        "/v1/process-design/7",
        "/api/v1/processes/7",
    )
    assert explained["original_path"] == "/api/v1/process-design/7"
    assert explained["result"] == 'route "design"'
    assert "base path" in explained["why"]
    assert any(handler.startswith("body_limit: BodyLimit(") for handler in explained["handlers"])
    assert explained["handlers"][-1] == "Cluster(127.0.0.1:9003)"
    assert explained["endpoints"] == ["127.0.0.1:9003"]


EVERY_POLICY = """
telemetry: {otlp: http://127.0.0.1:4318}
request_id: {echo: true}
trace: {b3: single}
audit_log: {file: audit.log, on_failure: closed}
maintenance: {enabled: true, exempt_networks: [10.0.0.0/8]}
blocklist: {entries: [{user_agent: bad*, reason: x}, {consumer: a, reason: x}]}
ip_allow: {x: {networks: [10.0.0.0/8]}}
cors: {x: {origins: ["https://a.example"]}}
headers: {x: {request: {set: {x-a: "1"}}, response: {set: {x-b: "2"}}}}
compression: {encodings: [gzip]}
rate_limits: {first: {limits: [10/s], key: [address]}, second: {limits: [20/s]}}
quotas: {x: {limit: 100, window: day}}
cache: {}
content_types: {x: {allow: [text/plain]}}
order: [rate_limits.first, authentication]
"""


def test_handlers_have_the_names_that_order_takes(tmp_path: Path) -> None:
    """In front of what each is and does, in words: there is no object of Python among them."""
    (tmp_path / "routes.yaml").write_text(
        "routes: [{id: r, path: /*, target: 'a:1', priority: low, auth: [keys], "
        "authorize: [{consumers: [a]}], cache: true}]\n"
    )
    (tmp_path / "middleware.yaml").write_text(EVERY_POLICY)
    (tmp_path / "auth.yaml").write_text("schemes: {keys: {api_key: {}}}\nconsumers: [{name: a}]\n")
    explained = _explain(compile_offline(tmp_path), "GET", "/x")
    named = [handler.partition(": ")[0] for handler in explained["handlers"][:-1]]
    assert set(named) == {policy.name for policy in POLICIES} - {"policies"} | {"rate_limits.first"}
    assert named.index("rate_limits.first") < named.index("authentication") < named.index("rate_limits")
    assert not re.search(r"object|0x|=<|\bNone\b", str(explained["handlers"])), explained["handlers"]


def test_every_loser_has_a_reason(snapshot: Snapshot) -> None:
    """Each route that did not take the request is there once, with why."""
    explained = _explain(snapshot, "GET", "/v1/process-design/7/pdf")
    assert explained["result"] == 'route "pdf"'
    assert explained["parameters"] == {"id": "7"}
    lost = _lost(explained)
    assert set(lost) == {"design", "draft", "files", "app"}
    assert "x-stage" in lost["draft"]
    assert "less specific" in lost["design"]


def test_headers_decide(snapshot: Snapshot) -> None:
    """A header that is given counts as it would in a request, whatever its case."""
    explained = _explain(snapshot, "GET", "/v1/process-design/7/pdf", ("X-Stage", "draft"))
    assert explained["result"] == 'route "draft"'


def test_a_host_header_goes_before_the_host_of_the_url(snapshot: Snapshot) -> None:
    """As with curl, -H 'Host: ...' says which host is asked."""
    assert _explain(snapshot, "GET", "http://a.example.com/app")["result"] == 'route "app"'
    explained = _explain(snapshot, "GET", "http://a.example.com/app", ("Host", "else.where"))
    assert explained["result"] == "404: no route takes it"
    assert "else.where" in _lost(explained)["app"]


def test_a_condition_on_the_host_reads_that_of_the_url(tmp_path: Path) -> None:
    """`headers.host` is the host that the URL names, as it is in the request that a client would send."""
    (tmp_path / "routes.yaml").write_text(
        "- {path: /*, target: '127.0.0.1:9', authorize: [{when: 'headers.host == \"shop.example\"'}]}"
    )
    snapshot = compile_offline(tmp_path)
    assert _explain(snapshot, "GET", "http://shop.example:8443/x")["outcome"] == "forwarded"
    assert _explain(snapshot, "GET", "http://other.example/x")["outcome"] == "refused"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PRI"])
def test_a_method_that_no_route_can_name_is_explained(snapshot: Snapshot, method: str) -> None:
    """No advice is given that `gateway check` would refuse: these are never forwarded."""
    explained = _explain(snapshot, method, "/v1/process-design/7")
    assert explained["result"] == f"501: {method} is never forwarded, and no route may name it"
    assert explained["outcome"] == "no route"


def test_the_server_as_a_whole_is_asked(snapshot: Snapshot) -> None:
    """`OPTIONS *` is for no route: the gateway answers it."""
    explained = _explain(snapshot, "OPTIONS", "*")
    assert explained["outcome"] == "answered"
    assert "the server as a whole" in explained["result"]


def test_a_url_that_is_too_long_is_refused(snapshot: Snapshot) -> None:
    """As the gateway does, by `limits.url`, with the query and without the host."""
    room = snapshot.configuration.middleware.limits.url - len("/v1/process-design/?a")
    fits = "/v1/process-design/" + "a" * room + "?a"
    assert _explain(snapshot, "GET", "http://x" + fits)["outcome"] == "forwarded"
    explained = _explain(snapshot, "GET", fits + "b")
    assert explained["outcome"] == "refused"
    assert explained["result"] == "414: the URL is over 8192 bytes; limits.url is the limit"


def test_a_client_is_an_address(tmp_path: Path) -> None:
    """What is no address is not taken for a client that no list of networks has."""
    configured(tmp_path)
    result = gateway("explain", "--client", "nonsense", "GET", "/v1/process-design/7", config=tmp_path)
    assert result.returncode == 2
    assert "'nonsense' is no address of a client; write 203.0.113.7, or 2001:db8::7" in result.stderr


def test_a_preflight_is_answered(tmp_path: Path) -> None:
    """It needs no credential, and no route for OPTIONS: the gateway answers it; of another origin it says what for."""
    (tmp_path / "routes.yaml").write_text("[{path: /shop, id: shop, target: 'shop:80', methods: [PUT]}]")
    (tmp_path / "auth.yaml").write_text("{default: [keys], schemes: {keys: {api_key: {header: X-API-Key}}}}")
    (tmp_path / "middleware.yaml").write_text("cors: {app: {origins: ['https://app.example.com']}}")
    snapshot = compile_offline(tmp_path)
    asks = ("Access-Control-Request-Method", "PUT")
    known = _explain(snapshot, "OPTIONS", "/shop", ("Origin", "https://app.example.com"), asks)
    assert known["outcome"] == "answered"
    assert known["verdict"] == "answered by cors:app: to a preflight: pages of https://app.example.com may call"
    assert known["rules"] == ["answer cors:app: to a preflight: pages of https://app.example.com may call"]
    other = _explain(snapshot, "OPTIONS", "/shop", ("Origin", "https://other.example"), asks)
    assert other["outcome"] == "refused"
    assert "https://other.example is not among the origins" in other["verdict"]


def test_a_wrong_method_is_explained(snapshot: Snapshot) -> None:
    """The methods that the path takes are named, and which route refuses this one."""
    routes = _explain(snapshot, "DELETE", "/v1/process-design/7/pdf", ("x-stage", "other"))
    assert routes["result"] == 'route "design"'
    assert "DELETE" in _lost(routes)["pdf"]


def test_an_already_rewritten_path_is_explained(snapshot: Snapshot) -> None:
    """That a path is taken as rewritten, and sent unchanged, is said."""
    explained = _explain(snapshot, "GET", "/api/v1/processes/7")
    assert (explained["result"], explained["sent"]) == ('route "design"', "/api/v1/processes/7")
    assert "rewritten" in explained["why"]


def test_an_encoded_slash_is_explained(snapshot: Snapshot) -> None:
    """A route that takes no encoded slash is named with the key that allows it; one that does gets it as it is."""
    explained = _explain(snapshot, "GET", "/v1/process-design/a%2Fb")
    assert explained["result"].startswith('400: route "design"')
    assert "allow_encoded_slashes" in explained["result"]
    assert _explain(snapshot, "GET", "/files/a%2Fb")["sent"] == "/a%2Fb"


def test_an_ambiguous_path_is_explained(snapshot: Snapshot) -> None:
    """What no request may carry is a 400 with the reason."""
    assert _explain(snapshot, "GET", "/v1/%zz")["result"].startswith("400: ")
    assert _explain(snapshot, "GET", "/v1/%00")["result"].startswith("400: ")


def test_dot_segments_are_shown_as_they_are_matched(snapshot: Snapshot) -> None:
    """The path is shown as it is after normalisation."""
    assert _explain(snapshot, "GET", "/x/../v1/process-design/./7")["path"] == "/v1/process-design/7"


def test_two_slashes_at_the_beginning_name_no_host(snapshot: Snapshot) -> None:
    """`//files//a` is a path, whose slashes are sent as they came."""
    explained = _explain(snapshot, "GET", "//files//a")
    assert (explained["host"], explained["path"], explained["original_path"]) == ("-", "/files/a", "//files//a")
    assert (explained["result"], explained["sent"]) == (_explain(snapshot, "GET", "/files/a")["result"], "//a")


def test_probes_are_explained(snapshot: Snapshot) -> None:
    """No route ever sees a health probe."""
    assert "probe" in _explain(snapshot, "GET", "/health/ready")["result"]
    assert _explain(snapshot, "POST", "/health")["result"].startswith("404")


def test_services_and_applications_are_explained(snapshot: Snapshot) -> None:
    """All endpoints of a service, its timeouts, and an application by its name."""
    explained = _explain(snapshot, "GET", "/files/a")
    assert explained["endpoints"] == ["127.0.0.1:9005", "[::1]:9006"]
    assert "total 2 s" in explained["timeouts"]
    assert _explain(snapshot, "GET", "http://b.example.com/app")["endpoints"] == ["asgi:tests.lifecycle.apps:one"]


def test_a_url_without_a_path_asks_for_the_root(snapshot: Snapshot) -> None:
    """http://x is the same request as http://x/."""
    assert _explain(snapshot, "GET", "http://x")["path"] == "/"


def test_the_command_prints_for_people(tmp_path: Path) -> None:
    """One line for each thing, and a list of losers with their reasons."""
    ended = gateway("explain", "get", "/v1/process-design/7", "--config", str(configured(tmp_path)))
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert "request: GET /v1/process-design/7" in lines
    assert 'result: route "design"' in lines
    assert "sent: /api/v1/processes/7" in lines
    assert any(line.startswith("  pdf (/v1/process-design/{id}/pdf): ") for line in lines)


def test_the_command_prints_for_machines(tmp_path: Path) -> None:
    """--json gives the same as an object."""
    arguments = ["/v1/process-design/7/pdf", "-H", "X-Stage: draft", "--json"]
    ended = gateway("explain", "GET", *arguments, config=configured(tmp_path))
    assert json.loads(ended.stdout)["result"] == 'route "draft"'


@pytest.mark.parametrize(
    ("arguments", "said"), [(["/x", "-H", "no colon"], "is no header"), (["http://[::1/x"], "neither a path nor a URL")]
)
def test_an_invalid_question_is_reported(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A header without a colon, or half an address, ends with exit code 2 and what was expected."""
    ended = gateway("explain", "GET", *arguments, config=configured(tmp_path))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


KEY = "a-key-that-nobody-would-guess"
OPEN = f"""\
routes:
- {{path: /a, id: known, target: 127.0.0.1:9003, headers: {{x-api-key: {KEY}}}}}
- {{path: /a, id: at, target: 127.0.0.1:9003, headers: {{x-api-key: "@home"}}}}
- {{path: /a, id: other, target: 127.0.0.1:9003}}
"""


@pytest.mark.parametrize(
    ("value", "given", "route"),
    [
        ("@{file}", None, "known"),
        ("@-", f"{KEY}\n", "known"),
        ("@-", f"{KEY}\r\n", "known"),
        ("@-", KEY, "known"),
        ("@-", "wrong\n", "other"),
        ("@@home", None, "at"),
    ],
)
def test_a_secret_is_read_from_elsewhere(tmp_path: Path, value: str, given: str | None, route: str) -> None:
    """The value of a header comes from a file or standard input, so that it is in no list of processes; @@ is an @."""
    configured(tmp_path, OPEN)
    (tmp_path / "key").write_text(f"{KEY}\n")
    header = f"X-API-Key: {value.replace('{file}', str(tmp_path / 'key'))}"
    ended = gateway("explain", "GET", "/a", "-H", header, config=tmp_path, given=given)
    assert f'result: route "{route}"' in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"", "one line"),
        (b"one-secret\ntwo\n", "one line"),
        (b"a\0b", "one line"),
        (b"\xff", "not UTF-8"),
        (b"x" * 70_000, "one line"),
    ],
)
def test_a_file_that_holds_no_value(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """It is said which file is wrong and how, without what is in it."""
    configured(tmp_path, OPEN)
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    ended = gateway("explain", "GET", "/a", "-H", f"X-API-Key: @{tmp_path / 'key'}", config=tmp_path)
    assert ended.returncode == 2
    shown = " ".join(ended.stderr.split())
    assert reason in shown
    assert "one-secret" not in ended.stderr


OUTCOMES = """\
routes:
- {path: /a, id: a, target: 127.0.0.1:9003, methods: [POST], max_body: 4}
- {path: /old, redirect: /new}
- {path: /gone, respond: 410}
- {path: /keyed, target: 127.0.0.1:9003, auth: [keys]}
"""
KEYS = """\
schemes: {keys: {api_key: {header: X-API-Key}}}
consumers: [{name: acme, keys: [{hash: "sha256:%s"}]}]
"""


@pytest.mark.parametrize(
    ("question", "code", "outcome"),
    [
        (["POST", "/a"], 0, "forwarded"),
        (["GET", "/old"], 0, "redirected"),
        (["GET", "/gone"], 0, "answered"),
        (["GET", "/health"], 0, "answered"),
        (["GET", "/nowhere"], 3, "no route"),
        (["GET", "/a"], 3, "no route"),
        (["BREW", "/old"], 3, "no route"),
        (["GET", "/a/..;/b"], 4, "refused"),
        (["GET", "/keyed"], 4, "refused"),
        (["GET", "/keyed", "-H", "X-API-Key: wrong"], 4, "refused"),
        (["POST", "/a", "--body", "long"], 0, "forwarded"),
        (["POST", "/a", "--body", "too long"], 4, "refused"),
        (["POST", "/a", "--body", "@@abc"], 0, "forwarded"),
        (["POST", "/a", "--body", "@{file}"], 4, "refused"),
    ],
)
def test_the_exit_code_says_what_becomes_of_it(tmp_path: Path, question: list[str], code: int, outcome: str) -> None:
    """0 where it is forwarded, redirected or answered, 3 without a route for it, 4 where a rule refuses it; so scripts
    need not read what is printed."""
    configured(tmp_path, OUTCOMES)
    (tmp_path / "auth.yaml").write_text(KEYS % sha256(b"right").hexdigest())
    (tmp_path / "body").write_bytes(b"12345")
    asked = [part.replace("{file}", str(tmp_path / "body")) for part in question]
    ended = gateway("explain", *asked, "--json", config=tmp_path)
    assert (ended.returncode, json.loads(ended.stdout)["outcome"]) == (code, outcome)


def test_a_body_that_is_named_as_a_file_that_is_not_there_is_pointed_out(tmp_path: Path) -> None:
    """It is the body itself then, which its author hardly meant; what is JSON is not taken for a name."""
    configured(tmp_path, OUTCOMES)
    (tmp_path / "auth.yaml").write_text(KEYS % sha256(b"right").hexdigest())
    missed = gateway("explain", "POST", "/a", "--body", "no.json", config=tmp_path)
    assert "warning: there is no file no.json: it is taken as the body itself" in missed.stderr
    assert "no file" not in gateway("explain", "POST", "/a", "--body", '["a.json', config=tmp_path).stderr


def test_a_wrong_configuration_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """1 says that the files are wrong, and not the request."""
    assert gateway("explain", "GET", "/", config=configured(tmp_path, "routes: [{path: x}]")).returncode == 1
    assert gateway("explain", "GET", "/", "--body", "@nothing-here", config=tmp_path).returncode == 2


SILENT = """\
class Own:
    def wrap(self, handler):
        return handler
"""


def test_a_policy_that_says_nothing_leaves_it_undecided(tmp_path: Path) -> None:
    """Exit code 0, as where another service would have to be asked; a rule that refuses the request decides it."""
    configured(tmp_path, "routes: [{id: r, path: /*, target: '127.0.0.1:9'}]\n")
    (tmp_path / "own.py").write_text(SILENT)
    (tmp_path / "middleware.yaml").write_text(
        "policies: {own: {class: 'own.py:Own'}}\nip_allow: {near: {networks: [10.0.0.0/8]}}\n"
    )
    ended = gateway("explain", "GET", "/x", "--client", "10.0.0.1", config=tmp_path)
    assert ended.returncode == 0
    assert (
        "verdict: undecided: not asked, as they have no `explain`: own; without them it would be allowed"
        in ended.stdout
    )
    assert "outcome: undecided" in ended.stdout
    assert gateway("explain", "GET", "/x", "--client", "11.0.0.1", config=tmp_path).returncode == 4
