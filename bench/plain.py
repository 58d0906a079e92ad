"""The proxy to beat: what one would write with Starlette and httpx2.

python -m bench.plain UPSTREAM PORT
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bench.proxies import PREFIX

_NOT_COPIED = {"host", "connection", "keep-alive", "transfer-encoding", "upgrade"}


def plain_proxy(upstream: str) -> Starlette:
    """Sends every request on, body and answer streamed."""
    limits = httpx2.Limits(max_connections=512, max_keepalive_connections=128)
    client = httpx2.AsyncClient(limits=limits, timeout=60)

    async def forward(request: Request) -> StreamingResponse:
        headers = [line for line in request.headers.items() if line[0] not in _NOT_COPIED]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        outgoing = client.build_request(
            request.method,
            upstream + "/" + request.path_params["path"],
            params=request.url.query,
            headers=headers,
            content=request.stream() if has_body else None,
        )
        answer = await client.send(outgoing, stream=True)
        copied = {name: value for name, value in answer.headers.items() if name not in _NOT_COPIED}
        return StreamingResponse(_pieces(answer), answer.status_code, copied)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await client.aclose()

    return Starlette(
        routes=[Route(PREFIX + "/{path:path}", forward, methods=["GET", "POST"])],
        lifespan=lifespan,
    )


async def _pieces(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


if __name__ == "__main__":
    uvicorn.run(
        plain_proxy(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False
    )
