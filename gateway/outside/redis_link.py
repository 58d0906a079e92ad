"""The way to Redis: bounded in time and in what it may break, and judged by what it answers.

A call that is not answered in time, or fails, is answered with None, and the caller goes on without Redis. When that
has gone on for `FAILURES` time limits after each other nothing is asked any more (`available` is False), so that a dead
Redis costs requests nothing; a task of its own tries every `PROBE_SECONDS` whether it is back. What this process is
late with itself counts for none of that (see `LoopTime`). A connection that breaks is made again, and what it had not
answered is asked once more: that may count a request twice, but never leaves one uncounted.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Final

from gateway.config.models.redis import Redis
from gateway.context import Context
from gateway.live import Place, Tasks
from gateway.outside.patience import LoopTime, Patience
from gateway.outside.redis_pipeline import Arguments, Call, Pipeline
from gateway.outside.redis_scripts import BEAT, LEAVE, WATCH, Script
from gateway.outside.throttled_log import ThrottledLog

logger = logging.getLogger("gateway.limits")

FAILURES = 3  # time limits, or attempts, in a row, until it counts as down
PROBE_SECONDS = 0.25  # between two attempts while it is down
BEAT_SECONDS = 1.0  # between two signs of life
YOUNG_BEATS = 10  # signs of life that come faster, so that a new replica and the others learn of each other soon
YOUNG_BEAT_SECONDS = 0.1
LIFE_SECONDS = 5  # without a sign of life, until a replica does not count any more
LISTED_SECONDS = LIFE_SECONDS - 1  # for which Redis, which counts whole seconds, surely lists one
REPORTED_SECONDS = 3.0  # after Redis lost its data, until all replicas have reported what they know: each notices the
# loss with its next sign of life
LOG_SECONDS = 10.0  # between two lines about failures

REPLICAS = "replicas"
REDIS_PLACE: Final[Place] = ("middleware.yaml", ("redis", "url"))

_OF_ITS_DATA: Final = r"^WRONGTYPE |WRONGTYPE Operation|@?user_script:\d+: "
_OF_ITSELF: Final = (
    r"\b(OOM|READONLY|LOADING|MISCONF|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|"
    r"NOAUTH|NOPERM|BUSY|MOVED|ASK|TRYAGAIN|CROSSSLOT)\b"
)


class RedisLink:
    """One Redis, for all that is counted or shared there. `timeout` is in seconds; all keys begin with `prefix`."""

    def __init__(self, url: str, timeout: float, prefix: str, *, counted: bool = True) -> None:
        """`counted`: whether this process is one of the replicas that share limits."""
        self._beat_script = BEAT if counted else WATCH
        self.timeout = timeout
        self.prefix = prefix
        self.available = False
        self.replicas = 0  # how many there are, this one included; 0 until that is known
        # For metrics.
        self.calls = 0
        self.failures = 0
        self.outages = 0
        self._url = url
        self._time = LoopTime(timeout)
        self._pool: Any = None  # redis.asyncio.ConnectionPool, which is not typed throughout
        self._pipeline: Pipeline | None = None
        self._run = ""  # the run of the server that was last connected to
        self._shows_run = True  # as far as is known
        self._reported_at = 0.0  # time.monotonic(), as the next
        self._listed_at = 0.0  # when this replica was last entered in its list
        self._in_a_row = 0
        self._turn = 0
        self._down_since = 0.0
        self._reason = ""
        self._log = ThrottledLog(logger.warning, LOG_SECONDS)  # the begin and end of an outage are always in it
        self._replica = uuid.uuid4().hex
        self._stopped = False
        self.tasks = Tasks()

    async def start(self) -> None:
        """Begin to try. Whether Redis is there shows within a few milliseconds; no request waits for it."""
        # Six megabytes that only those need who have a Redis.
        from redis.asyncio import ConnectionPool  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        self._pool = ConnectionPool.from_url(
            self._url,
            socket_timeout=None,  # the time limit is that of the whole call
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self.available = True
        self.tasks.supervise("the heartbeat of Redis", self._beat)

    async def stop(self) -> None:
        """Close the connection in order."""
        self._stopped = True
        self.tasks.cancel()
        if self.answers:  # the others need not wait until they miss this one
            await self._ask(LEAVE, [self.prefix + REPLICAS], [self._replica], self.timeout).answer
        self.available = False
        self._drop()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if not self.available and not self._stopped and self._reason:
            seconds = time.monotonic() - self._down_since
            remedy = "start it, or correct redis.url and redis.timeout"
            yield f"Redis is down for {seconds:.0f} s, limits follow their on_failure: {self._reason}; {remedy}"

    def measures(self) -> dict[str, float]:
        """Calls, those that failed, and how often it went down; 1 while it is up."""
        return {
            "gateway_redis_up": float(self.available),
            "gateway_redis_calls_total": self.calls,
            "gateway_redis_failures_total": self.failures,
            "gateway_redis_outages_total": self.outages,
        }

    @property
    def answers(self) -> bool:
        """Whether it did the last time."""
        return self.available and not self._in_a_row

    @property
    def reported(self) -> bool:
        """Whether the replicas have reported to this Redis what they know. A Redis that was started again, replaced or
        emptied has their reports `REPORTED_SECONDS` after that was noticed; `outages` has counted it."""
        return time.monotonic() >= self._reported_at

    @property
    def complete(self) -> bool:
        """Whether it answers, and knows what the replicas know: only then may anything be added to that."""
        return self.available and self.reported

    def set_timeout(self, timeout: float) -> None:
        """Give each call so many seconds from now on."""
        self.timeout = timeout
        self._time = LoopTime(timeout)

    def patience(self) -> Patience:
        """How long a request waits for it at most, all of its limits together."""
        return Patience(self._time, self.timeout)

    def ask(
        self, script: Script, keys: Sequence[str], arguments: Arguments, seconds: float | None = None
    ) -> asyncio.Future[Any]:
        """The script's result; None if it does not answer in time (`seconds`, or else `timeout`). Never raises."""
        if self.available:
            return self._ask(script, keys, arguments, self.timeout if seconds is None else seconds).answer
        nothing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing

    def _ask(self, script: Script, keys: Sequence[str], arguments: Arguments, seconds: float) -> Call:
        self.calls += 1
        call = Call(script, keys, arguments, self._turn)
        self._time.limit(call.answer, self._time.now + seconds)
        call.answer.add_done_callback(lambda _: self._judge(call, seconds))
        if self._pipeline is None:
            self._pipeline = self._connect([call])
        else:
            self._pipeline.add(call)
        return call

    def _connect(self, calls: Sequence[Call]) -> Pipeline:
        return Pipeline(self._pool.make_connection(), calls, self._connected, self._broken)

    # Whether it works, and still has its data.

    def _connected(self, run: str) -> None:
        if run and self._run and run != self._run:
            self._data_lost()
        if self._shows_run and not run:
            logger.warning("Redis does not answer INFO, so that one that lost its data is noticed late: allow +info")
        self._shows_run = bool(run)
        self._run = run or self._run

    def _data_lost(self) -> None:
        if self._pipeline is not None:
            for call in self._pipeline.unanswered():
                if call.adds:
                    call.end(None, ConnectionError("Redis has lost its data meanwhile"))
        self._listed_at = 0.0
        self.outages += self.available  # or it is counted already
        self._reported_at = time.monotonic() + REPORTED_SECONDS

    def _broken(self, pipeline: Pipeline, error: Exception) -> None:
        """A connection is over, or could not be made: ask once more what it did not answer."""
        if pipeline is not self._pipeline:
            return
        self._pipeline = None
        again = []
        for call in pipeline.unanswered():
            if call.tried or not pipeline.connected:
                call.end(None, error)
            else:
                call.tried = True
                again.append(call)
        if again:
            self._pipeline = self._connect(again)

    def _drop(self) -> None:
        """Give the connection up, and all that is asked on it."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.task.cancel()
            for call in pipeline.unanswered():
                call.end(None)

    def _judge(self, call: Call, seconds: float) -> None:
        """Learn of how a call ended. Those that were under way together fail as one."""
        if self._stopped or call.answer.cancelled():  # by a task that is ended while it waits
            return
        if call.answer.result() is not None:
            if seconds <= self.timeout:  # an answer to one that may take longer says little
                self._in_a_row = 0
                if not self.available:
                    self.available = True
                    self._log.always("Redis is back after %.1f s", time.monotonic() - self._down_since)
            return
        self.failures += 1
        error = call.error
        if error is not None and _is_of_data(error):
            self._log.line("Redis refuses a command: %s", error)
        elif call.turn == self._turn:
            reason = f"no answer within {self.timeout * 1000:g} ms" if error is None else str(error)
            self._turn += 1
            self._in_a_row += 1
            self._reason = " ".join(reason.split())
            if self._in_a_row < FAILURES:
                self._log.line("Redis failed: %s", reason)
                return
            if self.available:
                self.available = False
                self.outages += 1
                self._down_since = time.monotonic()
                self._log.always("Redis is down, limits follow their on_failure: %s", reason)
            if self._in_a_row % FAILURES == 0:  # a new connection, which takes longer than a call, has that long
                self._drop()

    async def _beat(self) -> None:
        """Announce that this replica is alive, and find out whether Redis is."""
        young = YOUNG_BEATS
        while True:
            answer = await self._ask(
                self._beat_script, [self.prefix + REPLICAS], [self._replica, LIFE_SECONDS], self.timeout
            ).answer
            if answer is not None:
                now = time.monotonic()
                surely_listed = now < self._listed_at + LISTED_SECONDS or not self._shows_run
                if answer[1] and self._listed_at and surely_listed:
                    self._data_lost()  # it was emptied, or started again too fast to be missed
                self._listed_at = now
                self.replicas = answer[0] if self.reported else max(answer[0], self.replicas)  # they come one by one
                young = YOUNG_BEATS if answer[1] else max(0, young - 1)
            await asyncio.sleep(self._pause(young))

    def _pause(self, young: int) -> float:
        if not self.answers:
            return PROBE_SECONDS
        return YOUNG_BEAT_SECONDS if young else BEAT_SECONDS


def _is_of_data(error: Exception) -> bool:
    """Whether Redis works, and only a value of another program under a key is in the way."""
    text = f"{getattr(error, 'status_code', None) or ''} {error}"
    return bool(re.search(_OF_ITS_DATA, text)) and not re.search(_OF_ITSELF, text)


# From middleware.yaml.


def redis_identity(context: Context) -> tuple[str, str]:
    """The identity of a Redis: URL, and prefix of its keys.

    That there is one was checked, where something asks for it.
    """
    redis = _redis(context)
    return redis.url.get_secret_value(), redis.prefix


def redis_link(context: Context) -> RedisLink:
    """The way to it, the same for all."""
    (url, prefix), timeout = redis_identity(context), _redis(context).timeout
    link = context.plan.need(("limits.redis", url, prefix), lambda: RedisLink(url, timeout, prefix), REDIS_PLACE)
    if link.timeout != timeout:  # what is held there goes on
        context.plan.after_adoption(partial(link.set_timeout, timeout))
    return link


def _redis(context: Context) -> Redis:
    redis = context.configuration.middleware.redis
    assert redis is not None
    return redis
