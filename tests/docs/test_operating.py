"""docs/operating.md: a day of an operator."""

from __future__ import annotations

import os
from pathlib import Path

from tests.docs.links import ROOT
from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess

PAGE = (ROOT / "docs" / "operating.md").read_text()
SECTION = PAGE.partition("\n## Day by day\n")[2].partition("\n## ")[0]


def test_the_samples_do_what_they_say(tmp_path: Path) -> None:
    """Each command of "Day by day" prints what the page shows, one after the other."""
    (directory := tmp_path / "config").mkdir()
    gateway = GatewayProcess(directory, arguments=("--strict",))
    gateway.write("routes: [{path: /old/*, redirect: /new/$1}]\n")
    environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{gateway.admin_port}"}
    try:
        for command in (command for block in blocks(SECTION) for command in commands(block.text)):
            if command.line == "gateway serve --strict &":
                gateway.start()
                continue
            output = shell(directory, command.line.replace("127.0.0.1:9000", f"127.0.0.1:{gateway.port}"), environment)
            assert command.fits(output), f"{command.line} printed\n{output}"
    finally:
        gateway.stop()
