"""Is the configuration right, and is it meant? Everything `serve` would refuse, and warnings beyond that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue

from gateway.algorithms.conditions import compile_condition
from gateway.auth.password import parse
from gateway.auth.password_checks import MEMORY
from gateway.build import Snapshot, build, rules
from gateway.config.doubts import doubts
from gateway.config.load import ConfigError, Configuration, Problem, load
from gateway.config.problems import format_path
from gateway.config.rule_routes import idle_patterns
from gateway.config.values.addresses import AddressTarget, parse_address, parse_target
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.middleware.order import left_out, misorders
from gateway.routes.check import warnings
from gateway.routes.literals import PathLiterals
from gateway.trial import try_out
from gateway.upstream.transport import Connector, Resolver

RESOLVE_SECONDS = 1.0  # for all names together
RESOLVERS = 16  # threads

_Path = tuple[str | int, ...]


def compile_offline(directory: Path) -> Snapshot:
    """What `serve` would serve. Raises ConfigError."""
    configuration = load(directory, os.environ)
    try_out(configuration, {}, directory)
    return _compile(configuration, directory)


def _compile(configuration: Configuration, directory: Path) -> Snapshot:
    loop = asyncio.new_event_loop()  # for the sake of what would run on it
    try:
        connector = Connector(Deadlines(loop), Resolver({}))
        return build(configuration, Owner().plan(), connector, base=directory)
    finally:
        loop.close()


def check(directory: Path, resolve: Mapping[str, str]) -> list[Problem]:
    """Every error; where there is none, every warning. `resolve` are addresses that the name service need not know."""
    try:
        configuration = load(directory, os.environ)
        places = {host: path for host, path in _hosts(configuration) if host not in resolve}
        lookups = _Lookups(list(places))  # while the rest is done
        try_out(configuration, {}, directory)
        _compile(configuration, directory)
    except ConfigError as error:
        return list(error.problems)
    found = [*_about_routes(configuration), *_about_names(configuration, places, lookups), *_about_rules(configuration)]
    return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column))


def _warning(configuration: Configuration, path: _Path, message: str, file: str = "routes.yaml") -> Problem:
    line, column = configuration.locate(file, path)
    return Problem(file, line, column, format_path(path), message, "warning")


def _about_rules(configuration: Configuration) -> Iterator[Problem]:
    """Rules that are for no route, and an order that lets through what another would not."""
    middleware = configuration.middleware
    if configuration.auth.mode == "shadow":
        message = "nobody is refused for a missing or wrong credential; write mode: enforce once it has been watched"
        yield _warning(configuration, ("mode",), message, "auth.yaml")
    for name, scheme in configuration.auth.schemes.items():
        if scheme.mtls is not None and scheme.mtls.source == "connection":
            message = "gateway serve ends no TLS connection, so that nobody shows a certificate here; name the header "
            message += "in which your proxy hands it over, such as source: x-ssl-client-cert"
            yield _warning(configuration, ("schemes", name, "mtls"), message, "auth.yaml")
        if scheme.forward_auth is not None and "set-cookie" in scheme.forward_auth.response_headers:
            message = "backends get no Set-Cookie of a request; for the client, name it in client_response_headers"
            yield _warning(configuration, ("schemes", name, "forward_auth", "response_headers"), message, "auth.yaml")
    yield from _about_passwords(configuration)
    yield from _about_names_of_headers(configuration)
    for path, message in idle_patterns(middleware, configuration.routes):
        yield _warning(configuration, path, message, "middleware.yaml")
    for index, message in misorders(middleware):
        yield _warning(configuration, ("order", index), message, "middleware.yaml")
    if (omission := left_out(middleware)) is not None:
        yield _warning(configuration, ("order",), omission, "middleware.yaml")
    automatic = middleware.blocklist.automatic
    if automatic is not None and "per" not in automatic.model_fields_set:
        message = "per is not given, and is [address] now; write per: [address], or per: [address, consumer] as before"
        yield _warning(configuration, ("blocklist", "automatic"), message, "middleware.yaml")


def _about_passwords(configuration: Configuration) -> Iterator[Problem]:
    """Hashes that make every wrong password dear: the first of each kind, and how many there are."""
    auth = configuration.auth
    if all(scheme.basic is None for scheme in auth.schemes.values()):
        return
    hashes = {i: parse(each.basic.password) for i, each in enumerate(auth.consumers) if each.basic is not None}
    if not hashes:
        return
    number = Counter(found.cost for found in hashes.values())
    usual = max(hashes.values(), key=lambda found: number[found.cost]).cost
    unusual = [index for index, found in hashes.items() if found.cost != usual]
    large = [index for index, found in hashes.items() if found.memory > MEMORY]
    remedy = "make them anew with `gateway keys password`"
    if unusual:
        message = "a wrong password costs the sum of all parameters that hashes have, and this one has others than most"
        message += f" ({len(unusual)} have); {remedy}"
        yield _warning(configuration, ("consumers", unusual[0], "basic", "password"), message, "auth.yaml")
    if large:
        memory = max(found.memory for found in hashes.values()) >> 20
        message = f"each check of a password takes {memory} MiB, because some hashes need more than {MEMORY >> 20} MiB "
        message += f"({len(large)} do); {remedy}, or give the gateway as much memory"
        yield _warning(configuration, ("consumers", large[0], "basic", "password"), message, "auth.yaml")


def _about_names_of_headers(configuration: Configuration) -> Iterator[Problem]:
    """Headers that a route wants to see and that its backend does not get."""
    for index, route in enumerate(configuration.routes.routes):
        for name in route.headers:
            remedy = "write limits.underscore_headers: pass in middleware.yaml" if "." not in name else "rename it"
            passing = configuration.middleware.limits.underscore_headers == "pass" and "." not in name
            if ("_" in name or "." in name) and not passing:
                message = f"the backend does not get {name}, which some take for a name with hyphens; if it needs it, "
                yield _warning(configuration, ("routes", index, "headers", name), message + remedy)


def _about_routes(configuration: Configuration) -> Iterator[Problem]:
    routes = configuration.routes
    places = {route.id: index for index, route in enumerate(routes.routes)}
    for warning in warnings(rules(configuration), routes.base_path, routes.accept_rewritten):
        yield _warning(configuration, ("routes", places[warning.rule_id], "path"), warning.message)
    yield from _about_conditions(configuration)
    for place, message in doubts(configuration):
        yield _warning(configuration, place, message)


def _about_conditions(configuration: Configuration) -> Iterator[Problem]:
    """Texts that `path` is compared with, and that no path is."""
    literals: PathLiterals | None = None
    for index, route in enumerate(configuration.routes.routes):
        for number, entry in enumerate(route.authorize):
            if entry.when is not None and (tests := compile_condition(entry.when).path_tests):
                literals = literals or PathLiterals(rules(configuration), configuration.routes.base_path)
                for message in literals.unmet(tests, index):
                    yield _warning(configuration, ("routes", index, "authorize", number, "when"), message)


def _about_names(configuration: Configuration, places: Mapping[str, _Path], lookups: _Lookups) -> Iterator[Problem]:
    """Targets whose names do not resolve, on this machine and now."""
    unanswered = dict(places)
    for name, failure in lookups.answers():
        place = unanswered.pop(name)
        if failure is not None:
            yield _warning(configuration, place, f"{name} does not resolve here: {failure.strerror or failure}")
    if unanswered:
        name, place = next(iter(unanswered.items()))
        others = f" and {len(unanswered) - 1} other names" if len(unanswered) > 1 else ""
        yield _warning(configuration, place, f"{name}{others} did not resolve within {RESOLVE_SECONDS:g} s")


class _Lookups:
    """Asks for many names at once. An executor would wait at the end of the process for a name service that hangs."""

    def __init__(self, names: list[str]) -> None:
        self._number = len(names)
        self._answers: SimpleQueue[tuple[str, OSError | None]] = SimpleQueue()
        self._end = time.monotonic() + RESOLVE_SECONDS
        waiting = iter(names)
        for _ in range(min(RESOLVERS, len(names))):
            threading.Thread(target=self._ask, args=(waiting,), daemon=True).start()

    def _ask(self, waiting: Iterator[str]) -> None:
        for name in waiting:
            failure = None
            try:
                socket.getaddrinfo(name, None)
            except OSError as error:
                failure = error
            self._answers.put((name, failure))

    def answers(self) -> Iterator[tuple[str, OSError | None]]:
        """Each name with what is wrong about it, as they come in, until the time is over."""
        with contextlib.suppress(Empty):
            for _ in range(self._number):
                yield self._answers.get(timeout=max(0.0, self._end - time.monotonic()))


def _hosts(configuration: Configuration) -> Iterator[tuple[str, _Path]]:
    """The host of every target, and where it is named."""
    for index, route in enumerate(configuration.routes.routes):
        if route.redirect is not None:
            continue
        target = parse_target(route.target)
        if isinstance(target, AddressTarget):
            yield target.host, ("routes", index, "target")
    for name, service in configuration.routes.services.items():
        for index, endpoint in enumerate(service.endpoints):
            yield parse_address(endpoint.address)[0], ("services", name, "endpoints", index)
