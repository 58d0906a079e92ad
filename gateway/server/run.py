"""Running the gateway: two uvicorn servers on one loop, signals, drain.

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
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from gateway.admin.access import Listening
from gateway.admin.app import admin_app, metrics_app
from gateway.app import Gateway
from gateway.app.asgi import Application
from gateway.app.health import PROBES, probe
from gateway.auth.replays import SERVICE as REPLAYS
from gateway.auth.replays import ReplayMemory
from gateway.build import Snapshot
from gateway.config.models import AccessLog as AccessLogConfig
from gateway.config.models import ClientLimits, Drain
from gateway.config.problems import ConfigError, Problem
from gateway.config.secrets import KnownSecrets
from gateway.deadlines import Deadlines
from gateway.http import Report
from gateway.http.frames import GOING_AWAY
from gateway.live import Owner, Plan
from gateway.monitor.access_log import STANDARD, AccessLog, AccessLogSettings, check_output
from gateway.monitor.audit_log import SERVICE as AUDIT_LOG
from gateway.monitor.audit_log import AuditLog
from gateway.monitor.endpoint_metrics import endpoint_metrics
from gateway.monitor.metrics import Metrics, plain
from gateway.monitor.recent_requests import RecentRequests
from gateway.monitor.resilience_metrics import resilience_metrics
from gateway.plurals import counted
from gateway.registry.discovery import Discovery
from gateway.registry.metrics import discovery_metrics
from gateway.reload import Reloader
from gateway.server.accepting import LET_IN, Acceptor
from gateway.server.admin import AdminAccess
from gateway.server.audit import settings_of_audit_log
from gateway.server.context import ServerContext
from gateway.server.http1.connection import Http1Connection
from gateway.server.listen import BACKLOG, ListenError, address_of, listen
from gateway.server.loop_watch import LoopWatch
from gateway.server.memory import give_memory_back
from gateway.server.name_warnings import NameWarnings
from gateway.upstream.service import Upstream
from gateway.upstream.transport import Connector, Resolver

logger = logging.getLogger("gateway")

DESCRIPTORS_KEPT = 64  # for files, listeners, pipes
GRACE_SECONDS = 1.0  # behind the drain deadline


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What the command line says."""

    directory: Path
    listen: tuple[str, int]
    admin: tuple[str, int] | None
    metrics: tuple[str, int] | None
    log_format: str | None
    resolve: dict[str, str]
    secrets: KnownSecrets  # hidden in the process's own log


async def serve(options: ServeOptions) -> None:
    """Serve until a signal says otherwise. Raises ListenError."""
    _raise_descriptor_limit()
    # A request leaves no cycles behind: looking for them every 700 objects costs a twentieth of the time.
    gc.set_threshold(10_000, 20, 50)
    sockets = listen(*options.listen, "--host", "--port")
    admin_sockets = listen(*options.admin, "--admin", "--admin") if options.admin else []
    metrics_sockets = listen(*options.metrics, "--metrics", "--metrics") if options.metrics else []
    deadlines = Deadlines(asyncio.get_running_loop())
    connector = Connector(deadlines, Resolver(options.resolve))
    metrics = Metrics()
    access_log = AccessLog(_access_log_settings(AccessLogConfig(), options.log_format))
    owner = Owner()
    audit_log = owner.hold(AUDIT_LOG, AuditLog())
    owner.hold(REPLAYS, ReplayMemory())
    recent = RecentRequests()
    # The last requests are kept where they can be shown.
    reports = [access_log.report, metrics.observe, *([recent.report] if options.admin is not None else ())]
    admin_access = AdminAccess(options.directory, options.admin, options.secrets)
    names = NameWarnings(options.resolve)

    def prepare(snapshot: Snapshot, plan: Plan) -> None:
        admin_access.check(snapshot)
        plan.after_adoption(_change_of_logs(access_log, audit_log, reports, options, snapshot))
        plan.after_adoption(partial(admin_access.take_over, snapshot))
        plan.after_adoption(partial(names.look, snapshot.configuration))

    reloader = Reloader(options.directory, os.environ, owner, connector, prepare, options.secrets)
    loop_watch = LoopWatch()
    metrics.add_source(lambda: [*discovery_metrics(owner.all(Discovery)), *endpoint_metrics(owner.all(Upstream))])
    metrics.add_source(lambda: plain(reloader.measures() | owner.measures() | loop_watch.measures()))
    metrics.add_source(partial(resilience_metrics, owner))
    gateway = Gateway(reloader, reports)
    server = GatewayServer(gateway, ServerContext(gateway, deadlines, _LimitsInForce(reloader)))
    try:
        with _signals(server, loop_watch, access_log, audit_log):
            loop_watch.start()
            owner.tasks.supervise("giving memory back", partial(give_memory_back, server.context.connections))
            if not await server.prepared(reloader.start()):
                return
            if admin_access.refusal is not None:
                raise ListenError(admin_access.refusal)
            _log_places(sockets, admin_sockets, metrics_sockets)
            beside: list[tuple[ASGIApp, list[socket.socket]]] = []
            if options.admin is not None:
                where, report = Listening(*options.admin), audit_log.report_change
                app = admin_app(reloader, metrics, recent, where, admin_access.credentials, report)
                beside.append((app, admin_sockets))
            if options.metrics is not None:
                app = metrics_app(metrics, lambda path: probe(path, reloader, draining=gateway.draining), PROBES)
                beside.append((app, metrics_sockets))
            await _run(server, sockets, beside)
    finally:
        loop_watch.stop()
        access_log.close()


def _log_places(*listening: list[socket.socket]) -> None:
    logger.info("listening on %s; admin: %s; metrics: %s", *map(address_of, listening))


async def _run(
    server: GatewayServer, sockets: list[socket.socket], beside: Sequence[tuple[ASGIApp, list[socket.socket]]]
) -> None:
    servers = [(_SideServer(app), their_sockets) for app, their_sockets in beside]
    async with asyncio.TaskGroup() as tasks:
        for side, their_sockets in servers:
            tasks.create_task(side.serve(their_sockets))
        await server.serve(sockets)
        for side, _ in servers:
            side.should_exit = True


@contextlib.contextmanager
def _signals(
    server: GatewayServer, loop_watch: LoopWatch, access_log: AccessLog, audit_log: AuditLog
) -> Iterator[None]:
    """Handle signals on the loop, also those that a shell had us ignore, as it does for what runs in its background."""
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], object]] = {
        signal.SIGTERM: partial(server.drain, window=True),
        signal.SIGINT: partial(server.drain, window=False),
        signal.SIGHUP: server.gateway.reloader.reload,
        signal.SIGUSR1: partial(_reopen, access_log, audit_log),
    }
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        # The loop is told of it by another way. This is called at once, also where the loop does not turn.
        signal.signal(number, lambda _number, _frame: loop_watch.end_within(server.seconds_to_end))
        signal.siginterrupt(number, True)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)


def _reopen(access_log: AccessLog, audit_log: AuditLog) -> None:
    access_log.reopen()
    audit_log.reopen()


def _access_log_settings(config: AccessLogConfig, log_format: str | None) -> AccessLogSettings:
    console = (log_format or config.format) == "console"
    return AccessLogSettings(config.output, "console" if console else "json")


def _change_of_logs(
    access_log: AccessLog, audit_log: AuditLog, reports: list[Report], options: ServeOptions, snapshot: Snapshot
) -> Callable[[], None]:
    """What lets both logs go where a new configuration wants them. Raises ConfigError where one cannot.

    The audit log is among `reports` only while there is one: it need not be called with every request otherwise.
    """
    audit_settings = settings_of_audit_log(options.directory, snapshot, audit_log.settings)
    access_settings = _settings_of_access_log(access_log.settings, options.log_format, snapshot)

    def change() -> None:
        if access_settings != access_log.settings:
            access_log.change(access_settings)
        audit_log.configure(audit_settings)
        reports[:] = [report for report in reports if report != audit_log.report]
        if audit_settings is not None:
            reports.append(audit_log.report)

    return change


def _settings_of_access_log(former: AccessLogSettings, log_format: str | None, snapshot: Snapshot) -> AccessLogSettings:
    """Where a new configuration wants it. Raises ConfigError where that cannot be written."""
    configuration = snapshot.configuration
    settings = _access_log_settings(configuration.middleware.access_log, log_format)
    if settings.output not in STANDARD:
        settings = replace(settings, output=str(configuration.base / settings.output))
    try:
        if settings != former:
            check_output(settings)
    except OSError as error:
        message = f"{settings.output} cannot be written: {error.strerror}; correct the path or its permissions"
        line, column = configuration.locate("middleware.yaml", ("access_log", "output"))
        raise ConfigError([Problem("middleware.yaml", line, column, "access_log.output", message)]) from None
    return settings


class _LimitsInForce:
    """Those of the configuration; never more connections than there are descriptors for, each with one to an upstream.

    They are made once for each configuration, not for each connection.
    """

    def __init__(self, reloader: Reloader) -> None:
        self._reloader = reloader
        self._configured = self._in_force = ClientLimits()

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


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Server(uvicorn.Server):
    """uvicorn's server; the signals are handled here for both of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None."""
        yield


class GatewayServer(_Server):
    """uvicorn's server, which drains before it ends."""

    def __init__(self, gateway: Gateway, context: ServerContext) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, Application(gateway)),  # which is not asked: connections call the gateway itself
                ws="none",
                lifespan="off",
                backlog=BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # whom to believe is for trusted_proxies to say
            )
        )
        self.gateway = gateway
        self.context = context
        self._preparing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._deadline = 0.0
        self._acceptor: Acceptor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve these sockets."""
        await super().startup([])
        make = partial(Http1Connection, self.context)
        self._acceptor = Acceptor(self.context.loop, sockets or (), make, self.config.ssl, self._room)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: the Date of responses is written by uvicorn, every second."""
        ends = await super().on_tick(counter)
        self.context.date_line = b"".join(b"%b: %b\r\n" % line for line in self.server_state.default_headers)
        return ends

    def _room(self) -> int:
        return max(LET_IN, self.context.limits().connections // 8)

    async def prepared(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do what must be done before anything is served. Whether it was: a signal that ends the process ends it."""
        self._preparing = asyncio.create_task(work)
        try:
            await self._preparing
        except asyncio.CancelledError:
            logger.info("ended before anything was served")
            return False
        return True

    def drain(self, *, window: bool) -> None:
        """Begin to end."""
        if self._preparing is not None and not self._preparing.done():
            self._preparing.cancel()
        elif self._draining is None:
            self._draining = asyncio.create_task(self._drain(window=window))

    @property
    def seconds_to_end(self) -> float:
        """After which the process is ended, whatever is left."""
        return self._drain_settings().deadline + GRACE_SECONDS

    def _drain_settings(self) -> Drain:
        snapshot = self.gateway.reloader.current
        return snapshot.configuration.middleware.drain if snapshot else Drain()

    async def _drain(self, *, window: bool) -> None:
        """Not ready any more, but still serving, until the load balancer has noticed; then stop accepting."""
        settings = self._drain_settings()
        self._deadline = asyncio.get_running_loop().time() + settings.deadline
        _end_at_the_latest(self.seconds_to_end)
        self.gateway.draining = self.context.draining = True
        seconds = settings.window if window else 0
        logger.info("draining: not ready, serving for %g s more, ending within %g s", seconds, settings.deadline)
        await asyncio.sleep(min(seconds, settings.deadline))
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, finish what is in flight, end WebSockets, and close what is left at the deadline."""
        self._acceptor.close()
        connections = self.context.connections
        for connection in list(connections):
            if isinstance(connection, Http1Connection):
                connection.shutdown()
        loop = asyncio.get_running_loop()
        while connections and loop.time() < self._deadline:
            self.gateway.close_websockets(GOING_AWAY)  # also those that are only now being opened
            await asyncio.sleep(0.02)
        if connections:
            logger.warning("%s cut off at the drain deadline", counted(len(connections), "connection"))
            for connection in list(connections):
                connection.abandon()
            await asyncio.sleep(0.05)  # for the exchanges to notice it, and to report
        await self.gateway.reloader.stop()
        logger.info("ended")


def _end_at_the_latest(seconds: float) -> None:
    """End the process then, even if a task swallows its cancellation, or a thread or a reader of the log is stuck."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


class _SideServer(_Server):
    """Serves what stands beside the gateway: the admin API, metrics."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                cast(Any, app),
                lifespan="off",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
