"""Deployments that are left alone for a while: one key of a provider, for one model.

What asks for less (429), or is overloaded, is left alone at once, for as long as it says or, without a word of it, for
a pause that doubles; what fails otherwise, when it has failed five times in a row. When the pause is over one request
tries it, and the others wait for what becomes of that. Gateways with the same Redis know each other's pauses.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from random import random
from typing import Final, NamedTuple

from gateway.algorithms.backoff import doubled
from gateway.live import Tasks
from gateway.outside.redis_link import RedisLink
from gateway.outside.redis_scripts import Script

FIRST_PAUSE: Final = 5.0  # seconds, where nothing says how long; doubled each time
LONGEST_PAUSE: Final = 120.0
LONGEST_ASKED: Final = 3600.0  # of a Retry-After
KEY_PAUSE: Final = 60.0  # of a key that was refused
LONGEST_KEY_PAUSE: Final = 3600.0
JITTER: Final = 0.2  # of a pause, more: not all gateways are to try at the same moment
FAILURES: Final = 5  # in a row, before what does not answer is left alone
TRIAL_SECONDS: Final = 60.0  # after which another request may try
TRIAL_HINT: Final = 1.0  # seconds after which it may be known what became of one
MOST: Final = 10_000  # deployments that are remembered: clients name the models where a provider offers any
SHARING_SECONDS: Final = 1.0
BATCH: Final = 500


class Deployment(NamedTuple):
    """The subject of a pause. Without a model: all models."""

    provider: str
    key: str  # its fingerprint; empty where the provider has none
    model: str = ""


class _State:
    __slots__ = ("failures", "pauses", "trial_until", "until", "why")

    def __init__(self) -> None:
        self.until = 0.0  # no request before
        self.trial_until = 0.0  # one is trying it
        self.pauses = 0  # in a row
        self.failures = 0  # the same, without a pause
        self.why = ""


class Cooldowns:
    """All of them, as of one gateway. `now` is the loop's time in seconds."""

    def __init__(self, draw: Callable[[], float] = random) -> None:
        self._states: OrderedDict[Deployment, _State] = OrderedDict()
        self._draw = draw
        self.begun: list[tuple[Deployment, float]] = []  # pauses that other gateways do not know of yet
        self.shared = False
        self._configured: Mapping[tuple[str, str], str] | None = None  # None: that is not known yet

    def configure(self, keys: Mapping[tuple[str, str], str]) -> None:
        """What there is from now on: where to ask, by the name of a provider and the fingerprint of a key. Nothing is
        known of the others any more, and of those that are asked elsewhere now."""
        before, self._configured = self._configured or {}, keys
        for deployment in list(self._states):
            way = deployment[:2]
            if way not in keys or before.get(way) != keys[way]:
                del self._states[deployment]

    @property
    def none(self) -> bool:
        """Whether nothing has failed lately: then nothing is left alone."""
        return not self._states

    def left(self, deployment: Deployment, now: float) -> float:
        """Seconds for which it is still left alone; 0 where it may be tried. Changes nothing."""
        state = self._states.get(deployment)
        if state is None:
            return 0.0
        if now < state.until:
            return state.until - now
        return min(TRIAL_HINT, max(0.0, state.trial_until - now)) if state.pauses else 0.0

    def why(self, deployment: Deployment) -> str:
        """Why it is left alone: the reason of the failure; empty where it is not."""
        state = self._states.get(deployment)
        return state.why if state is not None else ""

    def begin(self, deployment: Deployment, now: float) -> None:
        """A request is sent to it: where a pause is just over, the others wait for what becomes of this one."""
        state = self._states.get(deployment)
        if state is not None and state.pauses:
            state.trial_until = now + TRIAL_SECONDS

    def give_back(self, deployment: Deployment) -> None:
        """The request says nothing of it: another one may try."""
        state = self._states.get(deployment)
        if state is not None:
            state.trial_until = 0.0

    def succeeded(self, deployment: Deployment) -> None:
        """It answered."""
        self._states.pop(deployment, None)

    def failed(self, deployment: Deployment, why: str, now: float) -> None:
        """It did not answer, or failed: a pause begins where that happened several times in a row."""
        state = self._of(deployment)
        state.failures += 1
        state.trial_until = 0.0
        if state.pauses or state.failures >= FAILURES:
            self._pause(deployment, state, why, now, doubled(FIRST_PAUSE, state.pauses + 1, LONGEST_PAUSE))

    def limited(self, deployment: Deployment, why: str, now: float, asked: float) -> None:
        """It wants no more for so many seconds; 0: it does not say for how long."""
        state = self._of(deployment)
        usual = doubled(FIRST_PAUSE, state.pauses + 1, LONGEST_PAUSE)
        self._pause(deployment, state, why, now, min(asked, LONGEST_ASKED) if asked > 0 else usual)

    def refused(self, deployment: Deployment, now: float) -> None:
        """The key is not accepted."""
        state = self._of(deployment)
        self._pause(deployment, state, "key", now, doubled(KEY_PAUSE, state.pauses + 1, LONGEST_KEY_PAUSE))

    def learned(self, deployment: Deployment, seconds: float, why: str, now: float) -> None:
        """Another gateway leaves it alone for so long."""
        if not self._has(deployment):
            return
        state = self._of(deployment)
        if state.until < now + seconds:
            state.until, state.why = now + seconds, why
            state.pauses = max(1, state.pauses)

    def paused(self, now: float) -> list[tuple[Deployment, float, str]]:
        """Current pauses, with the seconds left and the reason."""
        return [(each, state.until - now, state.why) for each, state in self._states.items() if state.until > now]

    def troubles(self) -> Iterator[str]:
        """See `Troubled`: keys that are refused, by their fingerprints."""
        for deployment, seconds, why in self.paused(time.monotonic()):  # which is the loop's time
            if why == "key" and self._has(deployment):
                key = f"its key of fingerprint {deployment.key}" if deployment.key else "requests without a key"
                yield (
                    f"the provider {deployment.provider} refuses {key}, which is tried again in {seconds:.0f} s; "
                    "give it a valid key in models.yaml"
                )

    def _has(self, deployment: Deployment) -> bool:
        """Whether it is configured: of a former request, or of another gateway, it may not be."""
        return self._configured is None or deployment[:2] in self._configured

    def _of(self, deployment: Deployment) -> _State:
        state = self._states.get(deployment)
        if state is None:
            state = self._states[deployment] = _State()
            if len(self._states) > MOST:
                self._states.popitem(last=False)
        else:
            self._states.move_to_end(deployment)
        return state

    def _pause(self, deployment: Deployment, state: _State, why: str, now: float, seconds: float) -> None:
        seconds *= 1 + JITTER * self._draw()
        state.pauses += 1
        state.failures = 0
        state.trial_until = 0.0
        state.until = max(state.until, now + seconds)
        state.why = why
        if self.shared and len(self.begun) < BATCH:
            self.begun.append((deployment, seconds))


_SHARE: Final = Script(
    """
-- KEYS: a sorted set of deployments by when their pauses end. ARGV: for each new pause its deployment, and for how many
-- milliseconds. Answers all that are left alone: each deployment, and for how many milliseconds more.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('TYPE', KEYS[1]).ok
if found ~= 'zset' and found ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for i = 1, #ARGV, 2 do
  local ends = now + ARGV[i + 1]
  if ends > tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) then redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
end
local answer = {}
local all = redis.call('ZREVRANGE', KEYS[1], 0, 999, 'WITHSCORES')
for i = 1, #all, 2 do
  answer[#answer + 1] = all[i]
  answer[#answer + 1] = tostring(all[i + 1] - now)
end
if #all > 0 then redis.call('PEXPIRE', KEYS[1], 7200000) end
return answer
"""
)


class SharedCooldowns:
    """Keeps the pauses of several gateways the same, within about a second. Without Redis each has its own."""

    def __init__(self, cooldowns: Cooldowns, link: RedisLink) -> None:
        self.tasks = Tasks()
        self._cooldowns = cooldowns
        self._link = link
        self._key = f"{link.prefix}models:cooldowns"

    async def start(self) -> None:
        """Begin."""
        self._cooldowns.shared = True
        self.tasks.supervise("the sharing of pauses of model providers", self._work)

    async def stop(self) -> None:
        """End."""
        self._cooldowns.shared = False
        await self.tasks.end()

    async def _work(self) -> None:
        while True:
            await self.exchange()
            await asyncio.sleep(SHARING_SECONDS)

    async def exchange(self) -> None:
        """Share new pauses with the other gateways, and read theirs."""
        begun, self._cooldowns.begun = self._cooldowns.begun, []
        arguments: list[str | int] = []
        for deployment, seconds in begun:
            arguments += ["\n".join((*deployment, self._cooldowns.why(deployment))), int(seconds * 1000)]
        answer = await self._link.ask(_SHARE, [self._key], arguments)
        if not isinstance(answer, list):
            self._cooldowns.begun = [*begun, *self._cooldowns.begun][:BATCH]
            return
        now = asyncio.get_running_loop().time()
        for name, left in zip(answer[::2], answer[1::2], strict=False):
            parts = name.decode("utf-8", "replace").split("\n")
            if len(parts) == 4 and left.decode().removesuffix(".0").isdigit():
                self._cooldowns.learned(Deployment(*parts[:3]), float(left) / 1000, parts[3], now)
