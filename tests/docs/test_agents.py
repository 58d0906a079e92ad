"""docs/agents.md: what it shows is what happens, as far as that needs no daemon of the network."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_args

from gateway.agents.link import Reason
from gateway.check import compile_offline
from gateway.events import KINDS
from tests.docs.samples import blocks, commands, shell

PAGE = (Path(__file__).parent.parent.parent / "docs" / "agents.md").read_text()


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Its configuration is one, and each command prints what the page says."""
    for block in blocks(PAGE):
        if found := re.match(r"# ([a-z]+\.yaml)\n", block.text):
            (tmp_path / found[1]).write_text(block.text)
    compile_offline(tmp_path)
    ran = [command for block in blocks(PAGE) for command in commands(block.text)]
    for command in ran:
        output = shell(tmp_path, command.line, dict(os.environ))
        assert command.fits(output), f"{command.line} printed\n{output}"
    assert len(ran) == 3


def test_all_reasons_and_messages_are_named() -> None:
    """Each reason of a refusal has its row, and so has each message that agents send."""
    assert {reason for reason in get_args(Reason) if f"`{reason}`" not in PAGE} == set()
    sent = {"service-registry", "health-feedback", "auth-request", "access-log", "api-alert"}
    assert sent <= KINDS.keys()
    assert all(f"| `{kind}` |" in PAGE for kind in sent)
