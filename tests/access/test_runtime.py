"""Entries that are made while the gateway runs: by the command line, by the admin API, by failed authentication."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.access.entries import Entry
from gateway.access.runtime_entries import RuntimeEntries
from gateway.access.store import EntryFile
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, reload
from tests.support import GatewayProcess, running_gateway, until

ROUTES = """
routes:
- {id: open, path: /open/*, target: "asgi:tests.lifecycle.apps:one"}
- {id: keyed, path: /keyed/*, target: "asgi:tests.lifecycle.apps:one", auth: [keys]}
"""
AUTH = """
trusted_proxies: [127.0.0.1]
schemes: {keys: {api_key: {header: X-API-Key}}}
consumers:
- {name: acme, keys: ["sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]}
"""  # the hash of "secret"
MIDDLEWARE = """
blocklist:
  entries: [{user_agent: "*badbot*", reason: bots}]
  automatic: {failures: 3, ban: 1h}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path, ROUTES, MIDDLEWARE, AUTH) as process:
        yield process


def _get(gateway: GatewayProcess, client: str = "198.51.100.1", path: str = "/open/x", **headers: str) -> int:
    """The status for a client behind the proxy that this test is."""
    return httpx2.get(gateway.url + path, headers={"x-forwarded-for": client, **headers}).status_code


def _blocklist(gateway: GatewayProcess, *arguments: str, code: int = 0) -> str:
    """What the command says."""
    done = cli("blocklist", *arguments, "--admin", f"127.0.0.1:{gateway.admin_port}")
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def _post(gateway: GatewayProcess, entry: Any) -> httpx2.Response:
    return httpx2.post(admin_url(gateway, "/blocklist"), json=entry, headers=gateway.admin_token)


def test_the_command_adds_lists_and_lifts(gateway: GatewayProcess) -> None:
    """Each takes effect at once."""
    assert _get(gateway, "203.0.113.9") == 200
    added = _blocklist(gateway, "add", "--network", "203.0.113.0/24", "--reason", "ticket 7", "--for", "2h")
    assert added.startswith("blocked: network 203.0.113.0/24, until 20")
    assert _get(gateway, "203.0.113.9") == 403
    listed = _blocklist(gateway, "list")
    assert "203.0.113.0/24" in listed
    assert "ticket 7" in listed
    assert "*badbot*" in listed
    assert _blocklist(gateway, "lift", "--network", "203.0.113.0/24") == "lifted: network 203.0.113.0/24\n"
    assert _get(gateway, "203.0.113.9") == 200
    assert "already" not in _blocklist(gateway, "lift", "--network", "203.0.113.0/24", code=1)


def test_what_cannot_be_done_is_said(gateway: GatewayProcess) -> None:
    """Each with the reason and what to do instead."""
    assert "it is in middleware.yaml" in _blocklist(gateway, "lift", "--user-agent", "*BadBot*", code=1)
    assert "exactly one of" in _blocklist(gateway, "add", "--reason", "x", code=1)
    assert "name it with --admin" in _blocklist(GatewayProcess(gateway.directory), "list", code=1)  # a closed port
    refusals = [
        ({"network": "203.0.113.1/24"}, 400, "bits set beyond the prefix"),
        ({"network": 7}, 400, "expected a text"),
        ({"consumer": "a", "for": "1 h"}, 400, "expected a duration"),
        ({"consumer": "a", "until": "2001-01-01"}, 400, "is over already"),
        ({"consumer": "a", "until": "2099-01-01", "for": "1h"}, 400, "exclude each other"),
        ({"consumer": "a", "reason": "x\ny"}, 400, "without line ends"),
        ({"consumers": "a"}, 400, "unknown: consumers"),
        ({"user_agent": "*BADBOT*"}, 409, "is in middleware.yaml"),
        ([], 400, "expected a JSON object"),
    ]
    for entry, status, message in refusals:
        response = _post(gateway, entry)
        assert (response.status_code, message in response.json()["error"]) == (status, True), response.text
    url = admin_url(gateway, "/blocklist")
    assert (
        httpx2.post(
            url, content=b'{"consumer": "a"}', headers=gateway.admin_token | {"content-type": "text/plain"}
        ).status_code
        == 415
    )
    huge = httpx2.post(url, content=b" " * 100_000, headers=gateway.admin_token | {"content-type": "application/json"})
    assert huge.status_code == 413


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("127.0.0.1", "--network 127.0.0.1"),
        ("2001:db8::/32", "--network 2001:db8::/32"),
        ("acme", "--consumer acme"),
        ("*sqlmap*", "--user-agent '*sqlmap*'"),
        ("/admin/*", "--path '/admin/*'"),
        ("*/.git/*", "--path '*/.git/*'"),
    ],
)
def test_a_value_that_does_not_say_what_it_is(value: str, meant: str) -> None:
    """It is answered with the option that it probably belongs to."""
    for command in ("add", "lift"):
        done = cli("blocklist", command, value)
        assert done.returncode == 2
        assert done.stderr.endswith(f": gateway blocklist {command} {meant}\n")


def test_every_kind_of_entry_blocks(gateway: GatewayProcess) -> None:
    """Consumers behind the authentication, patterns in front of it."""
    assert _get(gateway, path="/keyed/x", **{"x-api-key": "secret"}) == 200
    for entry in ({"consumer": "acme"}, {"path": "*/ADMIN*"}, {"user_agent": "*zgrab*"}):
        assert _post(gateway, entry).json()["kept"] is True
    assert _get(gateway, path="/keyed/x", **{"x-api-key": "secret"}) == 403
    assert _get(gateway, path="/open/admin") == 403
    assert _get(gateway, **{"user-agent": "Mozilla zgrab/0.x"}) == 403
    assert _get(gateway) == 200


def test_entries_outlive_restart_and_reload(gateway: GatewayProcess) -> None:
    """Also a kill -9 right after the answer; what was lifted stays lifted."""
    _post(gateway, {"network": "203.0.113.9"})
    _post(gateway, {"network": "203.0.113.10"})
    httpx2.delete(admin_url(gateway, "/blocklist?kind=network&value=203.0.113.10"), headers=gateway.admin_token)
    assert reload(gateway).status_code == 200
    assert _get(gateway, "203.0.113.9") == 403
    assert gateway.process is not None
    gateway.process.kill()
    gateway.wait()
    gateway.start()
    assert [_get(gateway, client) for client in ("203.0.113.9", "203.0.113.10")] == [403, 200]


def test_failed_authentication_bans_and_restarts_do_not_help(gateway: GatewayProcess) -> None:
    """Three wrong keys from one address, and it is out, also on open routes; the next address is not."""
    wrong = {"x-api-key": "guess"}
    assert [_get(gateway, path="/keyed/x", **wrong) for _ in range(4)] == [401, 401, 401, 403]
    assert _get(gateway) == 403
    assert _get(gateway, "198.51.100.2", path="/keyed/x", **wrong) == 401
    until(lambda: "ban number 1: network 198.51.100.1/32" in gateway.log)
    until(lambda: "198.51.100.1/32" in _blocklist(gateway, "list"))
    gateway.stop()
    gateway.start()
    assert _get(gateway) == 403


def test_a_state_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """The entry holds, the answer and the log say that it is not kept."""
    (tmp_path / "full").write_text("a file, where the directory should be")
    with running_gateway(tmp_path, ROUTES, "state_directory: ../full\n", AUTH) as gateway:
        assert "warning: not written" in _blocklist(gateway, "add", "--network", "203.0.113.9")
        assert _get(gateway, "203.0.113.9") == 403
        until(lambda: "the blocklist is only kept in memory" in gateway.log)


async def test_a_damaged_file_stops_nothing(tmp_path: Path) -> None:
    """What cannot be read is said, and what is new holds."""
    path = tmp_path / "blocklist.sqlite"
    path.write_bytes(b"no database" * 1000)
    blocklist = RuntimeEntries(EntryFile(path), None)
    await blocklist.start()
    blocklist.add(Entry("consumer", "acme", source="admin"))
    await blocklist.settle()
    assert not blocklist.kept
    assert [entry.value for entry in blocklist.entries()] == ["acme"]
    await blocklist.stop()


async def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """As soon as the directory is there."""
    (tmp_path / "state").write_text("in the way")
    path = tmp_path / "state" / "blocklist.sqlite"
    blocklist = RuntimeEntries(EntryFile(path), None)
    await blocklist.start()
    blocklist.add(Entry("consumer", "acme", source="admin"))
    await blocklist.settle()
    assert not blocklist.kept
    (tmp_path / "state").unlink()
    await blocklist.settle()
    assert blocklist.kept
    await blocklist.stop()
    assert [entry.value for entry in await EntryFile(path).read()] == ["acme"]


async def test_other_users_cannot_read_the_blocklist(tmp_path: Path) -> None:
    """The file and what SQLite puts beside it are the gateway's own."""
    path = tmp_path / "state" / "blocklist.sqlite"
    file = EntryFile(path)
    assert await file.write({("consumer", "acme"): Entry("consumer", "acme")})
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await file.close()
