"""A route with a cache in front of a backend that a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from copy import copy

from gateway.cache.policy import ResponseCache
from gateway.http import Exchange, Response
from gateway.http.testing import make_exchange
from tests.middleware.support import ROUTES, build, context, header

Lines = dict[str, str]


class Backend:
    """Answers with the next of `answers`, the last one again and again; keeps what it was asked."""

    def __init__(self, *answers: Response | Exception | Callable[[Exchange], Response]) -> None:
        self.answers = list(answers)
        self.asked: list[Exchange] = []
        self.held: asyncio.Event | None = None  # until it is set, nothing is answered

    @property
    def count(self) -> int:
        return len(self.asked)

    async def __call__(self, exchange: Exchange) -> Response:
        self.asked.append(copy(exchange))
        if self.held is not None:
            await self.held.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, Response):
            return answer(exchange)
        return Response(answer.status, list(answer.headers), answer.body)


class Site:
    """One configuration. `route`: which of its routes is asked."""

    def __init__(
        self,
        backend: Backend,
        cache: str = "cache: {}",
        *,
        routes: str = ROUTES,
        sources: Lines | None = None,
        policies: list[ResponseCache] | None = None,
    ) -> None:
        self.backend = backend
        self.policies = policies or []
        built = context(cache, routes=routes, sources=sources)
        for index in range(len(built.configuration.routes.routes) if policies is None else 0):
            self.policies += [each for each in build(built, route=index) if isinstance(each, ResponseCache)]
        self.cache = self.policies[0].cache
        self.clock = 0.0

    def later(self, seconds: float) -> None:
        """Time passes for what is stored."""
        self.clock += seconds
        shift, store = self.clock, self.cache.store
        real = type(store).now
        store.now = lambda: real(store) + shift  # type: ignore[method-assign]

    async def ask(self, path: str = "/a", method: str = "GET", *, route: int = 0, **headers: str) -> Response:
        """The whole answer to a request with these headers; `x_y` is `X-Y`."""
        return await self.send(self.exchange(path, method, headers.items()), route=route)

    def exchange(self, path: str = "/a", method: str = "GET", headers: Iterable[tuple[str, str]] = ()) -> Exchange:
        lines = [(name.replace("_", "-"), value) for name, value in headers]
        return make_exchange(method, path, headers=lines)

    async def send(self, exchange: Exchange, *, route: int = 0) -> Response:
        """The whole answer to this request."""
        handler = self.policies[route].wrap(self.backend)
        try:
            response = await handler(exchange)
            if not isinstance(response.body, bytes):
                exchange.defer(response.body.close)
                whole = b""
                while piece := await response.body.read():
                    whole += piece
                response.body = whole
            return response
        finally:
            exchange.close()

    async def settle(self) -> None:
        """Until what was on its way into the store is there."""
        while self.cache._running:
            await asyncio.wait(list(self.cache._running))
            await asyncio.sleep(0)


def answer(body: str = "x", status: int = 200, /, **headers: str) -> Response:
    """A response with these headers; `x_y` is `X-Y`."""
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Response(status, lines, body.encode())


def body(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def said(response: Response) -> str:
    """What Cache-Status says of this cache."""
    (line,) = header(response, b"cache-status")
    return line.decode()
