"""docs/coming-from.md has the words that an import knows, and docs/importing.md the commands as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.config.models import AuthFile, MiddlewareFile, RoutesFile
from gateway.config.models.llm.budgets import Budget
from gateway.config.models.llm.file import ModelsFile
from gateway.config.models.llm.providers import Provider
from gateway.config.models.routes import RouteConfig
from gateway.importing.kong.known_plugins import ELSEWHERE, PLUGINS
from gateway.importing.traefik.middlewares import MIDDLEWARES
from tests.cli.support import gateway

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "coming-from.md").read_text()


@pytest.mark.parametrize(
    "word", sorted({name.removesuffix("-advanced").removesuffix("-enc") for name in (*PLUGINS, *ELSEWHERE)})
)
def test_every_plugin_that_is_translated_is_in_the_table(word: str) -> None:
    """Each plugin of Kong that an import translates, or names as being elsewhere, is in the table of Kong."""
    assert f"`{word}`" in PAGE


@pytest.mark.parametrize("word", sorted(MIDDLEWARES))
def test_every_middleware_that_is_translated_is_in_the_table(word: str) -> None:
    """Each middleware of Traefik that an import translates is in the table of Traefik."""
    assert re.search(rf"`{word}`|`{word} \(", PAGE)


def test_our_words_are_keys_that_there_are() -> None:
    """What stands in the right columns as `key: ...` of a route is a key of a route, or of another of our files."""
    known = {*RouteConfig.model_fields, *MiddlewareFile.model_fields, *AuthFile.model_fields}
    known |= {*RoutesFile.model_fields, *ModelsFile.model_fields, *Provider.model_fields, *Budget.model_fields}
    known |= {
        "https",
        "when",
        "groups",
        "scopes",
        "weight",
        "attempts",
        "on",
        "key",
        "priority",
        "forward",
        "balance",
        "health",
    }
    for row in re.findall(r"^\|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE):
        for key in re.findall(r"`([a-z_]+):", row):
            assert key in known, row


def test_the_commands_of_the_page_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway import`, `check` and `explain` of docs/importing.md end well, one after the other."""
    (tmp_path / "kong.yml").write_text("_format_version: '3.0'\nservices:\n- name: u\n  url: http://127.0.0.1:9003\n")
    with (tmp_path / "kong.yml").open("a") as file:
        file.write("  routes:\n  - name: users\n    paths: [/users]\n")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^gateway (import|check|explain)( .*)$", (DOCS / "importing.md").read_text(), re.MULTILINE)
    assert [name for name, _ in commands] == ["import", "check", "explain"]
    for name, arguments in commands:
        ended = gateway(name, *arguments.split())
        assert ended.returncode == 0, ended.stderr
