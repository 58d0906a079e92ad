"""Is the configuration right, and is it meant? Everything `serve` would refuse, and warnings beyond that."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from gateway.build import Snapshot, State, build, rules
from gateway.config.addresses import AddressTarget, parse_address, parse_target
from gateway.config.load import ConfigError, Configuration, Problem, load
from gateway.config.problems import format_path
from gateway.deadlines import Deadlines
from gateway.routes.check import warnings
from gateway.state import Survivors
from gateway.upstream.transport import Connector, Resolver

RESOLVE_SECONDS = 1.0  # for all names together
RESOLVERS = 16  # threads

_Path = tuple[str | int, ...]


def compile_offline(directory: Path) -> Snapshot:
    """What `serve` would serve. Raises ConfigError."""
    return _compile(load(directory, os.environ), directory)


def _compile(configuration: Configuration, directory: Path) -> Snapshot:
    async def compiled() -> Snapshot:
        connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
        return build(configuration, State(connector, Survivors(), Survivors()), base=directory)

    return asyncio.run(compiled())


def check(directory: Path, resolve: Mapping[str, str]) -> list[Problem]:
    """Every error; where there is none, every warning. `resolve` are addresses that the name service need not know."""
    try:
        configuration = load(directory, os.environ)
        _compile(configuration, directory)
    except ConfigError as error:
        return list(error.problems)
    found = [*_about_routes(configuration), *_about_names(configuration, resolve)]
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _warning(configuration: Configuration, path: _Path, message: str) -> Problem:
    line, column = configuration.locate("routes.yaml", path)
    return Problem("routes.yaml", line, column, format_path(path), message, "warning")


def _about_routes(configuration: Configuration) -> Iterator[Problem]:
    routes = configuration.routes
    places = {route.id: index for index, route in enumerate(routes.routes)}
    for warning in warnings(rules(configuration), routes.base_path, routes.accept_rewritten):
        yield _warning(configuration, ("routes", places[warning.rule_id], "path"), warning.message)


def _about_names(configuration: Configuration, resolve: Mapping[str, str]) -> Iterator[Problem]:
    """Targets whose names do not resolve, on this machine and now."""
    places = dict(_hosts(configuration))
    names = [name for name in places if name not in resolve]
    pool = ThreadPoolExecutor(RESOLVERS)
    lookups = {pool.submit(socket.getaddrinfo, name, None): name for name in names}
    done, pending = wait(lookups, RESOLVE_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    for lookup in done:
        failure = lookup.exception()
        if failure is not None:
            name = lookups[lookup]
            reason = getattr(failure, "strerror", None) or failure
            yield _warning(configuration, places[name], f"{name} does not resolve here: {reason}")
    if pending:
        some = ", ".join(sorted(lookups[lookup] for lookup in pending)[:3])
        message = f"{len(pending)} names did not resolve within {RESOLVE_SECONDS:g} s (such as {some})"
        yield _warning(configuration, ("routes",), message)


def _hosts(configuration: Configuration) -> Iterator[tuple[str, _Path]]:
    """The host of every target, and where it is named."""
    for index, route in enumerate(configuration.routes.routes):
        target = parse_target(route.target)
        if isinstance(target, AddressTarget):
            yield target.host, ("routes", index, "target")
    for name, service in configuration.routes.services.items():
        for index, endpoint in enumerate(service.endpoints):
            yield parse_address(endpoint.address)[0], ("services", name, "endpoints", index)
