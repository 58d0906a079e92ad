"""`gateway agents serve`: one or several roles on the network, beside a gateway, until a signal says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from gateway.admin.client import TOKEN_VARIABLE
from gateway.admin.listening import Listening
from gateway.admin.port_users import users_of
from gateway.admin.tokens import FILE as TOKEN_FILE
from gateway.admin.tokens import read_token
from gateway.agents.alerting import Alerting
from gateway.agents.audit import RefusalLog
from gateway.agents.configured import Configured
from gateway.agents.flows import FLOWS, hostname_of, peers_of, senders_of
from gateway.agents.gateway_side import AdminSide, BusSide, GatewaySide
from gateway.agents.link import LinkSettings
from gateway.agents.node import Node, RoleWork
from gateway.agents.order import Order
from gateway.agents.payloads import Contents, Writer
from gateway.agents.pilot_link import PilotLink
from gateway.agents.role_lock import role_lock
from gateway.agents.role_setup import DIRECTORY, of_role, pins_of, pins_path
from gateway.agents.standing import STATUS_SECONDS, problems_of, standing_of, status_of, status_path
from gateway.agents.whole_file import write_whole
from gateway.config.models.agents import Agents
from gateway.config.secrets import KnownSecrets
from gateway.live import Tasks
from gateway.roles import Role

if TYPE_CHECKING:
    from gateway.agents.verifying import Verifier
    from gateway.config.models import Configuration

logger = logging.getLogger("gateway.agents")

STANDING_SECONDS: Final = 15.0  # between two words to the gateway where nothing changes
TOKEN_SECONDS: Final = 5.0  # for which the token of this machine is not read again


class StartError(Exception):
    """Why the bridge does not start, and what to do."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of the command line."""

    directory: Path
    roles: Sequence[Role]
    prefix: str | None
    socket: str | None
    admin: str
    wait: float  # seconds for the daemon at the start
    secrets: KnownSecrets
    environment: Mapping[str, str]


async def serve(options: ServeOptions) -> None:
    """Serve until a signal. Raises StartError and ConfigError."""
    configured = await asyncio.to_thread(Configured, options.directory, options.environment, options.secrets)
    bridge = Bridge(options, configured)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    running = asyncio.create_task(bridge.run(ended))
    stopping = asyncio.create_task(ended.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not running.done() and not bridge.began:
        running.cancel()
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


@dataclass(slots=True)
class _Served:
    """One role that is served."""

    node: Node
    work: RoleWork
    link: PilotLink
    refusals: RefusalLog
    reported: object = None  # the last state sent to the gateway, without counts
    reported_at: float = float("-inf")

    async def take(self) -> None:
        """Hand the messages of others to the role, until the link ends."""
        async for received in self.link.messages():
            try:
                await self.work.take(received)
            except Exception:
                logger.exception("a message of %s cannot be handled", received.hostname)


class Bridge:
    """All that the process serves."""

    def __init__(self, options: ServeOptions, configured: Configured) -> None:
        self.tasks = Tasks()
        self.began = False
        self._options = options
        self._configured = configured
        self._agents = configured.agents
        self._prefix = _prefix(options, self._agents)
        self._state = options.directory / configured.configuration.middleware.state_directory / DIRECTORY
        self._verifier = _verifier() if "auth" in options.roles else None
        self._alerting = Alerting(self._agents.alerts if "monitor" in options.roles else {}, options.directory)
        self.side, self._by = self._side()
        self._served: list[_Served] = []
        self._problem = ""  # of what it writes down

    async def run(self, ended: asyncio.Event) -> None:
        """Serve until `ended`. Raises StartError where a daemon is not there in time."""
        self._warn()
        try:
            self._state.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"{self._state} cannot be made: {error.strerror}; see state_directory") from None
        async with contextlib.AsyncExitStack() as stack:
            try:
                for role in self._options.roles:
                    await stack.enter_async_context(role_lock(self._state, role, self._options.wait))
            except TimeoutError as error:
                raise StartError(str(error)) from None
            except OSError as error:
                raise StartError(f"{self._state} cannot be written: {error.strerror}; see state_directory") from None
            await self._use(self._configured.configuration)
            self._served = [self._role(role) for role in self._options.roles]
            for served in self._served:
                await stack.enter_async_context(served.link)
            try:
                await asyncio.gather(*(served.link.ready(self._options.wait) for served in self._served))
            except TimeoutError as error:
                raise StartError(str(error)) from None
            self.began = True
            await self._begin()
            try:
                await ended.wait()
            finally:
                await self._end()

    async def _begin(self) -> None:
        for served in self._served:
            served.refusals.begin()
            served.work.begin()
            self.tasks.supervise(f"messages for {served.node.hostname}", served.take)
        self._alerting.begin()
        await self.side.start()
        self.tasks.supervise("reports of the bridge's state", self._tell)
        self.tasks.supervise("the watch over the configuration", lambda: self._configured.watch(self._use))
        names = ", ".join(served.node.hostname for served in self._served)
        logger.info("serving %s; the gateway is met over %s", names, self._by)

    async def _end(self) -> None:
        await self.tasks.end()
        for served in self._served:
            await served.work.tasks.end()
            self.side.publish(standing_of(served.node, (), ended=True))
        await self._write(ended=True)
        await self._alerting.stop()
        await self.side.stop()
        for served in self._served:
            await served.refusals.stop()
        if self._verifier is not None:
            await self._verifier.stop()
        logger.info("ended")

    async def _use(self, configuration: Configuration) -> None:
        """Raises ConfigError where files that it names are unfit."""
        if self._verifier is not None:
            await self._verifier.use(configuration)

    async def _tell(self) -> None:
        while True:
            now = time.monotonic()
            for served in self._served:
                problems = self._problems(served)
                standing = standing_of(served.node, problems, ended=False)
                said = standing.state, standing.problems, standing.peers
                if said != served.reported or now - served.reported_at >= STANDING_SECONDS:
                    served.reported, served.reported_at = said, now
                    self.side.publish(standing)
            await self._write(ended=False)
            await asyncio.sleep(STATUS_SECONDS)

    def _problems(self, served: _Served) -> tuple[str, ...]:
        others = self.side.problem, served.refusals.problem, self._problem, self._configured.problem
        return problems_of(served.node, *others)

    async def _write(self, *, ended: bool) -> None:
        try:
            for served in self._served:
                problems = self._problems(served)
                status = status_of(served.node, served.work, problems, self._by, ended=ended)
                data = orjson.dumps(status, option=orjson.OPT_INDENT_2)
                await asyncio.to_thread(write_whole, status_path(self._state, served.node.role), data)
                await asyncio.to_thread(served.node.order.save)
            self._problem = ""
        except OSError as error:
            self._problem = f"{self._state} cannot be written: {error.strerror or error}"

    def _role(self, role: Role) -> _Served:
        hostname = hostname_of(self._prefix, role)
        refusals = RefusalLog(self._state / f"refused-{role}.log")
        link = PilotLink(self._link_settings(role, hostname, refusals))
        order = Order(self._state / f"order-{role}.json")
        writer = Writer(hostname)
        node = Node(role, self._prefix, hostname, self._agents, link, self.side, writer, order, refused=refusals.take)
        return _Served(node, self._work(node), link, refusals)

    def _work(self, node: Node) -> RoleWork:
        """The work of its role, whose libraries the others do without."""
        match node.role:
            case "discovery":
                from gateway.agents.roles.discovery import Discovery  # noqa: PLC0415

                return Discovery(node, lambda service: self._configured.wanted(service, self._prefix))
            case "router":
                from gateway.agents.roles.router import Router  # noqa: PLC0415

                return Router(node)
            case "auth":
                from gateway.agents.roles.auth import Auth  # noqa: PLC0415

                assert self._verifier is not None
                return Auth(node, self._verifier)
            case "monitor":
                from gateway.agents.roles.monitor import Monitor  # noqa: PLC0415

                return Monitor(node, self._alerting)

    def _link_settings(self, role: Role, hostname: str, refusals: RefusalLog) -> LinkSettings:
        agents = self._agents
        secret = agents.webhook_secret
        return LinkSettings(
            role=role,
            hostname=hostname,
            socket=of_role(self._options.socket or agents.socket, role),
            peers=peers_of(role, self._prefix),
            senders=senders_of(role, self._prefix),
            pins_file=str(pins_path(self._state)),
            pins=pins_of(agents),
            inbox=frozenset(flow.topic for flow in FLOWS if agents.delivery_of(flow.topic) == "inbox"),
            mutual=agents.mutual,
            require_signature=agents.require_signature,
            pilotctl=of_role(agents.pilotctl, role),
            webhook=agents.webhook_of(role),
            webhook_secret=secret.get_secret_value() if secret is not None else "",
            contents=Contents(agents.networks),
            refused=refusals.take,
        )

    def _side(self) -> tuple[GatewaySide, str]:
        middleware = self._configured.configuration.middleware
        if middleware.bus == "redis" and middleware.redis is not None:
            redis = middleware.redis
            return BusSide(redis.url.get_secret_value(), redis.timeout, redis.prefix), "bus: redis"
        path = self._options.directory / middleware.state_directory / TOKEN_FILE
        token = _TokenOf(self._options.admin, path, self._options.environment)
        return AdminSide(self._options.admin, token), f"the admin API at {self._options.admin}"

    def _warn(self) -> None:
        agents = self._agents
        if agents.send_credentials and "router" in self._options.roles:
            logger.warning(
                "agents.send_credentials is on: the API keys of clients go to %s in clear; remove it unless that agent "
                "needs them",
                hostname_of(self._prefix, "auth"),
            )
        if not agents.networks and "router" in self._options.roles:
            logger.warning(
                "agents.networks is empty, so that no service-registry is used; name the networks of the instances"
            )
        if self._configured.configuration.middleware.agents is None:
            logger.warning("middleware.yaml has no group agents, so that the gateway sends no messages; add agents: {}")


def _verifier() -> Verifier:
    """With the libraries of all schemes."""
    from gateway.agents.verifying import Verifier  # noqa: PLC0415

    return Verifier()


class _TokenOf:
    """The token of the environment, or that of this machine, which goes to a gateway of its own user only."""

    def __init__(self, admin: str, path: Path, environment: Mapping[str, str]) -> None:
        self._admin = admin
        self._path = path
        self._given = environment.get(TOKEN_VARIABLE)
        self._read: str | None = None
        self._read_at = float("-inf")

    def __call__(self) -> str | None:
        if self._given:
            return self._given
        host, _, port = self._admin.rpartition(":")
        if not Listening(host.strip("[]"), 0).loopback or not port.isdecimal():
            return None
        if time.monotonic() - self._read_at >= TOKEN_SECONDS or self._read is None:
            users = users_of(int(port))
            self._read = read_token(self._path, users) if len(users) == 1 else None
            self._read_at = time.monotonic()
        return self._read


def _prefix(options: ServeOptions, agents: Agents) -> str:
    """Raises StartError."""
    prefix = options.prefix or agents.prefix
    if prefix is None:
        raise StartError("the prefix of the agents is not known; say --prefix acme, or write agents.prefix")
    socket = options.socket or agents.socket
    if len(options.roles) > 1 and "{role}" not in socket:
        raise StartError(
            f"{len(options.roles)} roles need a daemon each, and agents.socket names one ({socket}); write {{role}} "
            "in it, such as /run/pilot/{role}.sock"
        )
    if len(options.roles) > 1 and isinstance(agents.webhook, str):
        raise StartError(
            f"the webhooks of {len(options.roles)} daemons need an address each, and agents.webhook names one "
            f"({agents.webhook}); write one for each role, such as {{{options.roles[0]}: {agents.webhook}}}"
        )
    return prefix
