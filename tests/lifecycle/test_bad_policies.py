"""A policy may do at a reload whatever Python can do: the gateway serves on, says where it went wrong, and goes on
looking at its files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from gateway.check import check
from tests.lifecycle.support import get, health, reload
from tests.support import GatewayProcess, eventually, running_gateway

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
POLICIES = "reload: {policy_timeout: 1m, policy_memory: 512MiB}\npolicies: {mine: {class: 'p.py:P'}}\n"
HASTY = POLICIES.replace("1m", "2s")  # for what hangs: on a busy machine, others may take longer
GOOD = """\
class P:
    def wrap(self, handler):
        async def passed(exchange):
            response = await handler(exchange)
            response.headers.append((b"x-policy", b"%s"))
            return response
        return passed
"""
IMPORT = "{}\n" + GOOD
INIT = GOOD + "    def __init__(self):\n        {}\n"
WRAP = "class P:\n    def wrap(self, handler):\n        {}\n"
START = GOOD + "    async def start(self):\n        {}\n"

CASES = [
    (IMPORT, "raise KeyboardInterrupt", "p.py:1:1: policy mine: it cannot be loaded: KeyboardInterrupt"),
    (IMPORT, "import asyncio; raise asyncio.CancelledError", "p.py:1:17: policy mine: it cannot be loaded: Cancelled"),
    (IMPORT, "raise GeneratorExit", "p.py:1:1: policy mine: it cannot be loaded: GeneratorExit"),
    (IMPORT, "import sys; sys.exit(1)", "p.py:1:13: policy mine: it cannot be loaded: SystemExit: 1"),
    (IMPORT, "while True: pass", "p.py:1:1: policy mine: loading it does not end within 2 s"),
    (IMPORT, "import os; os._exit(0)", "middleware.yaml:2:19: policies.mine.class: loading it ends the process with"),
    (IMPORT, "import ctypes; ctypes.string_at(0)", "p.py:1:1: policy mine: loading it ends the process by SIGSEGV"),
    (
        IMPORT,
        "x = [bytearray(1 << 28) for _ in range(99)]",
        "p.py:1:6: policy mine: it cannot be loaded: MemoryError; it may take 512 MiB",
    ),
    (IMPORT, "def f(): f()\nf()", "p.py:1:10: policy mine: it cannot be loaded: RecursionError"),
    (INIT, "raise SystemExit(2)", "p.py:9:9: policy mine: P cannot be made: SystemExit: 2"),
    (WRAP, "import time; time.sleep(60)", "p.py:3:1: policy mine: loading it does not end within 2 s"),
    (START, "raise ValueError('x')", "p.py:9:9: policy mine: start of mine failed: ValueError: x"),
    (START, "raise SystemExit(1)", "p.py:9:9: policy mine: start of mine failed: SystemExit: 1"),
    (START, "import asyncio; raise asyncio.CancelledError", "p.py:9:25: policy mine: start of mine failed: Cancelled"),
    (START, "import asyncio; await asyncio.Event().wait()", "its start does not end within 2 s"),
    (START, "import time; time.sleep(60)", "p.py:9:1: policy mine: its start does not end within 2 s"),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("policies") / "config"
    directory.mkdir()
    (directory / "p.py").write_text(GOOD % "1")
    process = GatewayProcess(directory)
    process.write(ROUTES, POLICIES)
    try:
        process.start()
        yield process
    finally:
        process.stop()


@pytest.mark.parametrize(("where", "what", "expected"), CASES, ids=[f"{case[1][:30]}" for case in CASES])
def test_a_reload_survives_it(gateway: GatewayProcess, where: str, what: str, expected: str) -> None:
    """It is refused with file and line, and the next good version is served."""
    before = get(gateway, "/x").headers["x-policy"]
    if "within 2 s" in expected:
        gateway.write(middleware=HASTY)
    (gateway.directory / "p.py").write_text(where.replace("%s", "bad").replace("{}", what))
    answer = reload(gateway)
    assert (answer.status_code, [expected in error for error in answer.json()["errors"]]) == (422, [True]), answer.text
    assert get(gateway, "/x").headers["x-policy"] == before
    (gateway.directory / "p.py").write_text(GOOD % str(int(before) + 1))
    gateway.write(middleware=POLICIES)
    assert reload(gateway).status_code == 200
    assert get(gateway, "/x").headers["x-policy"] == str(int(before) + 1)
    assert health(gateway)["errors"] == []


@pytest.mark.parametrize("where", [IMPORT, START], ids=["import", "start"])
async def test_the_watch_survives_it(gateway: GatewayProcess, where: str) -> None:
    """It sees what is bad by itself, refuses it twice if asked twice, and goes on looking at the files."""
    good = str(int(get(gateway, "/x").headers["x-policy"]) + 1)
    (gateway.directory / "p.py").write_text(
        where.replace("%s", "bad").replace("{}", "import asyncio; raise asyncio.CancelledError")
    )
    await eventually(lambda: any("Cancelled" in error for error in health(gateway)["errors"]))
    refused = gateway.log.count("configuration refused")
    gateway.signal(signal.SIGHUP)
    await eventually(lambda: gateway.log.count("configuration refused") > refused)
    (gateway.directory / "p.py").write_text(GOOD % good)
    await eventually(lambda: get(gateway, "/x").headers.get("x-policy") == good)
    assert health(gateway)["errors"] == []


def test_a_second_reload_of_the_same_is_refused_again(gateway: GatewayProcess) -> None:
    """What does not start at a reload is answered with its place, each time."""
    gateway.write(
        middleware=POLICIES + "redis: {url: 'redis://127.0.0.1:1/0?socket_timeout=abc'}\n"
        "rate_limits: {all: {limits: [5/s], store: redis, key: [address]}}\n"
    )
    for _ in range(2):
        answer = reload(gateway)
        assert answer.status_code == 422, answer.text
        assert "middleware.yaml:3:9: redis.url: " in answer.text
    assert any("redis.url" in error for error in health(gateway)["errors"])
    gateway.write(middleware=POLICIES)
    assert reload(gateway).status_code == 200


@pytest.mark.parametrize("what", ["raise KeyboardInterrupt", "import os; os._exit(0)", "while True: pass"])
def test_check_survives_it(tmp_path: Path, what: str) -> None:
    """`gateway check` tells of it like of any other error."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "middleware.yaml").write_text(HASTY if "while" in what else POLICIES)
    (tmp_path / "p.py").write_text(IMPORT.format(what).replace("%s", ""))
    problems = check(tmp_path, {})
    assert [problem.severity for problem in problems] == ["error"]
    assert "mine" in str(problems[0])


def test_an_application_is_tried_like_a_policy(tmp_path: Path) -> None:
    """One whose import ends the process is an error of its route."""
    (tmp_path / "routes.yaml").write_text(ROUTES.replace("apps:one", "exits_hard:app"))
    assert "routes[0].target: asgi:tests.lifecycle.exits_hard:app cannot be used: its import ends the process" in str(
        check(tmp_path, {})[0]
    )


def test_no_process_is_made_where_no_policy_changed(gateway: GatewayProcess) -> None:
    """A reload of other things does not run the policies again."""
    seen = gateway.directory / "seen"
    (gateway.directory / "p.py").write_text(
        f"import os\nwith open({str(seen)!r}, 'a') as file: file.write(f'{{os.getpid()}} ')\n" + GOOD % "9000"
    )
    assert reload(gateway).status_code == 200
    pids = seen.read_text().split()
    assert len(set(pids)) == 2
    assert str(os.getpid()) not in pids
    gateway.write(middleware=POLICIES + "limits: {headers: 99}\n")
    assert reload(gateway).status_code == 200
    assert seen.read_text().split() == pids


async def test_a_refused_configuration_moves_no_log(gateway: GatewayProcess) -> None:
    """What is refused only when it is started leaves both logs and the admin token where they were."""
    elsewhere = gateway.directory / "elsewhere"
    elsewhere.mkdir()
    gateway.write(
        middleware=POLICIES + "redis: {url: 'redis://127.0.0.1:1/0?socket_timeout=abc'}\n"
        "rate_limits: {all: {limits: [5/s], store: redis, key: [address]}}\n"
        f"access_log: {{output: {elsewhere}/access.log}}\naudit_log: {{file: elsewhere/audit.log}}\n"
        "state_directory: elsewhere/state\n"
    )
    assert reload(gateway).status_code == 422
    assert get(gateway, "/x?after-refusal").status_code == 200
    before = len(gateway.access_log)
    get(gateway, "/x")
    await eventually(lambda: len(gateway.access_log) > before, message="the access log has moved")
    assert all(not each.stat().st_size for each in elsewhere.iterdir())
    gateway.write(middleware=POLICIES)
    assert reload(gateway).status_code == 200


def test_the_answer_to_a_reload_names_what_hangs(gateway: GatewayProcess) -> None:
    """The answer comes once the policy was given up, with the reason, and not before."""
    good = (gateway.directory / "p.py").read_text()
    gateway.write(middleware=HASTY)
    (gateway.directory / "p.py").write_text(IMPORT.format("while True: pass"))
    answer = reload(gateway)
    assert (answer.status_code, "does not end within 2 s" in answer.text) == (422, True), answer.text
    (gateway.directory / "p.py").write_text(good)
    gateway.write(middleware=POLICIES)
    assert reload(gateway).status_code == 200


async def test_a_reason_that_is_no_unicode_is_reported(gateway: GatewayProcess) -> None:
    """The admin port answers whatever text a policy raises."""
    good = (gateway.directory / "p.py").read_text()
    (gateway.directory / "p.py").write_text("raise ValueError(chr(0xD800))\n")
    answer = reload(gateway)
    assert answer.status_code == 422
    assert "ValueError: \\\\ud800" in answer.text
    assert "ValueError: \\ud800" in health(gateway)["errors"][0]
    (gateway.directory / "p.py").write_text(good)
    assert reload(gateway).status_code == 200


async def test_who_asks_for_a_reload_is_answered_when_the_gateway_ends(tmp_path: Path) -> None:
    """A reload that is not over at the end is refused for that reason, and no traceback is in the log."""
    with running_gateway(tmp_path, ROUTES, "drain: {window: 0}") as gateway:
        (gateway.directory / "p.py").write_text(IMPORT.format("import time; time.sleep(60)"))
        gateway.write(middleware="reload: {policy_timeout: 1m}\npolicies: {mine: {class: 'p.py:P'}}\n")
        with contextlib.closing(HTTPConnection("127.0.0.1", gateway.admin_port, timeout=60)) as asked:
            asked.request("POST", "/reload", headers=gateway.admin_token)
            await eventually(lambda: tried(gateway) > 0)
            for _ in range(2):  # it has come, too, though the gateway may have seen the files by itself before
                health(gateway)
            gateway.signal(signal.SIGTERM)
            answer = await asyncio.to_thread(asked.getresponse)
            text = answer.read().decode()
        assert (answer.status, "the gateway ends" in text) == (422, True), text
        assert await asyncio.to_thread(gateway.wait) == 0
        assert "Traceback" not in gateway.log


def tried(gateway: GatewayProcess) -> int:
    """The processes in which it tries policies."""
    return sum(len(each.read_text().split()) for each in Path(f"/proc/{gateway.pid}/task").glob("*/children"))
