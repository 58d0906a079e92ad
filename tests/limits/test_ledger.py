"""Quotas: counted in memory, kept in a file or in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.algorithms.calendar_windows import span_at
from gateway.limits.ledger import WRITE_SECONDS, Book, Ledger
from gateway.limits.memory_book import MemoryBook
from gateway.limits.redis_book import RedisBook
from gateway.limits.sqlite_book import SqliteBook
from tests.outside.support import linked
from tests.redis_server import RedisServer
from tests.support import eventually

BERLIN = ZoneInfo("Europe/Berlin")


class Clock:
    """A clock that is set by hand."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def ledger(book: Book, clock: Clock | None = None) -> AsyncIterator[Ledger]:
    made = Ledger("monthly", "month", BERLIN, book, clock or Clock("2036-03-15 12:00"))
    if isinstance(book, SqliteBook):
        await book.start()
    await made.start()
    yield made
    await made.stop()
    if isinstance(book, SqliteBook):
        await book.stop()


async def count(book: Ledger, key: str, times: int) -> int | None:
    """Count so many requests; what is used then."""
    while book.used(key) is None:
        await book.read(key)
    for _ in range(times):
        book.add(key)
    return book.used(key)


async def test_what_was_counted_outlives_a_restart(tmp_path: Path) -> None:
    """A gateway that ends in order, and another one that begins, lose nothing."""
    path = tmp_path / "quotas.sqlite"
    for expected in (10, 20, 30):
        async with ledger(SqliteBook(path)) as book:
            assert await count(book, "acme", 10) == expected


async def test_what_is_used_stays_used_however_many_others_come() -> None:
    """Also without a file: the first of many keys have used what they have used, and what is forgiven stays so."""
    clock = Clock("2036-03-15 12:00")
    book = Ledger("monthly", "month", BERLIN, MemoryBook(), clock, most=100)
    await book.start()
    await count(book, "forgiven", 3)
    await book.reset("forgiven")
    for number in range(1000):
        await count(book, f"early {number}", 3)
        assert await book.read(f"early {number}")
    for number in range(1000):
        await count(book, f"late {number}", 0)
    assert [await count(book, f"early {number}", 0) for number in range(1000)] == [3] * 1000
    assert book.peek("early 0") == 3
    assert await count(book, "forgiven", 0) == 0
    assert await count(book, "new", 1) == 1
    clock.set("2036-04-01 12:00")
    assert await count(book, "early 1", 1) == 1
    await book.stop()


async def test_what_is_used_up_is_known_however_many_others_come(tmp_path: Path) -> None:
    """It does not have to be read again, which may take longer than a request waits, until it is reset."""
    file = SqliteBook(tmp_path / "quotas.sqlite")
    await file.start()
    book = Ledger("monthly", "month", BERLIN, file, Clock("2036-03-15 12:00"), most=100)
    await book.start()
    for key in ("used up", "forgiven"):
        await count(book, key, 3)
        book.note_near(key, 3, 3)
    await book.reset("forgiven")
    for number in range(500):
        await count(book, f"other {number}", 0)
    assert (book.used("used up"), book.peek("forgiven")) == (3, None)
    await book.stop()
    await file.stop()


async def test_a_count_that_is_waited_for_is_read_before_others_are_written(tmp_path: Path) -> None:
    """However many there are, which are written all the same."""
    async with ledger(SqliteBook(tmp_path / "quotas.sqlite")) as book:
        for number in range(5000):
            book.add(f"other {number}")
        while not await book.read("asked"):
            pass
        assert book.pending > 2500
        await eventually(lambda: book.pending == 0)


async def test_what_is_counted_is_written_soon(tmp_path: Path) -> None:
    """Without any end in order, all is in the file after the time that is stated."""
    path = tmp_path / "quotas.sqlite"
    async with ledger(SqliteBook(path)) as book:
        await count(book, "acme", 7)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await eventually(lambda: sqlite3.connect(path).execute("SELECT sum(total) FROM used").fetchone() == (7,))
        assert loop.time() - started < WRITE_SECONDS + 10  # the machine may be busy


async def test_a_month_ends_at_midnight_of_its_zone(tmp_path: Path) -> None:
    """What was used of March is nothing in April, which begins in Berlin two hours before it does in UTC."""
    clock = Clock("2036-03-31 21:59:59")
    async with ledger(SqliteBook(tmp_path / "quotas.sqlite"), clock) as book:
        assert await count(book, "acme", 5) == 5
        assert book.seconds_left() == 2
        clock.set("2036-03-31 22:00:00")
        assert await count(book, "acme", 1) == 1
        clock.set("2036-03-31 21:59:59")  # a clock that goes backwards
        assert await count(book, "acme", 1) == 2


async def test_what_was_counted_at_the_end_of_a_window_is_still_written(tmp_path: Path) -> None:
    """Requests of the last moment of a month are written for that month."""
    path, clock = tmp_path / "quotas.sqlite", Clock("2036-03-31 21:59:59")
    async with ledger(SqliteBook(path), clock) as book:
        await count(book, "acme", 5)
        clock.set("2036-03-31 22:00:00")
        await count(book, "acme", 2)
    rows = sqlite3.connect(path).execute("SELECT total FROM used ORDER BY starts").fetchall()
    assert rows == [(5,), (2,)]


async def test_a_file_that_cannot_be_written_blocks_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Counting goes on in memory, the log says so, and all is written as soon as it can be."""
    path = tmp_path / "state" / "quotas.sqlite"
    path.parent.touch()  # a file where the directory should be
    async with ledger(SqliteBook(path)) as book:
        assert not await book.read("acme")
        for _ in range(5):
            book.add("acme")
        assert book.assume("acme") == 5
        await eventually(lambda: not book.book.available)
        assert "quotas are only counted in memory" in caplog.text
        path.parent.unlink()
        await eventually(lambda: book.used("acme") == 5)
    async with ledger(SqliteBook(path)) as book:
        assert await count(book, "acme", 0) == 5


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """What one process counts in a file, another one learns."""
    path = tmp_path / "quotas.sqlite"
    async with ledger(SqliteBook(path)) as one, ledger(SqliteBook(path)) as two:
        await count(one, "acme", 5)
        await count(two, "acme", 5)
        await eventually(lambda: one.used("acme") is not None and two.used("acme") is not None)
        for book in (one, two):
            for _ in range(1):
                book.add("acme")
        await eventually(lambda: max(one.used("acme") or 0, two.used("acme") or 0) == 12)


async def check_reset(first: Book, second: Book, third: Book) -> None:
    """One gateway resets what two have counted; the other learns of it when it looks, and neither brings it back."""
    async with ledger(first) as one, ledger(second) as other:
        await count(one, "=a", 5)
        await count(other, "=a", 3)
        await eventually(lambda: one.pending == other.pending == 0)
        one.look("=a")
        await eventually(lambda: one.used("=a") == 8)
        assert await one.reset("=a") == 8
        assert one.used("=a") == 0
        await eventually(lambda: one.pending == 0)
        other.look("=a")
        await eventually(lambda: other.used("=a") == 0)
        await count(other, "=a", 2)
        await eventually(lambda: other.pending == 0)
        one.look("=a")
        await eventually(lambda: one.used("=a") == 2)
    async with ledger(third) as later:
        assert await count(later, "=a", 0) == 2


@pytest.mark.parametrize("most", [1000, 1])
async def test_a_reset_reaches_all_that_share_a_file(tmp_path: Path, most: int) -> None:
    """It outlives restarts, also where the file has as many counters as it may."""
    one, two, three = (SqliteBook(tmp_path / "quotas.sqlite", most) for _ in range(3))
    await check_reset(one, two, three)


@pytest.mark.parametrize("most", [1000, 1])
async def test_a_reset_reaches_all_that_share_a_redis(own_redis: RedisServer, most: int) -> None:
    """The same there."""
    async with linked(own_redis) as one, linked(own_redis) as two, linked(own_redis) as three:
        await check_reset(RedisBook(one, most), RedisBook(two, most), RedisBook(three, most))


async def test_replicas_share_a_redis(redis: RedisServer) -> None:
    """What one replica counts, another one finds when it first asks."""
    async with linked(redis) as one, linked(redis) as two:
        async with ledger(RedisBook(one)) as book:
            await count(book, "shared", 5)
        async with ledger(RedisBook(two)) as book:
            assert await count(book, "shared", 1) == 6


async def test_a_redis_that_was_emptied_gets_the_state_again(own_redis: RedisServer) -> None:
    """A Redis that loses its data without ever being missed has all counts again, too."""
    async with linked(own_redis, 1.0) as link, ledger(RedisBook(link)) as book:
        await count(book, "busy", 5)
        await eventually(lambda: own_redis.ask("DBSIZE").startswith(b":3"))  # the counter, its window, and the replicas
        before = link.outages
        own_redis.ask("FLUSHALL")
        await eventually(lambda: link.outages > before)
        book.add("other")
        await eventually(lambda: own_redis.ask("DBSIZE").startswith(b":4"))
    async with linked(own_redis) as link, ledger(RedisBook(link)) as book:
        assert await count(book, "busy", 0) == 5


async def test_a_redis_that_lost_its_data_gets_the_state_again(own_redis: RedisServer) -> None:
    """A Redis that is killed and comes back empty has all counts again from a replica that lives."""
    async with linked(own_redis, 1.0) as link, ledger(RedisBook(link)) as book:
        await count(book, "busy", 5)
        await count(book, "quiet", 7)
        await eventually(
            lambda: own_redis.ask("DBSIZE").startswith(b":4")
        )  # two counters, their window, and the replicas
        own_redis.kill()
        await eventually(lambda: not link.available)
        book.add("busy")
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: own_redis.ask("DBSIZE").startswith(b":4"))
        await eventually(lambda: book.used("busy") == 6)
    async with linked(own_redis) as link, ledger(RedisBook(link)) as book:
        assert await count(book, "busy", 0) == 6
        assert await count(book, "quiet", 0) == 7


async def test_without_redis_a_limit_is_shared_by_the_replicas(own_redis: RedisServer) -> None:
    """Each goes on with what it knew, and with its share of what was left then; all of it is there again later."""
    async with linked(own_redis, 1.0) as link, ledger(RedisBook(link)) as book:
        await count(book, "busy", 4)
        await eventually(lambda: book.known("busy", book.span())[0] == 4)
        own_redis.kill()
        await eventually(lambda: not link.available)
        link.replicas = 3
        assert (book.limit("busy", 10), book.limit("new", 10), book.limit("busy", 4)) == (6, 3, 4)
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: book.book.available)
        assert book.limit("busy", 10) == 10


async def test_only_the_gateway_reads_its_files(tmp_path: Path) -> None:
    """The file, those that SQLite puts beside it, and the directory are closed to other users, also where a former
    version left them open."""
    path = tmp_path / "state" / "quotas.sqlite"
    for expected in (1, 2):
        async with ledger(SqliteBook(path)) as book:
            assert await count(book, "acme", 1) == expected
            await eventually(lambda: stat.S_IMODE(path.with_name("quotas.sqlite-wal").stat().st_mode) == 0o600)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(("quotas.sqlite", "quotas.sqlite-wal", "quotas.sqlite-shm"), 0o600)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)


async def test_a_file_of_a_former_version_goes_on(tmp_path: Path) -> None:
    """What was counted before an upgrade is still counted, and goes when its window is over."""
    path, clock = tmp_path / "quotas.sqlite", Clock("2036-03-15 12:00")
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        columns = "quota TEXT NOT NULL, starts INTEGER NOT NULL, key TEXT NOT NULL, total INTEGER NOT NULL"
        file.execute(f"CREATE TABLE used ({columns}, PRIMARY KEY (quota, starts, key)) WITHOUT ROWID")
        starts = span_at("month", BERLIN, clock()).starts
        file.execute("INSERT INTO used VALUES ('monthly', ?, 'acme', 7)", (starts,))
        file.execute("INSERT INTO used VALUES ('monthly', 1000, 'old', 7)")
    async with ledger(SqliteBook(path), clock) as book:
        assert await count(book, "acme", 1) == 8
    assert [key for (key,) in sqlite3.connect(path).execute("SELECT key FROM used")] == ["acme"]


async def test_rows_go_when_their_window_is_over(tmp_path: Path) -> None:
    """Nothing is kept of the callers of a day that is over, though the gateway is never restarted."""
    path, clock = tmp_path / "quotas.sqlite", Clock("2001-03-15 12:00")
    book = SqliteBook(path)
    async with ledger(book, clock) as used:
        for number in range(50):
            await count(used, f"caller {number}", 1)
    async with ledger(SqliteBook(path), Clock("2036-03-15 12:00")) as used:
        await count(used, "today", 1)
    assert [key for (key,) in sqlite3.connect(path).execute("SELECT key FROM used")] == ["today"]


async def check_cap(make: Callable[[], Book]) -> None:
    """With room for three keys: what comes then counts together, and loses nothing."""
    async with ledger(make()) as used:
        for name in ("a", "b", "c"):
            await count(used, name, 2)
        await eventually(lambda: not used.pending)
        await count(used, "d", 5)
        await eventually(lambda: not used.pending)
        assert await count(used, "e", 0) == 5
        assert await count(used, "a", 1) == 3
    async with ledger(make()) as used:
        assert [await count(used, name, 0) for name in "abcde"] == [3, 2, 2, 5, 5]


async def test_a_file_does_not_grow_with_what_callers_make_up(tmp_path: Path) -> None:
    """A quota whose key clients choose keeps so many rows, and one more for all the others."""
    path = tmp_path / "quotas.sqlite"
    await check_cap(lambda: SqliteBook(path, most=3))
    assert sqlite3.connect(path).execute("SELECT count(*), sum(total) FROM used").fetchone() == (4, 12)


async def test_a_redis_does_not_grow_with_what_callers_make_up(own_redis: RedisServer) -> None:
    """The same in Redis."""
    async with linked(own_redis) as link:
        await check_cap(lambda: RedisBook(link, most=3))
        assert own_redis.ask("DBSIZE").startswith(b":5")  # three counters, what belongs to their window, the replicas
