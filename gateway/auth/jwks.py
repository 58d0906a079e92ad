"""The keys of an issuer that publishes them (RFC 7517, OpenID Connect Discovery), fetched beside the requests.

They are fetched again before they grow too old. When that fails the old ones hold on for a bounded time. A request
waits for them only where there are none yet, or where its token names a key that is not among them, and then not long.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.algorithms.backoff import doubled
from gateway.auth.fetching import Fetched, Fetcher, FetchError
from gateway.auth.jwk import KeyUnfitError, from_jwks
from gateway.auth.key_set import KeySet
from gateway.auth.metrics import FetchedKeys
from gateway.auth.scheme import Refused, unavailable
from gateway.auth.token import load_json
from gateway.live import Tasks

logger = logging.getLogger("gateway.auth")

WAIT_SECONDS = 2.0  # that a request waits for keys at most
FETCHES = 5  # for unknown kids, in any FETCH_WINDOW
FETCH_WINDOW = 60.0  # seconds
FETCH_SPACING = 5.0  # seconds after which one more is allowed: invented kids must not hide a new key for long
ABSENT_SECONDS = 10.0  # how long a kid that was looked for is not looked for again
ABSENT_KIDS = 1000
AGAIN_SECONDS = 5.0  # how long no other key is looked for under a known kid, after one was
RETRY_LAST = 15.0  # seconds between fetches that fail, at most

NOT_FETCHED = unavailable(
    "the keys of the token's issuer are not fetched for an explanation; ask /explain of a running gateway's admin port"
)


@dataclass(frozen=True, slots=True)
class JwksSettings:
    """Where keys are published, and how long they are used. `discovery`: `url` is that of the issuer's metadata."""

    issuer: str
    url: str
    discovery: bool
    refresh: float  # seconds
    stale: float  # seconds since the last fetch
    timeout: float = 5.0  # seconds, for one fetch
    soonest: float = 5.0  # seconds after a fetch that did not fail, whatever the issuer says
    retry: float = 1.0  # seconds after a fetch that failed; doubled each time


class PublishedKeys(FetchedKeys):
    """A service: the keys of one issuer, kept up to date."""

    def __init__(self, settings: JwksSettings, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(settings.issuer, clock)
        self.settings = settings
        self.version = 0
        self.failures = 0  # fetches that failed, since the last that did not
        self._keys = KeySet(())
        self._body = b""
        self._reason = ""  # why the last fetch failed
        self._failing_since = 0.0  # by the clock: when the first of these failed
        self._fetcher = Fetcher(settings.timeout)
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing = False
        self.tasks = Tasks()
        self._next = 0.0  # seconds until the next fetch, from the end of the last one
        self._asked: deque[float] = deque(maxlen=FETCHES)
        self._absent: dict[tuple[str, str | None], float] = {}  # kid and algorithm
        self._not_again: dict[tuple[str | None, str], float] = {}  # the same, of keys that are known

    async def start(self) -> None:
        """Begin to fetch; the first requests may come before the keys do."""
        self._fetch()
        self._refreshing = True
        self.tasks.supervise(f"the fetching of the keys of {self.settings.issuer}", self._keep_fresh)

    async def stop(self) -> None:
        """Fetch no more."""
        self.tasks.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
        self._refreshing = False
        await self._fetcher.close()

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        if self.failures:
            left = max(0.0, self.seconds_left)
            held = f"the old ones hold for {left:.0f} s more" if left else "its tokens are answered 503"
            remedy = "see whether its address is right and the gateway reaches it, and whether its certificate holds"
            seconds = self._clock() - self._failing_since
            yield (
                f"the keys of {self.settings.issuer} cannot be fetched for {seconds:.0f} s, {held}: "
                f"{self._reason}; {remedy}"
            )

    @property
    def _no_keys(self) -> Refused:
        """There is none that fits, and the issuer cannot be asked."""
        why = f": {self._reason}" if self.failures else ""
        return unavailable(f"the keys of the issuer {self.settings.issuer} cannot be fetched at the moment{why}")

    async def keys_for(self, kid: str | None, algorithm: str | None = None, *, dry_run: bool) -> KeySet | Refused:
        """The keys as of now; see KeySource."""
        known = self._clock() < self._until
        if known and self._keys.knows(kid, algorithm):
            return self._keys
        if dry_run or not self._refreshing:
            return self._keys if known else NOT_FETCHED if dry_run else self._no_keys
        if not known or kid is None:
            # There are none: wait for the fetch that is under way, if one is.
            if self._fetching is not None:
                await _finished(self._fetching)
            return self._keys if self._clock() < self._until else self._no_keys
        found = await self._look_for(kid, algorithm)
        # Tokens may name keys that are published without a name: then these are all that there is to go by.
        return self._keys if isinstance(found, Refused) and self._keys.has_nameless(algorithm) else found

    async def ask_again(self) -> None:
        """See FetchedKeys. A fetch that is under way may have begun before the issuer withdrew one."""
        if self._refreshing:
            if self._fetching is not None:
                await _finished(self._fetching)
            await _finished(self._fetch())

    async def newer_than(self, keys: KeySet, kid: str | None, algorithm: str) -> KeySet | None:
        """See KeySource. Forged signatures cost the issuer one request per known kid in AGAIN_SECONDS."""
        if self._keys is not keys:
            return self._keys
        now = self._clock()
        # A kid that only nameless keys answer for is made up by the client: all of these count as one.
        sought = (kid if keys.knows(kid, algorithm) else None, algorithm)
        if not self._refreshing:
            return None
        fetching = self._fetching  # others wait for it, too
        if self._not_again.get(sought, 0.0) <= now:
            self._not_again = {each: until for each, until in self._not_again.items() if until > now}
            self._not_again[sought] = now + AGAIN_SECONDS
            fetching = self._fetch()
        if fetching is not None:
            await _finished(fetching)
        return None if self._keys is keys else self._keys

    async def _look_for(self, kid: str, algorithm: str | None) -> KeySet | Refused:
        """The issuer may have a new key: ask, but neither often nor twice for the same."""
        if self._absent.get((kid, algorithm), 0.0) > self._clock():
            return self._keys
        if self._fetching is not None and not await _finished(self._fetching):
            return self._no_keys
        # A fetch that was under way may have begun before the key was there: then another is needed.
        if self._keys.knows(kid, algorithm):
            return self._keys
        if not (self._fetching or self._may_ask()):
            return self._no_keys  # asked too often already: the key may be there, so the token is not called wrong
        finished = await _finished(self._fetch())
        if not self._keys.knows(kid, algorithm):
            if self.failures or not finished:
                return self._no_keys
            if len(self._absent) >= ABSENT_KIDS:
                del self._absent[next(iter(self._absent))]
            self._absent[kid, algorithm] = self._clock() + ABSENT_SECONDS
        return self._keys

    def _may_ask(self) -> bool:
        now = self._clock()
        often = len(self._asked) == FETCHES and now - self._asked[0] < FETCH_WINDOW
        if often and now - self._asked[-1] < FETCH_SPACING:
            return False
        self._asked.append(now)
        return True

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.wait({self._fetch()})
            await asyncio.sleep(self._next)

    def _fetch(self) -> asyncio.Task[None]:
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            fetched = await self._fetcher.key_set(self.settings.url, self.settings.issuer, self.settings.discovery)
            keys = _fit_keys(fetched)
        except FetchError as error:
            self._failed(str(error))
        except Exception as error:  # whatever it is, there must be a next time
            logger.exception("keys of %s", self.settings.issuer)
            self._failed(repr(error))
        else:
            self._succeeded(keys, fetched)
        finally:
            self._fetching = None

    def _succeeded(self, keys: KeySet, fetched: Fetched) -> None:
        if self.failures or not self._keys.keys:
            logger.info("keys of %s fetched: %d", self.settings.issuer, len(keys.keys))
        lifetime = min(self.settings.refresh, fetched.max_age or self.settings.refresh)
        self.failures = 0
        self._fetched_at = self._clock()
        self.clock_ahead = fetched.clock_ahead
        if fetched.body != self._body:
            self._keys, self._body = keys, fetched.body
            self.version += 1
            if (crowded := keys.crowded()) is not None:
                logger.warning("keys of %s: %s", self.settings.issuer, crowded)
        self._absent = {sought: until for sought, until in self._absent.items() if not keys.knows(*sought)}
        self._until = self._clock() + self.settings.stale
        self._next = max(self.settings.soonest, lifetime * random.uniform(0.75, 0.9))

    def _failed(self, reason: str) -> None:
        if not self.failures:
            self._failing_since = self._clock()
        self.failures += 1
        self._reason = reason
        self._next = doubled(self.settings.retry, self.failures, RETRY_LAST) * random.uniform(0.75, 1.25)
        left = max(0.0, self._until - self._clock())
        held = f"the old ones hold for {left:.0f} s more" if left else "there are none"
        logger.warning("keys of %s cannot be fetched, %s: %s", self.settings.issuer, held, reason)


async def _finished(fetching: asyncio.Task[None]) -> bool:
    done, _ = await asyncio.wait({fetching}, timeout=WAIT_SECONDS)
    return bool(done)


def _fit_keys(fetched: Fetched) -> KeySet:
    """The keys that are fit; a secret that is published is none. Raises FetchError where there are none."""
    try:
        fit, wrong = from_jwks(load_json(fetched.body))
    except (KeyUnfitError, ValueError, RecursionError) as error:
        raise FetchError(f"{fetched.url} is not a JSON Web Key Set: {error}") from None
    public = [key for key in fit if not isinstance(key.material, bytes)]
    for reason in wrong:
        logger.debug("%s: %s", fetched.url, reason)
    if not public:
        raise FetchError(f"{fetched.url} has no key that can be used ({'; '.join(wrong[:3]) or 'none at all'})")
    return KeySet(public)
