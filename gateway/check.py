"""Is the configuration right, and is it meant? Everything `serve` would refuse, and warnings beyond that."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gateway.auth import mounted, password_costs
from gateway.build import build
from gateway.config import checks
from gateway.config.checks import Check
from gateway.config.host_names import Place, host_names, perhaps_meant
from gateway.config.hosts_file import read_hosts
from gateway.config.load import ConfigError, Configuration, Problem, Refused, load
from gateway.config.problems import Fault, Severity, says_more
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.expand import missing_variable
from gateway.config.yaml.places import to_problem
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.llm import money
from gateway.managed import here as control_plane_here
from gateway.middleware import order
from gateway.outside.here import Port, missing_here
from gateway.outside.host_lookups import HostLookups
from gateway.snapshot import Snapshot
from gateway.trial import try_out
from gateway.upstream import certificate_ends
from gateway.upstream.transport import Connector, Resolver

RESOLVE_SECONDS = 1.0  # for all names together

STAND_INS = ("unset-" * 8, "1")
"""Placeholders for variables that are not set: texts and secrets that are long enough, and numbers."""

UNCHECKED = "values that need variables which are not set were not checked, nor what several keys together show"

WARNINGS = (
    *checks.WARNINGS,
    Check("routes.yaml", certificate_ends.warnings),
    Check("middleware.yaml", order.warnings),
    Check("auth.yaml", password_costs.warnings),
    Check("auth.yaml", mounted.warnings),
    Check("models.yaml", money.warnings),
)
"""All that is probably not meant, but for names that do not resolve."""


def compile_offline(directory: Path) -> Snapshot:
    """The snapshot that `serve` would use. Raises ConfigError."""
    with _without_secrets() as secrets:
        configuration = load(directory, os.environ, secrets)
        try_out(configuration, {})
        return compiled(configuration)


@contextlib.contextmanager
def _without_secrets() -> Iterator[KnownSecrets]:
    """Errors are shown without the secrets that the files name: they may be read in the log of a build server."""
    secrets = KnownSecrets()
    try:
        yield secrets
    except ConfigError as error:
        problems = [replace(problem, message=secrets.hide(problem.message)) for problem in error.problems]
        raise ConfigError(problems) from None


def compiled(configuration: Configuration) -> Snapshot:
    """The compiled configuration as `serve` would make it, not started. Raises ConfigError."""
    loop = asyncio.new_event_loop()  # for the sake of what would run on it
    try:
        connector = Connector(Deadlines(loop), Resolver({}))
        return build(configuration, Owner().plan(), connector)
    finally:
        loop.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of `gateway check` beyond the files."""

    ports: Sequence[Port] = ()  # that `serve` would listen on
    here: bool = False  # what this machine lacks is an error
    variables: bool = True  # and so is a variable that is not set


@dataclass(frozen=True, slots=True)
class Found:
    """`complete`: nothing else can show when these are corrected."""

    problems: list[Problem]
    complete: bool


def check(directory: Path, resolve: dict[str, str], asked: Asked = Asked()) -> list[Problem]:
    """Every error; where there is none, every warning. `resolve` are addresses that the name service need not know."""
    return examine(directory, resolve, asked).problems


def examine(directory: Path, resolve: dict[str, str], asked: Asked = Asked()) -> Found:
    """The same, and whether errors may have hidden others."""
    unset: list[Problem] = []
    try:
        with _without_secrets() as secrets:
            configuration = _loaded(directory, secrets, unset, variables=asked.variables)
            if configuration is None:
                return Found(unset, complete=False)
            given = read_hosts(directory) | resolve
            names = {name: place for name, place in host_names(configuration).items() if name not in given}
            lookups = HostLookups(names, RESOLVE_SECONDS)
            try_out(configuration, {})
            compiled(configuration)
    except ConfigError as error:
        return Found(list(error.problems), complete=False)
    found = [*checks.run(WARNINGS, configuration, "warning"), *unset]
    found += _unresolved(configuration, names, lookups, given)
    severity: Severity = "error" if asked.here else "warning"
    found += missing_here(configuration, asked.ports, severity)
    of_control_plane = control_plane_here.missing_here(configuration, os.environ)
    found += (to_problem(configuration.documents["middleware.yaml"], fault, severity) for fault in of_control_plane)
    return Found(sorted(found, key=lambda problem: (problem.file, problem.line, problem.column)), complete=True)


def _loaded(directory: Path, secrets: KnownSecrets, unset: list[Problem], *, variables: bool) -> Configuration | None:
    """The configuration. Without `variables`, those that are not set are warnings in `unset`, and something stands for
    them; None: nothing does, and the values that need them were not looked at. Raises ConfigError."""
    try:
        return load(directory, os.environ, secrets)
    except ConfigError as error:
        problems = [*error.problems, *(_of_the_rest(error) if isinstance(error, Refused) else ())]
        names = {name for problem in problems if (name := missing_variable(problem.message)) is not None}
        others = [each for each in problems if missing_variable(each.message) is None and not says_more(each)]
        if variables or others or not names:
            raise ConfigError(problems) from None
        unset += [replace(problem, severity="warning") for problem in problems]
    for text in STAND_INS:
        with contextlib.suppress(ConfigError):
            return load(directory, os.environ | dict.fromkeys(names, text), secrets)
    unset.append(Problem("routes.yaml", 0, 0, "", UNCHECKED, "warning"))
    return None


def _of_the_rest(error: Refused) -> Iterator[Problem]:
    """What else is wrong, in parts that have no error so far."""
    for look in (partial(try_out, error.rest, {}), partial(compiled, error.rest)):
        try:
            look()
        except ConfigError as found:
            yield from error.further(found.problems)
            return  # what cannot be tried is not loaded into this process
        except LookupError:  # something refers to what was left out
            return


def _unresolved(
    configuration: Configuration, places: Mapping[str, Place], lookups: HostLookups, given: Iterable[str]
) -> Iterator[Problem]:
    for name, reason in lookups.unresolved():
        file, place = places[name]
        yield to_problem(configuration.documents[file], Fault(place, reason + perhaps_meant(name, given)), "warning")
