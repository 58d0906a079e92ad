"""How long commands wait for the answer of a running gateway."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from gateway.admin import client
from gateway.cli import main


@contextmanager
def _admin_port(answers: threading.Event) -> Iterator[str]:
    """The address of a server that takes one request at a time, and says nothing before `answers` is set."""
    body = json.dumps({"digest": "d1", "reloads": 1}).encode()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                answers.wait(30)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
                    b"content-length: %d\r\n\r\n%s" % (len(body), body)
                )

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        answers.set()
        server.join(30)


@pytest.mark.parametrize("command", ["reload", "config rollback"])
def test_a_command_that_has_a_configuration_compiled_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A policy that hangs is tried for ten seconds, and twice where the files had changed: the reason is waited for."""
    monkeypatch.setattr(client, "SECONDS", 0.2)
    answers = threading.Event()
    later = threading.Timer(1, answers.set)
    later.start()
    with _admin_port(answers) as admin:
        ended = CliRunner().invoke(main, [*command.split(), "--admin", admin])
    later.join()
    assert ended.exit_code == 0, ended.output
    assert "configuration d1 is served" in ended.output


def test_a_gateway_that_is_there_and_says_nothing_is_not_called_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address would not help: the error is that it has not answered, and its log may say why."""
    monkeypatch.setattr(client, "SECONDS", 0.2)
    with _admin_port(threading.Event()) as admin:
        ended = CliRunner().invoke(main, ["alerts", "list", "--admin", admin])
    assert ended.exit_code == 1
    assert f"the admin API at {admin} has not answered within 0.2 s: the gateway is busy; see its log" in ended.output
