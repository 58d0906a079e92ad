"""Running the gateway: its servers on one loop, and signals.

SIGTERM, SIGINT   drain and end (SIGINT without the window); a second one ends at once
SIGHUP            read the configuration again
SIGUSR1           reopen the access log and the audit log
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.app import Gateway
from gateway.app.health import status_of
from gateway.auth.replays import SERVICE as REPLAYS
from gateway.auth.replays import ReplayMemory
from gateway.auth.token_times import SERVICE as TOKEN_TIMES
from gateway.auth.token_times import TokenTimes
from gateway.config.models import ClientLimits
from gateway.config.problems import ConfigError
from gateway.config.secrets import KnownSecrets
from gateway.deadlines import Deadlines
from gateway.http import Report
from gateway.live import Owner, Plan
from gateway.live.free_memory import keep_large_blocks_apart
from gateway.managed.gateway import ManagedGateway
from gateway.middleware.maintenance import maintained
from gateway.monitor.process_log import ProcessLog
from gateway.registry.discovery import Discovery
from gateway.reload import Reloader
from gateway.roles import ALL, Roles
from gateway.server.alerts import AlertSending
from gateway.server.clock_watch import SERVICE as CLOCK
from gateway.server.clock_watch import ClockWatch
from gateway.server.context import ServerContext
from gateway.server.listen import Kind, StartError, Wanted
from gateway.server.logs import Logs, logs_of
from gateway.server.loop_watch import LoopWatch
from gateway.server.memory import give_memory_back, keep_in_huge_pages
from gateway.server.memory_limit import SERVICE as MEMORY_LIMIT
from gateway.server.memory_limit import MemoryLimit
from gateway.server.name_warnings import NameWarnings
from gateway.server.observed import Observed
from gateway.server.parts import import_parts
from gateway.server.servers import GatewayServer
from gateway.server.side_applications import SideApplications
from gateway.server.speaking import Speaking
from gateway.server.state_directory import SERVICE as STATE_DIRECTORY
from gateway.server.state_directory import StateDirectory
from gateway.server.succession import Places, Succession
from gateway.server.systemd import READY, notify, reloading, sockets_of_systemd, status
from gateway.snapshot import Snapshot
from gateway.upstream.transport import Connector, Resolver

logger = logging.getLogger("gateway")

DESCRIPTORS_KEPT = 64  # for files, listeners, pipes


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of the command line."""

    directory: Path
    listen: Mapping[Kind, Wanted]
    log_format: str | None
    resolve: dict[str, str]
    secrets: KnownSecrets  # hidden in the process's own log
    log: ProcessLog
    strict: bool  # a configuration with errors ends it at the start
    takeover: bool  # the listeners are those of the gateway that runs, if one does
    roles: Roles = ALL


async def serve(options: ServeOptions) -> None:
    """Serve until a signal says otherwise. Raises StartError."""
    _raise_descriptor_limit()
    places = Places(options.listen, sockets_of_systemd(os.environ), takeover=options.takeover)
    beside = SideApplications(places, options.directory, options.secrets)
    _manage_memory()
    deadlines = Deadlines(asyncio.get_running_loop())
    resolver = Resolver(options.resolve)
    connector = Connector(deadlines, resolver)
    owner, reports = Owner(), list[Report]()
    observed = Observed(owner, reports, options.roles)
    logs = logs_of(owner, options.log, options.log_format)
    owner.hold(REPLAYS, ReplayMemory())
    reports += [logs.access.report, *([beside.recent.report] if beside.recent is not None else ())]
    names = NameWarnings(options.resolve, resolver.missed)
    speaking = Speaking(options.roles, owner, observed, reports)

    def prepare(snapshot: Snapshot, plan: Plan) -> None:
        speaking.check(snapshot)
        beside.check(snapshot)
        observed.plan(snapshot, plan)
        changed = logs.change(options.directory, reports, snapshot, plan)
        state_directory = options.directory / snapshot.configuration.middleware.state_directory
        succession.take(state_directory)
        plan.after_adoption(changed)
        plan.after_adoption(partial(state.go_on_in, state_directory))
        plan.after_adoption(partial(succession.wait_in, state_directory))
        plan.after_adoption(partial(beside.follow, snapshot))
        plan.after_adoption(partial(names.look, snapshot.configuration))
        speaking.plan(snapshot, plan)

    reloader = Reloader(
        options.directory, os.environ, owner, connector, prepare, options.secrets, options.roles, import_parts
    )
    loop_watch, state = LoopWatch(), owner.hold(STATE_DIRECTORY, StateDirectory())
    gateway, managed = Gateway(reloader, reports), ManagedGateway(reloader, os.environ, options.secrets, reports)
    sending = AlertSending(options.secrets, options.roles, lambda: server.acts, shown=beside.any)
    observed.include(gateway, loop_watch, managed, sending)
    server = GatewayServer(gateway, ServerContext(gateway, deadlines, _LimitsInForce(reloader)))
    succession = Succession(server, places, logs.audit)
    reloader.beside |= {
        "status": lambda: status_of(reloader, draining=gateway.draining),
        "ending": lambda: server.ending,
        "former": lambda: succession.former,
        "maintenance": lambda: None if reloader.current is None else maintained(reloader.current.configuration),
    }
    try:
        with _signals(server, loop_watch, logs):
            await observed.start(loop_watch)
            _watch_machine(owner, server.context.connections)
            refused = _when_refused(options, reloader)
            if not await server.prepared(_begin(managed, reloader, succession, (beside, speaking), refused)):
                return
            await succession.serve(beside.made(gateway, observed, logs.audit.report_change))
    finally:
        succession.end()
        loop_watch.stop()
        logs.access.close()


def _watch_machine(owner: Owner, connections: Sized) -> None:
    """Its clock and its memory, from now on."""
    clock = owner.hold(CLOCK, ClockWatch(owner, owner.hold(TOKEN_TIMES, TokenTimes())))
    memory = owner.hold(MEMORY_LIMIT, MemoryLimit())
    owner.tasks.supervise("the watch over the clock", clock.watch)
    owner.tasks.supervise("the watch over the memory", memory.watch)
    owner.tasks.supervise("giving memory back", partial(give_memory_back, connections))
    owner.tasks.supervise("memory in huge pages", keep_in_huge_pages)


def _when_refused(options: ServeOptions, reloader: Reloader) -> str | None:
    """Why a configuration that is refused is the end of this process; None: it waits for another one."""
    if options.takeover:
        reloader.without = "this process ends, and a gateway that serves here goes on"
        return "nothing is taken over: a gateway that serves here goes on"
    if options.strict:
        reloader.without = "this process ends"
        return "--strict ends here"
    return None


async def _begin(
    managed: ManagedGateway,
    reloader: Reloader,
    succession: Succession,
    conditions: Iterable[SideApplications | Speaking],
    refused: str | None,
) -> None:
    """Load the configuration. `refused`: why it is the end where it is refused. Raises StartError."""
    await reloader.start(managed.kept)
    managed.begin()
    for condition in conditions:
        if condition.refusal is not None:
            raise StartError(condition.refusal)
    if reloader.current is None and refused is not None:
        raise StartError(f"the configuration is refused, as the log says, and {refused}; gateway check lists all")
    await succession.ready(reloader.owner.all(Discovery))


@contextlib.contextmanager
def _signals(server: GatewayServer, loop_watch: LoopWatch, logs: Logs) -> Iterator[None]:
    """Handle signals on the loop, also those that a shell had us ignore, as it does for what runs in its background."""
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], object]] = {
        signal.SIGTERM: partial(server.drain, window=True),
        signal.SIGINT: partial(server.drain, window=False),
        signal.SIGHUP: partial(_reload, server.gateway.reloader),
        signal.SIGUSR1: logs.reopen,
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The loop gets the signal by another way. This handler runs at once, even if the loop is blocked.
        signal.signal(number, lambda _number, _frame: loop_watch.end_within(server.seconds_to_end))
        signal.siginterrupt(number, True)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _reload(reloader: Reloader) -> None:
    """Read the files again, and notify systemd of the end and the result."""
    notify(reloading())
    reloader.reload().add_done_callback(lambda done: notify(READY, status(_outcome(done.result()))))


def _outcome(error: ConfigError | None) -> str:
    return "serving" if error is None else f"serving the former configuration; refused: {error.problems[0]}"


class _LimitsInForce:
    """Those of the configuration; never more connections than there are descriptors for, each with one to an upstream.

    They are made once for each configuration, not for each connection.
    """

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._configured = self._in_force = ClientLimits.unset()

    def __call__(self) -> ClientLimits:
        snapshot = self._reloader.current
        limits = snapshot.configuration.middleware.limits if snapshot else self._configured
        if limits is not self._configured or not snapshot:
            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            most = max(1, (descriptors - DESCRIPTORS_KEPT) // 2)
            self._configured = limits
            few = limits.connections <= most
            self._in_force = limits if few else limits.model_copy(update={"connections": most})
        return self._in_force


def _manage_memory() -> None:
    """Look for garbage rarely: a request leaves no cycles behind, and to look every 700 objects is a twentieth of the
    time."""
    gc.set_threshold(10_000, 20, 50)
    gc.freeze()  # what was imported stays
    gc.enable()
    keep_large_blocks_apart()


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
