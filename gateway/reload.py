"""One reload: the files are read as one, compiled beside the request path, and swapped in by one assignment.

A bad file changes nothing: the last good Snapshot keeps serving, and the log and `/health` of the admin port say what
is wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.auth.metrics import FetchedKeys, ask_again
from gateway.build import build
from gateway.config import watch
from gateway.config.history import History, Version, difference
from gateway.config.large_files import LargeFiles
from gateway.config.load import Configuration, parse
from gateway.config.named_files import Digests
from gateway.config.problems import ConfigError, Problem
from gateway.config.secrets import KnownSecrets
from gateway.custom_code import described
from gateway.live import Owner, Plan, Worker, on_thread
from gateway.live.beside import hardly_noticed
from gateway.live.free_memory import give_back
from gateway.live.paced import let_go
from gateway.plurals import counted
from gateway.registry.discovery import Discovery
from gateway.roles import ALL, Roles, named
from gateway.snapshot import Snapshot
from gateway.trial import try_out
from gateway.upstream.transport import Connector

logger = logging.getLogger("gateway.config")

CONTROL_PLANE = "control plane"  # the cause of a version that it has sent
PROBLEMS_SHOWN = 20

T = TypeVar("T")

Answer = asyncio.Future[ConfigError | None]

ENDING = ConfigError([Problem("routes.yaml", 0, 0, "", "nothing is loaded any more: the gateway ends")])


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Someone who waits for a reload, or for a rollback."""

    answer: Answer
    wanted: Version | None  # to be served; None: the files


@dataclass(frozen=True, slots=True)
class Held:
    """A configuration that is served in place of the files, until they say something else: a former one, which a reload
    ends, too, or one of the control plane, which a reload reads again."""

    version: Version
    instead_of: watch.Contents  # what the files say meanwhile

    @property
    def firm(self) -> bool:
        """Whether only a change of the files ends it."""
        return self.version.cause == CONTROL_PLANE


class Reloader:
    """Holds the current Snapshot and replaces it when the files change, or on request.

    `prepare` is asked before a Snapshot becomes the current one, and raises ConfigError where it must not. What
    it has to change for it waits in the plan until the Snapshot is sure to become that. `import_parts` is called
    before, on a thread.
    """

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        owner: Owner,
        connector: Connector,
        prepare: Callable[[Snapshot, Plan], None] = lambda _, __: None,
        secrets: KnownSecrets | None = None,
        roles: Roles = ALL,
        import_parts: Callable[[Configuration], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self.roles = roles  # of this process
        self.current: Snapshot | None = None
        self.owner = owner
        self._connector = connector
        self._environment = environment
        self._prepare = prepare
        self._import_parts = import_parts
        self._secrets = KnownSecrets() if secrets is None else secrets
        self._settling = watch.Settling()
        self._digests = Digests(directory)
        self._large = LargeFiles()
        self._looking = Worker("configuration")
        self._named: set[str] = set()
        self._error: ConfigError | None = None
        self._loaded_at: float | None = None
        self.reloads = 0  # after the first
        self.refusals = 0
        self.without = "nothing is served until it is corrected"  # any configuration
        self._requested = asyncio.Event()
        self._callers: list[Caller] = []
        self._held: Held | None = None
        self.history = History()
        self.waiting = False  # for what the sources of endpoints say first, after the start
        self.compiling = False  # a configuration is on its way to be served or refused
        self.written = False  # a program has one of the files open for writing
        self.beside: dict[str, Callable[[], Any]] = {}  # what `report` has of others, by its key there

    async def start(self, kept: Callable[[watch.Contents, bool], Version | None] = lambda _, __: None) -> None:
        """Load the files, good or bad, and begin to watch them.

        `kept` is asked, on a thread, for a version to be served in their place; where they are refused, once more, and
        with True as its second argument.
        """
        seen, written = await self._look()
        version = await self._looking.run(lambda: kept(seen.contents, False))
        if version is None or await self._apply(seen, "start", version) is not None:
            if written:
                self._log_refusal(written)
                self._error = written
            else:
                await self._apply(seen, "start")
            if self._error is not None:
                await self._start_with(seen, self._error, await self._looking.run(lambda: kept(seen.contents, True)))
        self.owner.tasks.supervise("the watch over the configuration", self._watch)

    async def _start_with(self, seen: watch.Seen, error: ConfigError, version: Version | None) -> None:
        """The files cannot be served: this is better than nothing."""
        if version is not None and await self._apply(seen, "start", version) is None:
            self._error = error

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
        return self._request(replace(version, cause="rollback"))

    def apply(self, version: Version) -> Answer:
        """Serve what the control plane has sent, in place of the files, until they change. Answers like `reload`."""
        return self._request(replace(version, cause=CONTROL_PLANE))

    @property
    def error(self) -> ConfigError | None:
        """Errors of the files, so that they are not served."""
        return self._error

    @property
    def serving(self) -> Version | None:
        """The files of the current configuration."""
        return next(reversed(self.history), None)

    @property
    def instead_of(self) -> watch.Contents | None:
        """The configuration of the files, if another one is served in their place."""
        return None if self._held is None else self._held.instead_of

    def difference(self, old: Version, new: Version) -> str:
        """The changes of the files, without secrets. Not for the event loop."""
        return difference(old, new, self._secrets)

    def measures(self) -> dict[str, float]:
        """Metrics about the configuration."""
        return {
            "gateway_config_good": float(self._error is None and self.current is not None),
            "gateway_config_age_seconds": time.time() - self._loaded_at if self._loaded_at is not None else 0.0,
        }

    def summary(self) -> dict[str, Any]:
        """The public `/health`: the number of problems of the files, and of troubles; not their texts."""
        return {
            "digest": self.current.digest if self.current else None,
            "loaded_at": self._loaded_at,
            "reloads": self.reloads,
            "rolled_back": self._held is not None and not self._held.firm,
            "problems": len(self._error.problems) if self._error else 0,
            "troubles": len(self.owner.troubles()),
        }

    def report(self) -> dict[str, Any]:
        """The admin port's report on the configuration: the same, and the problems, without known secrets."""
        return self.summary() | {
            "roles": named(self.roles),
            "errors": self.shown(self._error) if self._error else [],
            "failing": [self.hidden(each) for each in self.owner.troubles()],
            **{name: call() for name, call in self.beside.items()},
        }

    def shown(self, error: ConfigError) -> list[str]:
        """Errors for operators: without known secrets, and of bounded length."""
        return [self.hidden(str(problem)) for problem in error.problems[:PROBLEMS_SHOWN]]

    def hidden(self, text: str) -> str:
        """An error without secrets, and as valid Unicode: a policy's exception may have either."""
        return self._secrets.hide(text).encode("utf-8", "backslashreplace").decode()

    def hide(self, text: str) -> str:
        """A text of the files without the secrets that are known."""
        return self._secrets.hide(text)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait()
            waiting = self._callers.copy()  # before looking: what they have written is to be seen
            if waiting:
                self._large.doubt()
            seen, written = await self._look(in_turn=not waiting)
            self.written = written is not None
            settled = self._settling.settled(seen, loop.time(), written=self.written)
            callers = _next_callers(waiting, written=self.written)
            wanted = callers[0].wanted if callers else None
            if self._held is not None and wanted is None and (not callers or self._held.firm):
                # A certificate that this one names may have changed; the files themselves have not.
                wanted = self._held.version if watch.same(seen.contents, self._held.instead_of) else None
            if callers or settled:
                self.compiling = True
                try:
                    error = await self._apply(seen, "request" if callers else "files", wanted)
                finally:
                    self.compiling = False
                await ask_again(self.owner.all(FetchedKeys) if callers else ())
                self._answer(callers, error)
            del seen  # the files, which may be large, while nothing is done

    def _request(self, wanted: Version | None) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        self._callers.append(Caller(answer, wanted))
        self._requested.set()
        return answer

    async def _look(self, *, in_turn: bool = False) -> tuple[watch.Seen, ConfigError | None]:
        def look() -> tuple[watch.Seen, ConfigError | None]:
            named = self._digests.in_turn(self._named) if in_turn else self._digests.of(self._named)
            contents, written = watch.look(self.directory, self._settling.changed(named), self._large.read)
            return watch.Seen(contents, named), written

        return await self._looking.run(look)

    async def _wait(self) -> None:
        """Wait until the next check, or a requested reload."""
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
            snapshot, pieces = await self._compiled(seen, contents, plan)
            self._prepare(snapshot, plan)
            await self.owner.adopt(plan, snapshot.configuration.problem)
        except ConfigError as error:
            if isinstance(error, watch.BeingWritten):
                self._settling, _ = before  # so that it is tried again
                if self.current is not None:
                    return error
            self._log_refusal(error)
            if version is None:
                self._error = error
            else:  # which says nothing of the files
                self._settling, self._named = before
            return error
        self._held = None if version is None else Held(version, seen.contents)
        if not isinstance(contents, ConfigError):
            cause, revision = (cause, None) if version is None else (version.cause, version.revision)
            self.history.add(Version(snapshot.digest, time.time(), cause, contents, revision))
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
        del former
        await let_go(pieces)
        await self._looking.run(give_back)
        how = "loaded" if first else "rolled back to" if cause == "rollback" else "reloaded"
        logger.info("configuration %s %s: %s", snapshot.digest, how, counted(len(snapshot.handlers), "route"))
        return None

    async def _first_answers(self, *, or_failure: bool) -> None:
        """Wait until all sources have said once which instances there are, each no longer than it is set to."""
        discoveries = self.owner.all(Discovery)
        await asyncio.gather(*(discovery.first_answer(or_failure=or_failure) for discovery in discoveries))
        self.waiting = False

    async def _compiled(self, seen: watch.Seen, contents: watch.Contents, plan: Plan) -> tuple[Snapshot, list[object]]:
        """The Snapshot, and the pieces of the one that it will replace. Raises ConfigError."""
        with hardly_noticed():
            configuration = await self._beside(None, partial(self._parse, seen, contents))
            await self._beside(None, partial(try_out, configuration, plan.living))
            await self._beside(None, partial(self._import_parts, configuration))
            seconds = configuration.middleware.reload.timeout
            self.owner.start_seconds = configuration.middleware.reload.policy_timeout
            snapshot = await self._beside(seconds, lambda: build(configuration, plan, self._connector, self.roles))
            pieces = [] if self.current is None else await self._beside(None, self.current.pieces)
            return snapshot, pieces

    def _parse(self, seen: watch.Seen, contents: watch.Contents) -> Configuration:
        if isinstance(contents, ConfigError):
            raise contents
        named: set[str] = set()
        try:
            environment, secrets = self._environment, self._secrets
            configuration = parse(contents, environment, base=self.directory, secrets=secrets, named=named)
            digests = self._digests.of(named)
            moved = {name for name in named if seen.named.get(name, digests[name]) != digests[name]}
            new = [name for name in named if name not in seen.named]
            if moved or (moved := watch.being_written(self.directory, new)):
                raise watch.BeingWritten(sorted(moved))
            return configuration
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
        kept = f"keeping {self.current.digest}" if self.current else self.without
        logger.error("configuration refused, %s:", kept)
        for problem in error.problems[:PROBLEMS_SHOWN]:
            logger.error("  %s", problem)
        if len(error.problems) > PROBLEMS_SHOWN:
            logger.error("  ... and %d more (gateway check lists all)", len(error.problems) - PROBLEMS_SHOWN)


def _next_callers(waiting: list[Caller], *, written: bool) -> list[Caller]:
    """Those who came first, one behind the other, and want the same: one piece of work answers them.

    No caller gets the files while they are written.
    """
    ready = [caller for caller in waiting if not written or caller.wanted is not None]
    return list(itertools.takewhile(lambda caller: caller.wanted == ready[0].wanted, ready))


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except ConfigError:
        raise
    except BaseException as error:  # an import may raise anything at all
        logger.exception("the configuration could not be compiled")
        raise ConfigError([Problem("routes.yaml", 0, 0, "", f"it cannot be compiled: {described(error)}")]) from None
