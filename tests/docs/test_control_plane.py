"""docs/control-plane.md: what it shows is what happens, from an empty directory on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.control_plane.settings.file import ControlPlaneFile
from tests.control_plane.process import running_control_plane
from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess, until

PAGE = (Path(__file__).parent.parent.parent / "docs" / "control-plane.md").read_text()


@pytest.mark.timeout(240)
def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """The control plane is started, a gateway joins it, and each command prints what the page says."""
    for name in ("control", "edge", "next"):
        (tmp_path / name).mkdir()
    gateway = GatewayProcess(tmp_path / "edge")
    ran = 0
    with running_control_plane(tmp_path / "control") as plane:
        ports = {"9010": str(plane.port), "9000": str(gateway.port)}

        def here(text: str) -> str:
            return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{ports.get(found[1], found[1])}", text)

        environment = {**os.environ, "GATEWAY_CONTROL_PLANE": plane.url}
        try:
            for block in blocks(PAGE):
                if found := re.match(r"# ((?:edge|next)/[a-z]+\.yaml)\n", block.text):
                    (tmp_path / found[1]).write_text(here(block.text))
                if gateway.process is None and (tmp_path / "edge/join-token").exists():
                    gateway.start()
                    until(lambda: _serves(tmp_path, plane.url, environment), 60)
                for command in commands(block.text):
                    output = shell(tmp_path, here(command.line), environment)
                    ran += 1
                    assert command.fits(output), f"{command.line} printed\n{output}"
        finally:
            gateway.stop()
    assert ran > 10


def _serves(directory: Path, url: str, environment: Mapping[str, str]) -> bool:
    """Whether the gateway has said from where it has what it serves: its first heartbeat may be before that."""
    return '"source":"local file"' in shell(directory, f"curl -H @me {url}/api/v1/gateways/status", environment)


def test_every_key_of_the_file_is_named() -> None:
    """In the table of keys."""
    named = set(re.findall(r"^\| `([a-z_.]+)`", PAGE, re.MULTILINE))
    assert {name.partition(".")[0] for name in named} >= set(ControlPlaneFile.model_fields)
