"""`gateway test`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG, refuse
from gateway.json_output import JSON
from gateway.plurals import counted

if TYPE_CHECKING:
    from gateway.config.problems import Problem
    from gateway.config.secrets import KnownSecrets
    from gateway.testing.file import PlacedCase
    from gateway.testing.run import Result


@click.command()
@CONFIG
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@JSON
def test(directory: Path, files: Sequence[Path], as_json: bool) -> None:
    """Test the configuration with requests: each of FILES has requests and their expected results.

    Nothing is sent, no other service is called, and each test begins with empty counters. Exit code 1 where a test
    fails, or a file or the configuration is wrong.
    """
    from gateway.config.secrets import KnownSecrets  # noqa: PLC0415  the other commands start faster without these
    from gateway.testing.report import as_data, difference  # noqa: PLC0415

    secrets = KnownSecrets()
    results = _results(directory, _cases(files, secrets, as_json=as_json), as_json=as_json)
    failed = [result for result in results if not result.passed]
    if as_json:
        data = {"ok": not failed, "tests": len(results), "failed": len(failed), "results": list(map(as_data, results))}
        click.echo(secrets.hide(json.dumps(data, indent=2)))
    else:
        for result in failed:
            click.echo(secrets.hide("\n".join(difference(result))) + "\n")
        legend = f"{len(failed)} failed (- expected, + got)" if failed else "all as expected"
        click.echo(f"{counted(len(results), 'test')}, {legend}")
    sys.exit(1 if failed else 0)


def _cases(files: Sequence[Path], secrets: KnownSecrets, *, as_json: bool) -> list[PlacedCase]:
    """All tests. Ends the command with every error of all files."""
    from gateway.config.problems import ConfigError  # noqa: PLC0415
    from gateway.testing.file import read_tests  # noqa: PLC0415

    cases: list[PlacedCase] = []
    problems: list[Problem] = []
    for file in files:
        try:
            cases += read_tests(file, os.environ, secrets)
        except ConfigError as error:
            problems += error.problems
    if problems:
        refuse(ConfigError(problems), as_json=as_json)
    return cases


def _results(directory: Path, cases: Sequence[PlacedCase], *, as_json: bool) -> list[Result]:
    from gateway.check import compile_offline  # noqa: PLC0415
    from gateway.config.problems import ConfigError  # noqa: PLC0415
    from gateway.testing.offline import OfflineLoop  # noqa: PLC0415
    from gateway.testing.run import run  # noqa: PLC0415

    async def results() -> list[Result]:
        return [result async for result in run(configuration, snapshot, cases)]

    try:
        snapshot = compile_offline(directory)
        configuration = snapshot.configuration
        with asyncio.Runner(loop_factory=OfflineLoop) as runner:
            return runner.run(results())
    except ConfigError as error:
        refuse(error, as_json=as_json)
