"""docs/recipes/: each page is a whole configuration, and a real gateway with it does what the page shows."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.docs.links import ROOT, links
from tests.docs.samples import blocks, commands, shell
from tests.support import GatewayProcess, free_port

RECIPES = sorted(path for path in (ROOT / "docs" / "recipes").glob("*.md") if path.name != "README.md")
FILE = re.compile(r"# (hosts|[\w./-]+\.\w+)\n")
ALTERNATIVE = re.compile(r"# alternative: (\S+)\n")
DEMO = re.compile(r"python -m gateway\.demo (.*) &")
SERVE = "gateway serve > serve.log 2>&1 &"
NGINX_PORT = 8443

pytestmark = pytest.mark.xdist_group("recipes")  # they share the backends


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a page shows."""

    name: str
    files: Mapping[str, str]
    alternatives: Mapping[str, str]
    lines: tuple[tuple[str, str], ...]  # each command, and what it prints
    backends: tuple[str, ...] = field(default=())  # NAME:PORT


def recipe_of(page: Path) -> Recipe:
    """Read a page."""
    files, alternatives, lines = {}, {}, []
    for block in blocks(page.read_text()):
        if match := FILE.match(block.text):
            files[match[1]] = block.text
        elif match := ALTERNATIVE.match(block.text):
            alternatives[match[1]] = block.text
        else:
            lines += [(command.line, command.printed) for command in commands(block.text)]
    named = [match[1].split() for line, _ in lines if (match := DEMO.fullmatch(line))]
    return Recipe(page.stem, files, alternatives, tuple(lines), tuple(named[0]) if named else ())


@pytest.fixture(scope="module")
def backends() -> Iterator[Mapping[str, int]]:
    """One demo backend for each name of all recipes, and its port."""
    names = sorted({each.partition(":")[0] for page in RECIPES for each in recipe_of(page).backends})
    command = [sys.executable, "-m", "gateway.demo", *(f"{name}:0" for name in names)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listening = [process.stdout.readline().split() for _ in names]
        yield {line[0]: int(line[-1].rpartition(":")[2]) for line in listening}
        process.kill()


@dataclass(frozen=True, slots=True)
class Reader:
    """Who follows a recipe: with other ports than those of the page."""

    recipe: Recipe
    gateway: GatewayProcess
    ports: Mapping[str, int]
    nginx: int

    def real(self, text: str) -> str:
        """A text of the page with the ports of this test."""
        for each in self.recipe.backends:
            name = each.partition(":")[0]
            text = re.sub(rf"\b{each}\b", f"{name}:{self.ports[name]}", text)
        text = text.replace("127.0.0.1:9001", f"127.0.0.1:{self.gateway.admin_port}")
        text = text.replace("127.0.0.1:9000", f"127.0.0.1:{self.gateway.port}")
        return re.sub(rf"\b{NGINX_PORT}\b", str(self.nginx), text)

    def write(self, files: Mapping[str, str]) -> None:
        """Put files of the page into the directory of the configuration."""
        for name, text in files.items():
            (self.gateway.directory / name).write_text(self.real(text))

    def run(self, line: str) -> str:
        """What a command prints, with the ports of the page."""
        environment = {**os.environ, "GATEWAY_ADMIN": f"127.0.0.1:{self.gateway.admin_port}"}
        output = shell(self.gateway.directory, self.real(line), environment)
        return output.replace(f"127.0.0.1:{self.gateway.port}", "127.0.0.1:9000")


@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_a_recipe_does_what_it_says(page: Path, backends: Mapping[str, int], tmp_path: Path) -> None:
    """The files of the page are written, and every command prints what the page shows, one after the other."""
    recipe = recipe_of(page)
    if "nginx.conf" in recipe.files and shutil.which("nginx") is None:
        pytest.skip("there is no nginx")
    (directory := tmp_path / "config").mkdir()
    with contextlib.closing(Stopping(GatewayProcess(directory))) as stopping:
        reader = Reader(recipe, stopping.gateway, backends, free_port())
        reader.write(recipe.files)
        for line, printed in recipe.lines:
            if line == SERVE:
                stopping.gateway.start()
            elif not DEMO.fullmatch(line):
                output = reader.run(line)
                fits = next(commands(f"$ {line}\n{printed}")).fits(output)
                assert fits, f"{line} printed\n{output}{stopping.gateway.log if stopping.gateway.process else ''}"
        assert checked(directory) == "ok, 0 warnings\n"
        if recipe.alternatives:
            reader.write(recipe.alternatives)
            assert checked(directory).endswith("ok, 0 warnings\n")


def checked(directory: Path) -> str:
    """What `gateway check` prints."""
    return CliRunner().invoke(main, ["check", "--config", str(directory)]).output


@dataclass(frozen=True, slots=True)
class Stopping:
    """A gateway that is ended by close()."""

    gateway: GatewayProcess

    def close(self) -> None:
        """End it, and the nginx of a page that was not followed to its end."""
        self.gateway.stop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.gateway.directory / "nginx.pid").read_text()), signal.SIGTERM)


def test_the_backends_of_a_recipe_have_ports_of_their_own() -> None:
    """All of them listen on one address, so that the page can be followed literally."""
    for page in RECIPES:
        ports = [each.rpartition(":")[2] for each in recipe_of(page).backends]
        assert len(set(ports)) == len(ports) > 0, page.name
        assert SERVE in dict(recipe_of(page).lines), page.name


def test_the_list_of_recipes_has_all() -> None:
    """docs/recipes/README.md leads to each recipe."""
    assert {page.name for page in RECIPES} - set(links(ROOT / "docs" / "recipes" / "README.md")) == set()
