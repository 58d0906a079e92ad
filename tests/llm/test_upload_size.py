"""How large what is sent to a model may be: what is read before it is sent, and what passes as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.app.gateway import handler_of, problem_of
from gateway.explain import explain
from gateway.http.testing import Pieces, make_exchange
from tests.llm.support import PIECE, ROUTES, Gateway, chat
from tests.llm.test_files import ALONE, FORM, FORM_TYPE, storing

LIMITS = "max_body: 64KiB\nmax_upload: 512KiB\n"
OF_ROUTE = ROUTES.replace("auth: []", "auth: [], max_body: 32KiB")


def form(size: int) -> bytes:
    """One with a file of so many bytes."""
    return FORM.replace(b"Hello", bytes(size))


async def status_in_pieces(made: Gateway, path: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer to a body whose length nobody announces."""
    exchange = make_exchange("POST", path, headers=headers.items())
    exchange.body = Pieces(body[at : at + PIECE] for at in range(0, len(body), PIECE))
    try:
        return (await handler_of(exchange, made.snapshot)(exchange)).status
    except Exception as error:
        return problem_of(error, exchange, made.snapshot).status
    finally:
        exchange.close()


@pytest.mark.parametrize(("size", "status"), [(100_000, 200), (500_000, 200), (600_000, 413)])
async def test_a_file_may_be_larger_than_what_is_read(size: int, status: int) -> None:
    """`max_body` is for JSON; forms have a limit of their own, whether or not their length is announced."""
    async with storing(ALONE + LIMITS) as (made, one, _):
        answered = await made.ask("/v1/files", form(size), headers=[FORM_TYPE])
        assert answered.status == status
        if status == 200:
            assert one.received[-1][3] == form(size)
        else:
            assert answered.json["error"]["code"] == "request_too_large"
            assert "524288 bytes" in answered.json["error"]["message"]


@pytest.mark.parametrize(("size", "status"), [(60_000, 400), (600_000, 413)])
async def test_a_form_whose_length_is_not_announced_is_counted(size: int, status: int) -> None:
    """It is refused when the limit is reached. (It is one that names no model: as far as it fits, that is what is
    wrong with it.)"""
    async with storing(ALONE + LIMITS) as (made, _, _):
        assert await status_in_pieces(made, "/v1/audio/transcriptions", form(size), dict([FORM_TYPE])) == status


async def test_a_file_without_a_byte_is_not_sent() -> None:
    """A form of which nothing comes is refused, whether or not its length is announced."""
    async with storing(ALONE) as (made, one, _):
        assert await status_in_pieces(made, "/v1/files", b"", dict([FORM_TYPE])) == 400
        assert (await made.ask("/v1/files", b"", headers=[FORM_TYPE])).status == 400
        assert not one.received


async def test_what_is_read_before_it_is_sent_has_the_smaller_limit() -> None:
    """Also where it calls itself a form, and where its length is not announced."""
    long: dict[str, Any] = chat(messages=[{"role": "user", "content": "a" * 100_000}])
    async with storing(ALONE + LIMITS) as (made, one, _):
        for headers in ([], [FORM_TYPE]):
            answered = await made.ask("/v1/chat/completions", long, headers=headers)
            assert (answered.status, answered.json["error"]["code"]) == (413, "request_too_large")
        body = b'{"model": "small", "messages": [], "user": "%b"}' % (b"a" * 100_000)
        assert await status_in_pieces(made, "/v1/chat/completions", body, {}) == 413
        assert not one.received


async def test_the_limit_of_a_route_is_for_files_too() -> None:
    """Who writes `max_body` at a route means all of its requests; `explain` says the same."""
    async with storing(ALONE + LIMITS, routes=OF_ROUTE) as (made, _, _):
        assert (await made.ask("/v1/files", form(40_000), headers=[FORM_TYPE])).status == 413
        assert (await made.ask("/v1/files", form(20_000), headers=[FORM_TYPE])).status == 200
    for routes, size, fits in ((OF_ROUTE, 40_000, False), (ROUTES, 500_000, True), (ROUTES, 600_000, False)):
        async with storing(ALONE + LIMITS, routes=routes) as (made, _, _):
            said = await explain(made.snapshot, "POST", "/v1/files", [FORM_TYPE], body=form(size), why_none=str)
            assert (said["outcome"] == "forwarded") is fits, said
