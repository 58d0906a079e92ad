"""What counts as a Redis that is down, and what does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.limits.exact import Bid, ExactStore
from gateway.limits.store import Taken
from gateway.outside.patience import LoopTime, Patience
from gateway.outside.redis_link import RedisLink
from tests.limits.support import windows
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import Script, eventually, scripted_backend

HELD = windows("1000000/s")


def stall() -> None:
    """What a turn of a busy loop is like."""
    time.sleep(0.05)


async def take(link: RedisLink, key: str = "acme") -> list[Taken] | None:
    return await ExactStore(link).take([Bid("test", key, HELD, 1, enforced=True)], link.patience())


async def test_a_loop_that_stalls_is_no_slow_redis(redis: RedisServer) -> None:
    """Where the gateway itself is late again and again, by much more than the time limit of Redis, each request has its
    answer, and nothing counts as failed."""
    async with linked(redis, 0.02) as link:
        for _ in range(5):
            waiting = [asyncio.create_task(take(link)) for _ in range(200)]
            while not all(task.done() for task in waiting):
                stall()
                await asyncio.sleep(0)
            assert None not in [task.result() for task in waiting]
        assert link.available
        assert not link.failures


async def test_patience_ends_in_time() -> None:
    """While the loop turns freely, a wait ends with the limit; waits after each other share one."""
    loop = asyncio.get_running_loop()
    patience = Patience(LoopTime(1), 1)
    started = loop.time()
    answer: asyncio.Future[int | None] = loop.create_future()
    loop.call_later(0.1, answer.set_result, 1)
    assert await patience.wait(answer) == 1
    assert not patience.over
    assert await patience.wait(loop.create_future()) is None
    assert patience.over
    assert 0.8 < loop.time() - started < 10


async def test_a_connection_that_breaks_loses_nothing(own_redis: RedisServer) -> None:
    """Connections that Redis, or something on the way, closes again and again cost no request its answer."""
    async with linked(own_redis) as link:
        for _ in range(20):
            waiting = [asyncio.create_task(take(link)) for _ in range(50)]
            await asyncio.sleep(0)
            await asyncio.to_thread(own_redis.ask, "CLIENT KILL TYPE normal SKIPME yes")
            assert None not in await asyncio.gather(*waiting)
            # Whatever was asked before this is answered, the heartbeat too: no call meets two of the breaks.
            assert await take(link) is not None
        assert link.available
        assert not link.failures


async def test_scripts_that_are_forgotten_are_sent_again(own_redis: RedisServer) -> None:
    """A Redis whose scripts are flushed in the middle of a burst answers all of it."""
    async with linked(own_redis) as link:
        waiting = []
        for _ in range(20):
            waiting += [asyncio.create_task(take(link)) for _ in range(100)]
            await asyncio.to_thread(own_redis.ask, "SCRIPT FLUSH")
        assert None not in await asyncio.gather(*waiting)
        assert not link.failures


@pytest.mark.parametrize(
    ("harm", "repair"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("CONFIG SET requirepass secret", None),
    ],
)
async def test_a_redis_that_refuses_is_down(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture, harm: str, repair: str | None
) -> None:
    """One without memory, one that only reads, and one that wants a password: limits go on without it, the log says
    why in a line and never with a traceback, and it is used again when it takes commands again."""
    async with linked(own_redis) as link:
        assert own_redis.ask(harm).startswith(b"+OK")
        if repair is None:
            own_redis.kill()
            own_redis.arguments = (*own_redis.arguments, "--requirepass", "secret")
            own_redis._answers = lambda: own_redis.ask("PING").startswith(b"-NOAUTH")  # type: ignore[method-assign]
            await asyncio.to_thread(own_redis.start)
        await eventually(lambda: not link.available)
        assert await take(link) is None
        if repair is not None:
            assert own_redis.ask(repair).startswith(b"+OK")
            await eventually(lambda: link.available)
            assert await take(link) is not None
    logged = [record for record in caplog.records if record.name == "gateway.limits"]
    assert any("Redis is down" in record.message for record in logged)
    assert not any(record.exc_info for record in caplog.records)


@asynccontextmanager
async def link_to(script: Script) -> AsyncIterator[RedisLink]:
    """A link with 20 ms to something that is no good Redis."""
    async with scripted_backend(script) as port:
        link = RedisLink(f"redis://127.0.0.1:{port}/0", 0.02, "gateway:")
        await link.start()
        try:
            yield link
        finally:
            await link.stop()


def answering(answer: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)

    return script


def late(port: int) -> Script:
    """A way to a Redis that takes 50 ms, each way."""

    async def pass_on(reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        while data := await reader.read(65536):
            asyncio.get_running_loop().call_later(0.05, write, data)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        both: list[Awaitable[None]] = [pass_on(reader, outer.write), pass_on(inner, writer.write)]
        try:
            await asyncio.gather(*both)
        finally:
            outer.close()

    return script


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass


ANSWERS = [
    b"",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"+OK\r\n",
    b":1\r\n:1\r\n:1\r\n:1\r\n",
    b"*1\r\n:1\r\n",
    b"*2\r\n$1\r\nx\r\n$-1\r\n",
    b"*-1\r\n",
    b"$-1\r\n",
    b"$x\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    b"-ERR unknown command 'EVALSHA'\r\n",
    b"-NOSCRIPT No matching script\r\n",
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_whatever_answers_no_request_hangs(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Something that is no Redis, or one that is of no use now, is found out, and costs no request more than the time
    limit, and no traceback."""
    async with link_to(answering(answer) if answer else silent) as link:
        async with asyncio.timeout(30):
            for _ in range(10):
                assert await take(link) is None
    assert not any(record.exc_info for record in caplog.records)
    assert "never retrieved" not in caplog.text


async def test_a_slow_redis_is_down(own_redis: RedisServer) -> None:
    """One that answers everything, and always too late, is given up after a few time limits."""
    async with link_to(late(own_redis.port)) as link:
        await eventually(lambda: not link.available)
        calls = link.calls
        assert await take(link) is None
        assert link.calls <= calls + 1  # only the probe


async def test_a_redis_on_which_only_connecting_takes_long_comes_back(own_redis: RedisServer) -> None:
    """After an outage it is used again where each call is answered in time, and a connection, which takes several
    calls until something can be asked on it, is not ready within the time of one."""
    async with scripted_backend(late(own_redis.port)) as port:
        link = RedisLink(f"redis://127.0.0.1:{port}/1", 0.17, "gateway:")  # a call takes 0.1 s, a new connection 0.2 s
        await link.start()
        try:
            await eventually(lambda: link.calls > 0 and link.answers)
            own_redis.kill()
            await eventually(lambda: not link.available)
            await asyncio.to_thread(own_redis.start)
            await eventually(lambda: link.available, message="it does not come back")
        finally:
            await link.stop()


async def test_a_redis_that_does_not_answer_info_is_named_in_the_log(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, for as long as it does not: that a Redis lost its data is noticed later, and what must be allowed."""
    own_redis.ask("ACL SETUSER default -info")
    async with linked(own_redis) as link:
        calls = link.calls
        own_redis.ask("CLIENT KILL TYPE normal SKIPME yes")
        await eventually(lambda: link.calls > calls + 1)  # one after the other
    assert [record.message for record in caplog.records if "+info" in record.message] == [
        "Redis does not answer INFO, so that one that lost its data is noticed late: allow +info"
    ]
