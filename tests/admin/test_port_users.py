"""Who listens on a port of this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from gateway.admin import port_users
from gateway.admin.port_users import users_of
from tests.support import free_port


@pytest.fixture(params=["asked", "read"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways: the kernel is asked, and, where it cannot be, its table is read."""
    if request.param == "read":
        monkeypatch.setattr(port_users, "_SOCK_DIAG", 31)  # there is no such protocol


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_user_of_a_listener_is_found(family: socket.AddressFamily, host: str) -> None:
    """On IPv4 and IPv6; a port where nothing listens any more has no users, also while connections to it live."""
    port = free_port()  # which no other test takes as soon as it is free, also not at another address
    with socket.create_server((host, port), family=family) as listener:
        assert users_of(port) == {os.geteuid()}
        client = socket.create_connection((host, port))
        accepted, _ = listener.accept()
    with client, accepted:
        assert users_of(port) == frozenset()


@pytest.mark.usefixtures("_way")
def test_every_user_of_a_shared_port_is_found() -> None:
    """Another user's process may listen on the same number at another address, which is enough to be careful."""
    if os.geteuid() != 0:
        pytest.skip("another user needs root")
    program = (
        "import os, socket; os.setuid(65534); s = socket.create_server(('127.0.0.2', {port}));"
        "print(1, flush=True); input()"
    )
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        other = subprocess.Popen(
            [sys.executable, "-c", program.format(port=port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with other:
            assert other.stdout is not None
            assert other.stdin is not None
            other.stdout.readline()
            assert users_of(port) == {0, 65534}
            other.stdin.close()


@pytest.mark.usefixtures("_way")
def test_hundreds_of_listeners_are_no_trouble() -> None:
    """The answer of the kernel takes several messages then."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(400)]
    try:
        assert users_of(listeners[-1].getsockname()[1]) == users_of(listeners[0].getsockname()[1]) == {os.geteuid()}
    finally:
        for listener in listeners:
            listener.close()
