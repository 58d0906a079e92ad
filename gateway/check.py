"""Is the configuration right, and is it meant? Everything `serve` would refuse, and warnings beyond that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from gateway.auth import password_costs
from gateway.build import Snapshot, build
from gateway.config import checks
from gateway.config.checks import Check
from gateway.config.load import ConfigError, Configuration, Problem, load
from gateway.config.problems import Fault
from gateway.config.secrets import KnownSecrets
from gateway.config.values.addresses import AddressTarget, parse_address, parse_target
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.middleware import order
from gateway.trial import try_out
from gateway.upstream.transport import Connector, Resolver

RESOLVE_SECONDS = 1.0  # for all names together
RESOLVERS = 16  # threads

_Path = tuple[str | int, ...]

WARNINGS = (
    *checks.WARNINGS,
    Check("middleware.yaml", order.warnings),
    Check("auth.yaml", password_costs.warnings),
)
"""All that is probably not meant, but for names that do not resolve."""


def compile_offline(directory: Path) -> Snapshot:
    """What `serve` would serve. Raises ConfigError."""
    with _without_secrets() as secrets:
        configuration = load(directory, os.environ, secrets)
        try_out(configuration, {})
        return _compile(configuration)


@contextlib.contextmanager
def _without_secrets() -> Iterator[KnownSecrets]:
    """What is wrong is shown without the secrets that the files name: it may be read in the log of a build server."""
    secrets = KnownSecrets()
    try:
        yield secrets
    except ConfigError as error:
        problems = [replace(problem, message=secrets.hide(problem.message)) for problem in error.problems]
        raise ConfigError(problems) from None


def _compile(configuration: Configuration) -> Snapshot:
    loop = asyncio.new_event_loop()  # for the sake of what would run on it
    try:
        connector = Connector(Deadlines(loop), Resolver({}))
        return build(configuration, Owner().plan(), connector)
    finally:
        loop.close()


def check(directory: Path, resolve: Mapping[str, str]) -> list[Problem]:
    """Every error; where there is none, every warning. `resolve` are addresses that the name service need not know."""
    try:
        with _without_secrets() as secrets:
            configuration = load(directory, os.environ, secrets)
            lookups = _Lookups({host: path for host, path in _hosts(configuration) if host not in resolve})
            try_out(configuration, {})
            _compile(configuration)
    except ConfigError as error:
        return list(error.problems)
    found = checks.run((*WARNINGS, Check("routes.yaml", lookups.unresolved)), configuration, "warning")
    return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column))


class _Lookups:
    """Looks up many names at once, beside other work: on threads of its own, since an executor would wait at the end of
    the process for a name service that hangs."""

    def __init__(self, places: Mapping[str, _Path]) -> None:
        self._places = places
        self._answers: SimpleQueue[tuple[str, OSError | None]] = SimpleQueue()
        self._end = time.monotonic() + RESOLVE_SECONDS
        waiting = iter(places)
        for _ in range(min(RESOLVERS, len(places))):
            threading.Thread(target=self._ask, args=(waiting,), daemon=True).start()

    def _ask(self, waiting: Iterator[str]) -> None:
        for name in waiting:
            failure = None
            try:
                socket.getaddrinfo(name, None)
            except OSError as error:
                failure = error
            self._answers.put((name, failure))

    def unresolved(self, _: Configuration) -> Iterator[Fault]:
        """Names that do not resolve, on this machine and now; waits for the answers until the time is over."""
        unanswered = dict(self._places)
        with contextlib.suppress(Empty):
            while unanswered:
                name, failure = self._answers.get(timeout=max(0.0, self._end - time.monotonic()))
                place = unanswered.pop(name)
                if failure is not None:
                    yield Fault(place, f"{name} does not resolve here: {failure.strerror or failure}")
        if unanswered:
            name, place = next(iter(unanswered.items()))
            others = f" and {len(unanswered) - 1} other names" if len(unanswered) > 1 else ""
            yield Fault(place, f"{name}{others} did not resolve within {RESOLVE_SECONDS:g} s")


def _hosts(configuration: Configuration) -> Iterator[tuple[str, _Path]]:
    """The host of every target, and where it is named."""
    for index, route in enumerate(configuration.routes.routes):
        if route.answered_here:
            continue
        target = parse_target(route.target)
        if isinstance(target, AddressTarget):
            yield target.host, ("routes", index, "target")
    for name, service in configuration.routes.services.items():
        for index, endpoint in enumerate(service.endpoints):
            yield parse_address(endpoint.address)[0], ("services", name, "endpoints", index)
