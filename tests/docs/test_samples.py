"""What the pages show of files and commands can be used as it is written."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
import yaml

from gateway.cli import main
from gateway.config.secrets import KnownSecrets
from gateway.control_plane.settings.reading import read_settings
from gateway.testing.file import read_tests
from tests.config.support import parsed
from tests.docs.admin_page import PAGE as ADMIN_PAGE
from tests.docs.fragments import files_of
from tests.docs.links import ROOT, pages, prose

FENCE = re.compile(r"^( *)(`{3,})([\w-]*)\n(.*?)^\1\2\s*$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(gateway [^`]+)`(?!`)")
ENVIRONMENT = {
    "ZONE": "a",
    "ACME_KEY": "a-key-of-acme",
    "SLACK_WEBHOOK": "https://slack.test/x",
    "HOOK_SECRET": "12345678",
}


def fenced(page: Path) -> Iterator[tuple[str, str]]:
    """What stands between fences: the language, and the text without the indentation of the fence."""
    for indent, _, language, text in FENCE.findall(page.read_text()):
        yield language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


def samples(language: str) -> list[tuple[str, str]]:
    """The page, and what it shows in a language. Recipes are whole: test_recipes.py runs them."""
    found = [page for page in pages() if page.parent.name != "recipes"]
    return [(str(page.relative_to(ROOT)), text) for page in found for each, text in fenced(page) if each == language]


@pytest.mark.parametrize(("page", "sample"), samples("yaml"))
def test_every_sample_of_yaml_can_be_used_as_it_is_written(page: str, sample: str, tmp_path: Path) -> None:
    """A sample is accepted where its page says that it stands, with what it leaves out put around it."""
    first = sample.partition("\n")[0]
    if "apiVersion:" in sample:
        assert all({"apiVersion", "kind", "metadata"} <= set(each) for each in yaml.safe_load_all(sample))
    elif re.search(r"^tests:", sample, re.MULTILINE):
        (tmp_path / "tests.yaml").write_text(sample)
        read_tests(tmp_path / "tests.yaml", ENVIRONMENT, KnownSecrets())
    elif first == "# control-plane.yaml":
        (tmp_path / "control-plane.yaml").write_text(sample)
        read_settings(tmp_path, ENVIRONMENT, KnownSecrets())
    elif not re.match(r"\{host: ", first):  # an instance of a service, not of a file of ours
        for files in files_of(textwrap.dedent(sample).replace('"sha256:..."', f"sha256:{'0' * 64}")):
            parsed(
                files["routes"],
                middleware=files["middleware"],
                auth=files["auth"],
                models=files.get("models"),
                environment=ENVIRONMENT,
                base=tmp_path,
            )


PYTHON = [(str(page.relative_to(ROOT)), text) for page in pages() for each, text in fenced(page) if each == "python"]


@pytest.mark.parametrize(("page", "sample"), PYTHON)
def test_every_sample_of_python_is_python(page: str, sample: str) -> None:
    """A sample can be compiled, and all that it imports of the gateway is there."""
    compile(sample, page, "exec")
    for module, names in re.findall(r"^from (gateway[\w.]*) import (.+)$", sample, re.MULTILINE):
        imported = import_module(module)
        assert all(hasattr(imported, name.strip()) for name in names.split(","))


def lines_of_commands() -> Iterator[tuple[str, str]]:
    """The page, and each command line in it: of blocks, and of those within a sentence."""
    for page in pages():
        name = str(page.relative_to(ROOT))
        for language, text in fenced(page):
            if language in ("", "console", "sh"):
                yield from ((name, line) for line in re.sub(r"\\\n\s*", "", text).splitlines())
        yield from ((name, line) for line in INLINE.findall(prose(page)))


GATEWAY = sorted({(page, line) for page, line in lines_of_commands() if re.search(r"(^|[\s/$])gateway [a-z]", line)})


@pytest.mark.parametrize(("page", "line"), GATEWAY)
def test_every_command_is_one(page: str, line: str) -> None:
    """Each `gateway ...` of the pages is a command that there is, with options that it has."""
    for part in re.split(r"\$\(|\||;|&&|, ", line):
        if match := re.match(
            r"(?:\$ )?(?:[A-Z_]+=\S+ )?(?:\.venv/bin/|/opt/gateway/bin/)?gateway ([a-z].*)", part.strip()
        ):
            _known(match[1])


def _known(arguments: str) -> None:
    """Raises where click would."""
    lexer = shlex.shlex(arguments, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = [word for word in lexer if word != "..."]
    command: click.Command = main
    while isinstance(command, click.Group):
        name = words.pop(0) if words else ""
        if name in ("", "COMMAND", "--help"):
            return
        found = command.get_command(click.Context(command), name)
        assert found is not None, name
        command = found
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-zA-Z]", word)}
    assert named - options - {"--help", "-h"} == set()


ADMIN = sorted(
    {(page, line) for page, line in lines_of_commands() if re.search(r"^(\$ )?curl .*127\.0\.0\.1:9001", line)}
)


@pytest.mark.parametrize(("page", "line"), ADMIN)
def test_every_request_to_the_admin_port_is_answered(page: str, line: str) -> None:
    """Each `curl` of the pages to the admin port asks for what docs/admin-api.md has."""
    known = re.findall(r"^### ([A-Z]+) (/\S+)$", ADMIN_PAGE.read_text(), re.MULTILINE)
    method = match[1] if (match := re.search(r"-X ([A-Z]+)", line)) else "POST" if " -d " in line else "GET"
    path = re.search(r"127\.0\.0\.1:9001(/[^\s?']*)", line)
    assert path is not None
    fits = [re.fullmatch(re.sub(r"\\?\{\w+\\?\}", "[^/]+", each), path[1]) for verb, each in known if verb == method]
    assert any(fits), (method, path[1])
