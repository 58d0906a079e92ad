"""The configurations that were served: listed, compared, and served again."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.config.history import MAX_BYTES, VERSIONS, History, Version, difference
from gateway.config.secrets import KnownSecrets
from tests.cli.support import gateway as cli
from tests.lifecycle.support import admin_url, get, health, reload
from tests.support import GatewayProcess, running_gateway, until

ROUTES = "routes: [{path: /%s, target: 'asgi:tests.lifecycle.apps:one'}]\n"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path, ROUTES % "first") as process:
        yield process


def _ask(gateway: GatewayProcess, method: str, path: str) -> httpx2.Response:
    return httpx2.request(method, admin_url(gateway, path), headers=gateway.admin_token, timeout=20)


def _write_and_reload(gateway: GatewayProcess, routes: str) -> None:
    """Have new files read on request, before the gateway, which is stopped meanwhile, notices them by itself."""
    (token,) = gateway.admin_token.values()
    head = f"POST /reload HTTP/1.1\r\nHost: 127.0.0.1:{gateway.admin_port}\r\nAuthorization: {token}\r\n"
    with socket.create_connection(("127.0.0.1", gateway.admin_port), 30) as asking:
        gateway.signal(signal.SIGSTOP)
        gateway.write(routes)
        asking.sendall(f"{head}Connection: close\r\nContent-Length: 0\r\n\r\n".encode())
        gateway.signal(signal.SIGCONT)
        assert asking.recv(4096).startswith(b"HTTP/1.1 200 ")


def _versions(gateway: GatewayProcess) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = _ask(gateway, "GET", "/config/history").json()["versions"]
    return versions


def _command(gateway: GatewayProcess, *arguments: str, code: int = 0) -> str:
    return _gateway(gateway, "config", *arguments, code=code)


def _gateway(gateway: GatewayProcess, *arguments: str, code: int = 0) -> str:
    done = cli(*arguments, "--admin", f"127.0.0.1:{gateway.admin_port}")
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_former_configuration_is_served_again(gateway: GatewayProcess) -> None:
    """Until the files change; what changed is shown, and /health says that the files are not what is served."""
    _write_and_reload(gateway, ROUTES % "second")
    assert get(gateway, "/first").status_code == 404
    newest, oldest = _versions(gateway)
    assert (newest["cause"], oldest["cause"]) == ("request", "start")
    assert "-routes: [{path: /first" in _command(gateway, "diff")
    assert "rolled back" not in _command(gateway, "history")

    _command(gateway, "rollback", oldest["digest"][:8])
    assert get(gateway, "/first").status_code == 200
    assert health(gateway)["rolled_back"] is True
    assert health(gateway)["digest"] == oldest["digest"]
    assert "rolled back" in _command(gateway, "history")
    assert "(rolled back: the files say something else)" in _gateway(gateway, "status")

    gateway.write(ROUTES % "third")
    until(lambda: get(gateway, "/third").status_code == 200)
    assert health(gateway)["rolled_back"] is False
    assert [version["cause"] for version in _versions(gateway)] == ["files", "rollback", "request", "start"]


def test_without_a_digest_the_one_before_is_served_again(gateway: GatewayProcess) -> None:
    """However often the same files were read since; where nothing else was served, that is said."""
    assert "there is no former configuration" in _command(gateway, "rollback", code=1)
    gateway.write(ROUTES % "second")
    assert reload(gateway).status_code == 200
    assert reload(gateway).status_code == 200
    newest, *_, oldest = (version["digest"] for version in _versions(gateway))
    said = f"configuration {oldest} is served, in place of {newest}; the files have not been changed: correct them\n"
    assert _command(gateway, "rollback") == said
    assert get(gateway, "/first").status_code == 200


def test_refused_files_do_not_cost_the_last_good_change(gateway: GatewayProcess) -> None:
    """What is served is the last good configuration already: the one before it is served only where it is named."""
    gateway.write(ROUTES % "second")
    assert reload(gateway).status_code == 200
    gateway.write("routes: [{path: /third}]\n")
    assert reload(gateway).status_code == 422
    good, before = (version["digest"] for version in _versions(gateway))
    said = _command(gateway, "rollback", code=1)
    assert f"served: {good}, the last good configuration" in said
    assert f"gateway config rollback {before}" in said
    assert get(gateway, "/second").status_code == 200
    assert f"{before} is served, in place of {good}" in _command(gateway, "rollback", before)
    assert get(gateway, "/first").status_code == 200


def test_a_reload_ends_a_rollback(gateway: GatewayProcess) -> None:
    """The files are what counts, as soon as they are asked for."""
    gateway.write(ROUTES % "second")
    reload(gateway)
    assert _ask(gateway, "POST", f"/config/rollback?to={_versions(gateway)[1]['digest']}").status_code == 200
    assert get(gateway, "/second").status_code == 404
    assert reload(gateway).status_code == 200
    assert get(gateway, "/second").status_code == 200


def test_a_rollback_that_is_refused_changes_nothing(gateway: GatewayProcess) -> None:
    """What cannot be served any more is refused with the reason; what is served, and what the files say, stays."""
    gateway.write(ROUTES % "second", "access_log: {output: '${file:output}'}")
    (gateway.directory / "output").write_text("off")
    assert reload(gateway).status_code == 200
    gateway.write(ROUTES % "third", "{}")
    assert reload(gateway).status_code == 200
    (gateway.directory / "output").unlink()
    refused = _ask(gateway, "POST", f"/config/rollback?to={_versions(gateway)[1]['digest']}")
    assert refused.status_code == 422
    assert "output" in refused.json()["errors"][0]
    assert _ask(gateway, "POST", "/config/rollback?to=feedfeed").status_code == 404
    assert get(gateway, "/third").status_code == 200
    assert (health(gateway)["errors"], health(gateway)["rolled_back"]) == ([], False)


def test_each_caller_gets_the_answer_to_what_it_asked_for(gateway: GatewayProcess) -> None:
    """Also where several come at once: one that is refused is no failure of another, and the last one holds."""
    gateway.write(ROUTES % "second", "access_log: {output: '${file:output}'}")
    (gateway.directory / "output").write_text("off")
    assert reload(gateway).status_code == 200
    gateway.write(ROUTES % "third", "{}")
    assert reload(gateway).status_code == 200
    (gateway.directory / "output").unlink()
    third, second, first = (version["digest"] for version in _versions(gateway))
    asked = [first, second, None, first, third, second] * 3
    with ThreadPoolExecutor(len(asked)) as pool:
        paths = [f"/config/rollback?to={digest}" if digest else "/reload" for digest in asked]
        answers = list(pool.map(lambda path: _ask(gateway, "POST", path), paths))
    assert [answer.status_code for answer in answers] == [422 if digest == second else 200 for digest in asked]
    served = [answer.json().get("digest") for answer in answers]
    assert served == [None if digest == second else digest or third for digest in asked]


def version(digest: str, text: str) -> Version:
    return Version(digest, 0.0, "files", {"auth.yaml": text.encode()})


def test_a_difference_shows_no_secrets() -> None:
    """Neither those that are known nor what is called like one; a change of secrets alone is named as such."""
    secrets = KnownSecrets()
    secrets.add("hunter2-hunter2")
    old, new = version("a", "x: 1\ny: hunter2-hunter2\n"), version("b", "x: 2\ny: hunter2-hunter2\npassword: abc\n")
    shown = difference(old, new, secrets)
    assert "-x: 1" in shown
    assert "+x: 2" in shown
    assert "+password: (hidden)" in shown
    assert "hunter2" not in shown
    assert "only secrets differ" in difference(version("a", "token: abcdef"), version("b", "token: ghijkl"), secrets)
    assert difference(old, old, secrets) == ""


def test_the_history_is_bounded() -> None:
    """In number and in bytes; the newest is there in any case."""
    history = History()
    for number in range(VERSIONS + 5):
        history.add(version(f"{number:03}", "x"))
    assert len(history) == VERSIONS
    assert history.find("000") is None
    history.add(version("large", "x" * (MAX_BYTES + 1)))
    assert [each.digest for each in history] == ["large"]


def test_a_version_is_named_by_the_beginning_of_its_digest() -> None:
    """Where only one begins so."""
    history = History()
    for digest in ("abc1", "abd2", "abc1"):
        history.add(version(digest, digest))
    found = history.find("abc")
    assert found is not None
    assert found.digest == "abc1"
    assert history.find("ab") is None
    assert history.find("") is None
