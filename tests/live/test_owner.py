"""What lives is started in order or not at all, seen while it lives, and ended in reverse."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from gateway.config.problems import ConfigError, Problem, format_path
from gateway.live import Owner, Plan, Tasks, on_thread
from gateway.live import owner as owner_module
from gateway.live import tasks as tasks_module
from tests.support import eventually

AT = ("middleware.yaml", ("redis", "url"))


@dataclass
class Thing:
    """Writes down what happens to it."""

    name: str
    events: list[str]
    raises: BaseException | None = None
    hangs: bool = False
    stop_raises: BaseException | None = None
    tasks: Tasks = field(default_factory=Tasks)

    async def start(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.raises is not None:
            raise self.raises
        self.events.append(f"+{self.name}")

    async def stop(self) -> None:
        if self.stop_raises is not None:
            raise self.stop_raises
        self.events.append(f"-{self.name}")


def store(plan: Plan, events: list[str]) -> Thing:
    """A store that depends on a link."""

    def made() -> Thing:
        plan.need("link", lambda: Thing("link", events), AT)
        return Thing("store", events)

    return plan.need("store", made, AT)


async def test_dependencies_come_first_and_go_last() -> None:
    """What a thing asks for while it is made is started before it, and stopped after it."""
    owner, events = Owner(), list[str]()
    plan = owner.plan()
    store(plan, events)
    await owner.adopt(plan)
    await owner.stop()
    assert events == ["+link", "+store", "-store", "-link"]


async def test_what_a_kept_thing_needs_is_kept_with_it() -> None:
    """A reload that asks only for the store keeps its link, too; one that asks for neither ends both."""
    owner, events = Owner(), list[str]()
    plan = owner.plan()
    first = store(plan, events)
    await owner.adopt(plan)
    plan = owner.plan()
    assert store(plan, events) is first
    await owner.adopt(plan)
    await owner.release()
    assert events == ["+link", "+store"]
    await owner.adopt(owner.plan())
    await owner.release()
    assert events == ["+link", "+store", "-store", "-link"]


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_what_does_not_start_is_refused_with_its_place(error: BaseException) -> None:
    """Whatever a start raises: what was started before it is stopped again, and nothing of the former is changed."""
    owner, events, changed = Owner(), list[str](), list[str]()
    former = owner.plan()
    kept = former.need("kept", lambda: Thing("kept", events), AT)
    await owner.adopt(former)
    plan = owner.plan()
    plan.need("one", lambda: Thing("one", events), AT)
    plan.need("two", lambda: Thing("two", events, raises=error), AT)
    plan.after_adoption(lambda: changed.append("changed"))
    with pytest.raises(ConfigError) as refused:
        await owner.adopt(plan, lambda file, path, message: Problem(file, 3, 5, format_path(path), message))
    assert str(refused.value).startswith(
        "middleware.yaml:3:5: redis.url: it cannot be started: " + type(error).__name__
    )
    assert events == ["+kept", "+one", "-one"]
    assert changed == []
    assert list(owner.all(Thing)) == [kept]
    await owner.stop()


async def test_a_start_that_hangs_is_refused() -> None:
    """It is not waited for longer than its time."""
    owner = Owner(start_seconds=0.05)
    plan = owner.plan()
    plan.need("hangs", lambda: Thing("hangs", [], hangs=True), AT)
    with pytest.raises(ConfigError, match="takes longer"):
        await owner.adopt(plan)


async def test_a_stop_that_fails_or_hangs_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is given a bounded time; what cannot be stopped is logged and left behind."""
    monkeypatch.setattr(owner_module, "STOP_SECONDS", 0.05)
    owner, events = Owner(), list[str]()
    plan = owner.plan()
    store(plan, events)
    plan.need("exits", lambda: Thing("exits", events, stop_raises=SystemExit(3)), AT)

    class Stuck:
        async def stop(self) -> None:
            await asyncio.Event().wait()

    plan.need("stuck", Stuck, AT)
    await owner.adopt(plan)
    await owner.stop()
    assert events[-2:] == ["-store", "-link"]
    assert "exits did not stop cleanly: SystemExit: 3" in caplog.text
    assert "stuck did not stop cleanly: that takes longer than 0.05 s" in caplog.text


async def test_a_plan_that_is_not_adopted_leaves_nothing() -> None:
    """What was only planned is in no list, and is made anew by the next plan."""
    owner = Owner()
    one = owner.plan().need("thing", lambda: Thing("thing", []), AT)
    assert list(owner.all(Thing)) == []
    assert owner.plan().need("thing", lambda: Thing("thing", []), AT) is not one


async def test_a_plan_beside_an_older_configuration_is_not_adopted() -> None:
    """What was compiled too late cannot bring back what was retired meanwhile."""
    owner = Owner()
    late = owner.plan()
    await owner.adopt(owner.plan())
    with pytest.raises(RuntimeError):
        await owner.adopt(late)


def raising(error: BaseException, times: int, ended: asyncio.Event) -> Callable[[], object]:
    async def work() -> None:
        nonlocal times
        times -= 1
        if times >= 0:
            raise error
        await ended.wait()

    return work


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), asyncio.CancelledError()])
async def test_a_task_that_dies_is_restarted_and_reported(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, logged, and among the troubles until it has run for a while."""
    monkeypatch.setattr(tasks_module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(tasks_module, "WELL_SECONDS", 1000.0)
    owner, ended = Owner(), asyncio.Event()
    task = owner.tasks.supervise("the watch", raising(error, 2, ended))  # type: ignore[arg-type]
    await eventually(lambda: bool(owner.troubles()))
    assert "the watch ended" in owner.troubles()[0]
    monkeypatch.setattr(tasks_module, "WELL_SECONDS", 0.1)
    await eventually(lambda: owner.measures()["gateway_task_deaths_total"] == 2 and not owner.troubles())
    assert "the watch ended unexpectedly" in caplog.text
    ended.set()
    await task.finish()
    await owner.stop()


class Counting:
    """Has counted five of something, and has two at the moment."""

    def measures(self) -> dict[str, float]:
        return {"things_total": 5, "things": 2}


async def test_totals_only_grow() -> None:
    """What has been counted by things that a reload makes anew, or has no use for any more, is not forgotten."""
    owner = Owner()
    for keys, total in ((["a", "b"], 10), (["a", "c"], 15), ([], 15)):
        plan = owner.plan()
        for key in keys:
            plan.need(key, Counting, AT)
        await owner.adopt(plan)
        await owner.release()
        measures = owner.measures()
        assert (measures["things_total"], measures.get("things", 0)) == (total, 2 * len(keys))
    await owner.stop()


async def test_work_on_a_thread_that_never_ends_is_left_behind() -> None:
    """The caller gets an error in time, and the thread does not keep the process alive."""
    code = (
        "import asyncio, threading\nfrom gateway.live import on_thread\n"
        "async def main():\n"
        "    try: await on_thread('stuck', threading.Event().wait, 0.1)\n"
        "    except TimeoutError: print('late')\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert (process.returncode, out) == (0, b"late\n")
    assert await on_thread("quick", lambda: 7, 60) == 7
