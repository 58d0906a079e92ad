"""docs/admin-api.md is what a gateway serves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.docs.admin_page import PAGE, ROUTES, document_of, page_of
from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess, running_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path_factory.mktemp("admin"), ROUTES) as it:
        yield it


def test_the_page_has_every_operation(gateway: GatewayProcess) -> None:
    """The page is made from the document that the gateway serves at /openapi.json."""
    assert PAGE.read_text() == page_of(document_of(gateway)), "run python -m tests.docs.admin_page"


def test_the_samples_do_what_they_say(gateway: GatewayProcess) -> None:
    """Each command of the page, run in the directory of the configuration, prints what the page shows."""
    for block in blocks(PAGE.read_text()):
        for command in commands(block.text):
            line = command.line.replace("127.0.0.1:9001", f"127.0.0.1:{gateway.admin_port}")
            output = shell(gateway.directory, line, os.environ)
            assert command.fits(output), f"{command.line} printed\n{output}"
