"""One reload: the files are read as one, compiled beside the request path, and swapped in by one assignment.

A bad file changes nothing: the last good Snapshot keeps serving, and the log and `/health` of the admin port say what
is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.build import Snapshot, build
from gateway.config import watch
from gateway.config.history import History, Version, difference
from gateway.config.load import Configuration, parse
from gateway.config.named_files import Digests
from gateway.config.problems import ConfigError, Problem
from gateway.config.secrets import KnownSecrets
from gateway.config.yaml.document import Mapping, Sequence
from gateway.custom_code import described
from gateway.live import Owner, Plan, Worker, on_thread
from gateway.plurals import counted
from gateway.registry.discovery import Discovery
from gateway.roles import ALL, Roles, named
from gateway.trial import try_out
from gateway.upstream.transport import Connector

logger = logging.getLogger("gateway.config")

PROBLEMS_SHOWN = 20
SWITCH_SECONDS = 0.0005
PIECES_AT_ONCE = 50

T = TypeVar("T")

Answer = asyncio.Future[ConfigError | None]

ENDING = ConfigError([Problem("routes.yaml", 0, 0, "", "nothing is loaded any more: the gateway ends")])


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Someone who waits for a reload, or for a rollback."""

    answer: Answer
    wanted: Version | None  # to be served again; None: the files


@dataclass(frozen=True, slots=True)
class Held:
    """A former configuration that is served again, until the files say something else."""

    version: Version
    instead_of: watch.Contents  # what the files say meanwhile


class Reloader:
    """Holds the current Snapshot and replaces it when the files change, or on request.

    `prepare` is asked before a Snapshot becomes the current one, and raises ConfigError where it must not. What
    it has to change for it waits in the plan until the Snapshot is sure to become that.
    """

    def __init__(
        self,
        directory: Path,
        environment: MappingOf[str, str],
        owner: Owner,
        connector: Connector,
        prepare: Callable[[Snapshot, Plan], None] = lambda _, __: None,
        secrets: KnownSecrets | None = None,
        roles: Roles = ALL,
    ) -> None:
        self.directory = directory
        self.roles = roles  # of this process
        self.current: Snapshot | None = None
        self.owner = owner
        self._connector = connector
        self._environment = environment
        self._prepare = prepare
        self._secrets = KnownSecrets() if secrets is None else secrets
        self._settling = watch.Settling()
        self._digests = Digests(directory)
        self._looking = Worker("configuration")
        self._named: set[str] = set()
        self._error: ConfigError | None = None
        self._loaded_at: float | None = None
        self.reloads = 0  # after the first
        self.refusals = 0
        self._requested = asyncio.Event()
        self._callers: list[Caller] = []
        self._held: Held | None = None
        self.history = History()
        self.waiting = False  # for what the sources of endpoints say first, after the start
        self.compiling = False  # a configuration is on its way to be served or refused
        self.written = False  # a program has one of the files open for writing

    async def start(self) -> None:
        """Load the files, good or bad, and begin to watch them."""
        seen, written = await self._look()
        if written:
            self._log_refusal(written)
            self._error = written
        else:
            await self._apply(seen, "start")
        self.owner.tasks.supervise("the watch over the configuration", self._watch)

    async def stop(self) -> None:
        """Stop watching, and all that lives."""
        for caller in self._callers:
            if not caller.answer.done():
                caller.answer.set_result(ENDING)
        await self.owner.stop()

    def reload(self) -> Answer:
        """Read the files again, changed or not, once no process writes them. Answers with what is wrong, or None."""
        return self._request(None)

    def roll_back(self, version: Version) -> Answer:
        """Serve a configuration of the history again, until the files change or a reload is asked for.

        The files that it names (certificates, keys) and the environment are those of now. Answers like `reload`.
        """
        return self._request(version)

    def difference(self, old: Version, new: Version) -> str:
        """What changed in the files, without secrets. Not for the event loop."""
        return difference(old, new, self._secrets)

    def measures(self) -> dict[str, float]:
        """What metrics tell of the configuration."""
        return {
            "gateway_config_good": float(self._error is None and self.current is not None),
            "gateway_config_age_seconds": time.time() - self._loaded_at if self._loaded_at is not None else 0.0,
        }

    def summary(self) -> dict[str, Any]:
        """What `/health` shows every client: the number of problems of the files, and of troubles; not which."""
        return {
            "digest": self.current.digest if self.current else None,
            "loaded_at": self._loaded_at,
            "reloads": self.reloads,
            "rolled_back": self._held is not None,
            "problems": len(self._error.problems) if self._error else 0,
            "troubles": len(self.owner.troubles()),
        }

    def report(self) -> dict[str, Any]:
        """What the admin port says of the configuration: the same, and the problems, without known secrets."""
        return self.summary() | {
            "roles": named(self.roles),
            "errors": self.shown(self._error) if self._error else [],
            "failing": [self.hidden(each) for each in self.owner.troubles()],
        }

    def shown(self, error: ConfigError) -> list[str]:
        """What is wrong, for operators: without known secrets, and not more than they would read."""
        return [self.hidden(str(problem)) for problem in error.problems[:PROBLEMS_SHOWN]]

    def hidden(self, text: str) -> str:
        """Without secrets, and as Unicode: what a policy raises may be neither."""
        return self._secrets.hide(text).encode("utf-8", "backslashreplace").decode()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait()
            waiting = self._callers.copy()  # before looking: what they have written is to be seen
            seen, written = await self._look()
            self.written = written is not None
            settled = self._settling.settled(seen, loop.time(), written=self.written)
            callers = _next_callers(waiting, written=self.written)
            wanted = callers[0].wanted if callers else None
            if self._held is not None and not callers:
                # A certificate that this one names may have changed; the files themselves have not.
                wanted = self._held.version if watch.same(seen.contents, self._held.instead_of) else None
            if callers or settled:
                self.compiling = True
                try:
                    error = await self._apply(seen, "request" if callers else "files", wanted)
                finally:
                    self.compiling = False
                self._answer(callers, error)

    def _request(self, wanted: Version | None) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        self._callers.append(Caller(answer, wanted))
        self._requested.set()
        return answer

    async def _look(self) -> tuple[watch.Seen, ConfigError | None]:
        def look() -> tuple[watch.Seen, ConfigError | None]:
            named = self._digests.of(self._named)
            contents, written = watch.look(self.directory)
            return watch.Seen(contents, named), written

        return await self._looking.run(look)

    async def _wait(self) -> None:
        """Until it is time to look, or a reload is requested."""
        try:
            async with asyncio.timeout(watch.POLL_SECONDS):
                await self._requested.wait()
        except TimeoutError:
            return
        self._requested.clear()

    def _answer(self, callers: list[Caller], error: ConfigError | None) -> None:
        for caller in callers:
            self._callers.remove(caller)
            if not caller.answer.done():
                caller.answer.set_result(error)
        if self._callers:
            self._requested.set()

    async def _apply(self, seen: watch.Seen, cause: str, version: Version | None = None) -> ConfigError | None:
        """Make the files, or a former version of them, the current configuration.

        Where it is refused, the last good one stays; answers why.
        """
        before = copy(self._settling), self._named
        self._settling.applied(seen)
        contents = seen.contents if version is None else version.files
        plan = self.owner.plan()
        try:
            snapshot = await self._compiled(seen, contents, plan)
            self._prepare(snapshot, plan)
            await self.owner.adopt(plan, snapshot.configuration.problem)
        except ConfigError as error:
            self._log_refusal(error)
            if version is None:
                self._error = error
            else:  # which says nothing of the files
                self._settling, self._named = before
            return error
        self._held = None if version is None else Held(version, seen.contents)
        if not isinstance(contents, ConfigError):
            self.history.add(Version(snapshot.digest, time.time(), "rollback" if version else cause, contents))
        first = self.current is None
        if first:
            self.waiting = True
            self.owner.tasks.supervise(
                "the wait for the first answers of sources", partial(self._first_answers, or_failure=False)
            )
        else:
            await self._first_answers(or_failure=True)  # the former configuration serves meanwhile
        former, self.current = self.current, snapshot
        self._error = None
        self._loaded_at = time.time()
        self.reloads += not first
        await self.owner.release()
        pieces = _pieces(former) if former is not None else []
        del former
        await _let_go(pieces)
        count = len(snapshot.handlers)
        how = "loaded" if first else "rolled back to" if version else "reloaded"
        logger.info("configuration %s %s: %s", snapshot.digest, how, counted(count, "route"))
        return None

    async def _first_answers(self, *, or_failure: bool) -> None:
        """Wait until all sources have said once which instances there are, each no longer than it is set to."""
        discoveries = self.owner.all(Discovery)
        await asyncio.gather(*(discovery.first_answer(or_failure=or_failure) for discovery in discoveries))
        self.waiting = False

    async def _compiled(self, seen: watch.Seen, contents: watch.Contents, plan: Plan) -> Snapshot:
        """Raises ConfigError."""
        with _beside_the_loop():
            configuration = await self._beside(None, partial(self._parse, seen, contents))
            await self._beside(None, partial(try_out, configuration, plan.living))
            seconds = configuration.middleware.reload.timeout
            self.owner.start_seconds = configuration.middleware.reload.policy_timeout
            return await self._beside(seconds, lambda: build(configuration, plan, self._connector, self.roles))

    def _parse(self, seen: watch.Seen, contents: watch.Contents) -> Configuration:
        if isinstance(contents, ConfigError):
            raise contents
        named: set[str] = set()
        try:
            environment, secrets = self._environment, self._secrets
            return parse(contents, environment, base=self.directory, secrets=secrets, named=named)
        finally:
            # Those that were known, as they were before they were read: what changed since shows at the next look.
            digests = {name: seen.named.get(name, digest) for name, digest in self._digests.of(named).items()}
            self._settling.applied(replace(seen, named=digests))
            self._named = named

    async def _beside(self, seconds: float | None, work: Callable[[], T]) -> T:
        """Work on a thread, where nothing that lives is touched. Raises ConfigError for whatever comes of it."""
        try:
            return await on_thread("reload", partial(_guarded, work), seconds)
        except TimeoutError:
            message = f"compiling it takes longer than {seconds:g} s (reload.timeout); make it smaller, or wait longer"
            raise ConfigError([Problem("middleware.yaml", 0, 0, "reload.timeout", message)]) from None

    def _log_refusal(self, error: ConfigError) -> None:
        self.refusals += 1
        kept = f"keeping {self.current.digest}" if self.current else "nothing is served until it is corrected"
        logger.error("configuration refused, %s:", kept)
        for problem in error.problems[:PROBLEMS_SHOWN]:
            logger.error("  %s", problem)
        if len(error.problems) > PROBLEMS_SHOWN:
            logger.error("  ... and %d more (gateway check lists all)", len(error.problems) - PROBLEMS_SHOWN)


def _next_callers(waiting: list[Caller], *, written: bool) -> list[Caller]:
    """Those who came first, one behind the other, and want the same: one piece of work answers them.

    Nobody gets the files while they are written.
    """
    ready = [caller for caller in waiting if not written or caller.wanted is not None]
    return list(itertools.takewhile(lambda caller: caller.wanted is ready[0].wanted, ready))


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except ConfigError:
        raise
    except BaseException as error:  # an import may raise anything at all
        logger.exception("the configuration could not be compiled")
        raise ConfigError([Problem("routes.yaml", 0, 0, "", f"it cannot be compiled: {described(error)}")]) from None


@contextlib.contextmanager
def _beside_the_loop() -> Iterator[None]:
    """While a thread works, let requests hardly notice.

    They get the interpreter back ten times sooner than usual, and are not stopped by collections of garbage, of which
    compiling makes none: with 10,000 routes each one would take a quarter of a second.
    """
    gc.collect()  # of what came since the last time: all else is frozen, and so will be what is made now
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # what was made holds no cycles, and goes with its last user: it need never be searched
        gc.enable()
        sys.setswitchinterval(interval)


def _pieces(snapshot: Snapshot) -> list[object]:
    """What a Snapshot is large by: its routes, compiled, as they are configured, and as they stand in the files."""
    configuration = snapshot.configuration
    pieces: list[object] = [*snapshot.handlers, *configuration.routes.routes, *configuration.auth.consumers]
    for document in configuration.documents.values():
        root = document.root
        for entry in root.entries.values() if isinstance(root, Mapping) else ():
            if isinstance(entry.node, Sequence):
                pieces += entry.node.items
        if isinstance(root, Sequence):
            pieces += root.items
    return pieces


async def _let_go(pieces: list[object]) -> None:
    """Free a Snapshot that is not used any more little by little: at once it would hold up requests for long."""
    while pieces:
        del pieces[-PIECES_AT_ONCE:]
        await asyncio.sleep(0)
