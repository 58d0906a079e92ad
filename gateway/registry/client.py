"""For services: register an instance in Redis, and keep saying that it lives. It needs only the library `redis`.

    with Registration("jobs", "10.0.1.5:9005", redis="redis://redis:6379/0"):
        serve()

What it does in Redis is said in docs/backends.md, for services in other languages.
"""

from __future__ import annotations

import json
import logging
import threading

from redis import Redis, RedisError

logger = logging.getLogger("gateway.registration")


class Registration:
    """One instance, registered from entering until leaving. `more`: its weight, zone, priority and health.

    It counts as late when it was not heard of for `seconds`; a thread says three times in that time that it lives.
    """

    def __init__(
        self,
        service: str,
        address: str,
        *,
        redis: str = "redis://127.0.0.1:6379/0",
        prefix: str = "gateway:",
        seconds: float = 10.0,
        **more: object,
    ) -> None:
        self._key = f"{prefix}registry:{service}"
        self._instance = json.dumps({"address": address, **more}, sort_keys=True)
        self._seconds = seconds
        self._redis = Redis.from_url(redis, socket_timeout=seconds / 3, socket_connect_timeout=seconds / 3)
        self._answers = True
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"registration of {address}", daemon=True)

    def __enter__(self) -> Registration:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._left.is_set():
            self._left.wait(self._seconds / 3 if self._say(here=True) else min(1.0, self._seconds / 3))
        self._say(here=False)
        self._redis.close()

    def _say(self, *, here: bool) -> bool:
        """Write the score: the time until which it counts, or, negative, when it left, by the clock of Redis."""
        try:
            seconds, microseconds = self._redis.time()
            now = seconds + microseconds / 1e6
            self._redis.zadd(self._key, {self._instance: now + self._seconds if here else -now})
        except RedisError as error:
            if self._answers:
                logger.warning("%s is not registered: Redis does not answer: %s", self._instance, error)
            self._answers = False
            return False
        if not self._answers:
            logger.warning("%s is registered: Redis answers", self._instance)
        self._answers = True
        return True
