"""`gateway agents status`: what bridges have written, and what else may be in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.agents.standing import status_path
from gateway.agents.status import read_all


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"at": "x", "pid": 1, "state": "connected"}',
        '{"at": 1, "pid": [1], "hostname": "acme-router", "peers": [{}], "problems": [], "gateway": ""}',
        '{"at": 1, "pid": 1, "hostname": "acme-router", "peers": 7, "problems": 7, "gateway": ""}',
    ],
)
def test_what_is_no_status_is_as_none(tmp_path: Path, text: str) -> None:
    """The command says that no bridge has run, and shows no traceback."""
    status_path(tmp_path, "router").write_text(text)
    assert read_all(tmp_path, ["router"]) == []
