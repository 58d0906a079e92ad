"""docs/models.md: what it shows is what happens, from an empty directory on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess

PAGE = (Path(__file__).parent.parent.parent / "docs" / "models.md").read_text()


@pytest.fixture
def providers() -> Iterator[list[str]]:
    """The ports of the two demo providers."""
    command = [sys.executable, "-m", "gateway.cli", "demo", "models", "--port", "0", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield [process.stdout.readline().strip().rpartition(":")[2] for _ in range(2)]
        process.terminate()


def test_the_page_does_what_it_says(tmp_path: Path, providers: list[str]) -> None:
    """Its files are written, the gateway is started, and each command prints what the page says."""
    config = tmp_path / "config"
    config.mkdir()
    gateway = GatewayProcess(config)
    ports = dict(zip(("9101", "9102", "9000"), (*providers, str(gateway.port)), strict=True))

    def here(text: str) -> str:
        return re.sub(r"127\.0\.0\.1:(\d+)", lambda found: f"127.0.0.1:{ports.get(found[1], found[1])}", text)

    ran = 0
    environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{gateway.admin_port}"}
    try:
        for block in blocks(PAGE):
            if block.language == "yaml" and block.text.startswith("# "):
                (config / block.text.partition("\n")[0].removeprefix("# ")).write_text(here(block.text))
            for command in commands(block.text):
                if gateway.process is None and not command.line.startswith("gateway check"):
                    gateway.start()
                output = shell(config, here(command.line), environment).replace("\r\n", "\n")
                ran += 1
                assert command.fits(output), f"{command.line} printed\n{output}"
    finally:
        gateway.stop()
    assert ran > 10
