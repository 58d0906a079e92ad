"""Who owns what lives: endpoints, applications, key sets, stores, logs, policies.

A configuration is compiled on a thread of its own, where nothing may be touched that lives: it fills a `Plan`, which
names each thing by its identity, says how to make it, and learns what it depends on. What lives already under its key
is taken as it is. The `Owner` adopts the plan on the loop: it starts what is new, dependencies first, or refuses, stops
what it had started, and nothing happened. What no plan needs any more is stopped, dependents first.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from gateway.config.problems import ConfigError, Path, Problem, format_path
from gateway.custom_code import named
from gateway.live.tasks import Tasks

logger = logging.getLogger("gateway.live")

START_SECONDS = 10.0  # for one thing
STOP_SECONDS = 5.0  # the same
GRACE_SECONDS = 0.5  # for what was cancelled to notice it
STOPS_AT_ONCE = 100  # that begin before requests get a turn

T = TypeVar("T")

Place = tuple[str, Path]
Reporter = Callable[[str, Path, str], Problem]


def _without_line(file: str, path: Path, message: str) -> Problem:
    return Problem(file, 0, 0, format_path(path), message)


"""Where a configuration asks for a thing: the file, and the way to the value in it."""


class Startable(Protocol):
    """A thing that must begin before it is used."""

    async def start(self) -> None:
        """Begin to work, on the event loop; must not fail because something outside is down.

        What it raises, whatever that is, refuses the configuration that asks for it. Then `stop` is not called.
        """
        ...


class Stoppable(Protocol):
    """A thing that must be ended when no configuration needs it any more."""

    async def stop(self) -> None:
        """End, and write what must not be lost; a thing that takes longer than STOP_SECONDS is left behind."""
        ...


class Retiring(Protocol):
    """A thing that ends in its own time, with the requests that still use it, after the reload that removes it."""

    def retire(self) -> None:
        """Take nothing new, keep nothing. In its place `stop` is called, if there is one, when the process ends."""
        ...


class Measured(Protocol):
    """A live object that has metrics."""

    def measures(self) -> Mapping[str, float]:
        """By name; what ends in `_total` only grows, everything else goes up and down."""
        ...


class Troubled(Protocol):
    """A thing that knows when it does not work."""

    def troubles(self) -> Iterable[str]:
        """Its current problems, a sentence each, without secrets: /health shows them."""
        ...


@dataclass(frozen=True, slots=True)
class _Life:
    """A thing that lives, or is to."""

    key: Hashable
    thing: Any
    at: Place
    needs: tuple[Hashable, ...]

    @property
    def tasks(self) -> Tasks | None:
        found = getattr(self.thing, "tasks", None)
        return found if isinstance(found, Tasks) else None

    def end(self, *, process_ends: bool) -> Callable[[], Any] | None:
        """How to stop it: an object need have neither method."""
        stop, retire = getattr(self.thing, "stop", None), getattr(self.thing, "retire", None)
        return (stop or retire) if process_ends else (retire or stop)


class Plan:
    """All that must live for one configuration; made by `Owner.plan`, and used on one thread at a time."""

    def __init__(self, living: Mapping[Hashable, _Life]) -> None:
        self.living = living
        self.lives: dict[Hashable, _Life] = {}  # dependencies first
        self.afterwards: list[Callable[[], None]] = []
        self._asking: list[list[Hashable]] = []  # what the things asked for that are being made

    def need(self, key: Hashable, make: Callable[[], T], at: Place) -> T:
        """The thing with this identity: its kind, and every setting that makes it another one when it changes.

        The one that lives already, or that this plan has; otherwise a new one, which is not started yet. What `make`
        asks for itself is what the thing depends on: it is started before, and stopped after.
        """
        if self._asking:
            self._asking[-1].append(key)
        if key not in self.lives:
            if key in self.living:
                self._keep(key)
            else:
                self._asking.append([])
                try:
                    thing = make()
                finally:
                    needs = self._asking.pop()
                self.lives[key] = _Life(key, thing, at, tuple(dict.fromkeys(needs)))
        return cast(T, self.lives[key].thing)

    def after_adoption(self, change: Callable[[], None]) -> None:
        """Register a change to existing live objects, applied once it is certain that this configuration will be
        served."""
        self.afterwards.append(change)

    def _keep(self, key: Hashable) -> None:
        life = self.living[key]
        for needed in life.needs:
            if needed not in self.lives:
                self._keep(needed)
        self.lives[key] = life


class Owner:
    """All that lives in this process. `start_seconds` bound the start of each thing."""

    def __init__(self, start_seconds: float = START_SECONDS) -> None:
        self.tasks = Tasks()
        self.start_seconds = start_seconds
        self._lives: Mapping[Hashable, _Life] = {}  # replaced, never changed: a thread may read it
        self._by_kind: dict[type, tuple[Any, ...]] = {}  # of these, computed on demand
        self._measured: list[Measured] = []
        self._troubled: list[Troubled] = []
        self._supervised: list[Tasks] = [self.tasks]
        self._held: dict[Hashable, _Life] = {}
        self._leaving: list[_Life] = []
        self._lost_deaths = 0
        self._ended: dict[str, float] = {}  # what is counted in totals of those that have ended

    def hold(self, key: Hashable, thing: T) -> T:
        """A thing of the process, which is there whatever a configuration says, until `stop`."""
        self._held[key] = _Life(key, thing, ("middleware.yaml", ()), ())
        self._take(self._held | dict(self._lives))
        return thing

    def plan(self) -> Plan:
        """An empty plan beside what lives now."""
        return Plan(self._lives)

    def all(self, kind: type[T]) -> Iterator[T]:
        """The things of this kind that live."""
        found = self._by_kind.get(kind)
        if found is None:
            found = tuple(life.thing for life in self._lives.values() if isinstance(life.thing, kind))
            self._by_kind[kind] = found
        return iter(found)

    async def adopt(self, plan: Plan, problem: Reporter = _without_line) -> None:
        """Start what is new in a plan. `problem` makes one of a file, a place in it, and a message.

        Raises ConfigError where something does not start; then nothing of what lived before has changed. What is not
        needed any more goes on until `release`.
        """
        if plan.living is not self._lives:
            raise RuntimeError("this plan was made beside an older configuration, and has to be made again")
        started: list[_Life] = []
        try:
            for life in plan.lives.values():
                if life.key not in self._lives and hasattr(life.thing, "start"):
                    await self._start(life, problem)
                    started.append(life)
        except BaseException:
            await self._end(started, process_ends=True)
            raise
        self._leaving += [life for key, life in self._lives.items() if key not in plan.lives and key not in self._held]
        self._take(self._held | plan.lives)
        for change in plan.afterwards:
            change()

    async def release(self) -> None:
        """Stop what the plan that was adopted last does not need."""
        leaving, self._leaving = self._leaving, []
        await self._end(leaving, process_ends=False)

    async def stop(self) -> None:
        """Stop everything, because the process ends."""
        self.tasks.cancel()
        leaving = [*self._leaving, *self._lives.values()]
        self._leaving, self._held = [], {}
        self._take({})
        await self._end(leaving, process_ends=True)

    def measures(self) -> dict[str, float]:
        """The numbers of all that lives, added up where several have the same."""
        total: dict[str, float] = {
            "gateway_task_deaths_total": self._lost_deaths + sum(tasks.deaths for tasks in self._supervised),
            "gateway_troubles": len(self.troubles()),
        }
        for counted in (self._ended, *(thing.measures() for thing in self._measured)):
            for name, value in counted.items():
                total[name] = total.get(name, 0) + value
        return total

    def troubles(self) -> list[str]:
        """Current failures, a sentence each."""
        found = [trouble for thing in (*self._supervised, *self._troubled) for trouble in thing.troubles()]
        return list(dict.fromkeys(found))

    def _take(self, lives: Mapping[Hashable, _Life]) -> None:
        """These live from now on. What the others have counted stays in the totals, which only grow."""
        staying = {id(life.thing) for life in lives.values()}
        for thing in self._measured:
            counts = {} if id(thing) in staying else thing.measures()
            for name, value in counts.items():
                if name.endswith("_total"):
                    self._ended[name] = self._ended.get(name, 0) + value
        self._lives, self._by_kind = lives, {}
        self._measured = [life.thing for life in lives.values() if hasattr(life.thing, "measures")]
        self._troubled = [life.thing for life in lives.values() if hasattr(life.thing, "troubles")]
        self._supervised = [self.tasks, *(life.tasks for life in lives.values() if life.tasks is not None)]

    async def _start(self, life: _Life, problem: Reporter) -> None:
        """Raises ConfigError."""
        error = await _bounded(life.thing.start, self.start_seconds)
        if error is None:
            return
        if life.tasks is not None:
            life.tasks.cancel()
        if isinstance(error, ConfigError):
            raise error
        file, path = life.at
        message = f"it cannot be started: {_described(error)}; correct it"
        raise ConfigError([problem(file, path, message)]) from error

    async def _end(self, lives: list[_Life], *, process_ends: bool) -> None:
        """Stop these side by side, each behind those of them that depend on it."""
        users: defaultdict[Hashable, list[asyncio.Task[None]]] = defaultdict(list)
        ends: list[asyncio.Task[None]] = []
        for number, life in enumerate(reversed(lives), 1):
            end = asyncio.create_task(self._end_one(life, users.pop(life.key, []), life.end(process_ends=process_ends)))
            ends.append(end)
            for needed in life.needs:
                users[needed].append(end)
            if number % STOPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if ends:
            await asyncio.wait(ends)

    async def _end_one(self, life: _Life, users: list[asyncio.Task[None]], end: Callable[[], Any] | None) -> None:
        if users:
            await asyncio.wait(users)
        error = await _bounded(end, STOP_SECONDS) if end is not None else None
        if error is not None:
            logger.error("%s did not stop cleanly: %s", _name(life.key), _described(error), exc_info=_own(error))
        if life.tasks is not None:
            self._lost_deaths += life.tasks.deaths
            life.tasks.cancel()


async def _bounded(call: Callable[[], Any], seconds: float) -> BaseException | None:
    """The exception of a call, or that it takes longer than this.

    It runs in a task of its own, which nothing of what it raises can leave: neither SystemExit nor a cancellation.
    """

    async def attempt() -> BaseException | None:
        try:
            result = call()
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            return error
        return None

    task = asyncio.create_task(attempt())
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_SECONDS)
            return _TooLongError(f"that takes longer than {seconds:g} s")
        return task.result()
    finally:
        task.cancel()


class _TooLongError(Exception):
    """A thing does not answer."""


def _own(error: BaseException) -> BaseException | None:
    """The error, where its traceback says more than its text."""
    return None if isinstance(error, _TooLongError) else error


def _described(error: BaseException) -> str:
    return str(error) if isinstance(error, _TooLongError) else named(error)


def _name(key: Hashable) -> str:
    """The kind of a thing, and its name where it has one; a key may hold secrets behind that."""
    return str(key[0]) if isinstance(key, tuple) else str(key)
