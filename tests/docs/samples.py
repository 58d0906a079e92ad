"""Samples of a page: files that it shows, and commands with what they print."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, and the text before it."""

    language: str
    text: str
    before: str


def blocks(page: str) -> Iterator[Block]:
    end = 0
    for match in FENCE.finditer(page):
        yield Block(match[1], match[2], page[end : match.start()])
        end = match.end()


@dataclass(frozen=True, slots=True)
class Command:
    """A line behind a `$`, and what it prints: `...` is anything, on a line by itself any lines."""

    line: str
    printed: str

    def fits(self, output: str) -> bool:
        """Whether that is what came."""
        pattern = "".join(_line(line) for line in self.printed.splitlines())
        return re.fullmatch(pattern, output if output.endswith("\n") or not output else output + "\n") is not None


def _line(line: str) -> str:
    if line.strip() == "...":
        return r"(?:.*\n)*?"
    return ".*?".join(map(re.escape, line.split("..."))) + r"\n"


def commands(text: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield Command(line, printed)


def shell(directory: Path, line: str, environment: Mapping[str, str]) -> str:
    """What a shell prints for a line, with `gateway` and `.venv/bin/gateway` for this one."""
    programs = directory / ".venv" / "bin"
    if not programs.exists():
        programs.mkdir(parents=True)
        for name, module in (("gateway", " -m gateway.cli"), ("python", "")):
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
            script.chmod(0o755)
        (programs / ".curlrc").write_text("silent\n")
    environment = {**environment, "PATH": f"{programs}:{environment['PATH']}", "CURL_HOME": str(programs)}
    ended = subprocess.run(
        line,
        shell=True,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
        check=False,
    )
    return ended.stdout
