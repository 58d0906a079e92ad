"""Names, without a name server of one's own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gateway.outside.names import HostsFile, NameServers, NoAnswer
from tests.support import free_port


async def test_a_name_without_a_dot_is_found_as_the_system_does() -> None:
    """By /etc/hosts, a search list, or whatever else it has."""
    assert "127.0.0.1" in [found.value for found in await NameServers().addresses("localhost", "A")]


async def test_names_of_the_hosts_file_change(tmp_path: Path) -> None:
    """They are used without asking anyone, in any spelling of the file, from the next question on."""
    hosts = HostsFile(tmp_path / "hosts")
    assert hosts.addresses("a.test") == []
    (tmp_path / "hosts").write_text("127.0.0.1 A.test b # c\n::1 a.test\nnonsense d\n\n")
    assert hosts.addresses("a.test") == ["127.0.0.1", "::1"]
    assert [hosts.addresses(name) for name in ("b", "c", "d")] == [["127.0.0.1"], [], []]


async def test_a_name_server_that_is_not_there() -> None:
    """It is named in what is said about it."""
    server = f"127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer, match=rf"{server} cannot be reached \(a.test, A\)"):
        await NameServers((server,)).addresses("a.test", "A")


async def test_a_name_server_that_says_nothing() -> None:
    """It is given up after some seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(NoAnswer, match="does not answer"):
            await NameServers((f"127.0.0.1:{silent.getsockname()[1]}",)).ask("a.test", "SRV")
