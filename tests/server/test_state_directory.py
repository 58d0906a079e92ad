"""What is said of a state directory that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.server.state_directory import StateDirectory
from tests.support import eventually


@pytest.mark.parametrize(
    ("prepared", "remedy"),
    [
        ("/var/lib/gateway", "write state_directory: ${GATEWAY_STATE:-state}, which is /var/lib/gateway"),
        ("", "name another one in state_directory"),
    ],
)
async def test_the_directory_that_is_there_for_it_is_named(
    prepared: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under systemd and in the image, that is GATEWAY_STATE, which a configuration need not have named."""
    monkeypatch.setenv("GATEWAY_STATE", prepared)
    (tmp_path / "file").touch()
    watched = StateDirectory()
    try:
        watched.go_on_in(tmp_path / "file" / "state")
        await eventually(lambda: bool(list(watched.troubles())))
        (text,) = watched.troubles()
        assert text.endswith(f"make it writable, make room, or {remedy}")
    finally:
        watched.tasks.cancel()
