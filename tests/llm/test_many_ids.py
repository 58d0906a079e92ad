"""Requests that bring a sealed id many times, or very many of them: each is opened once, and only so many are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.http import Exchange
from gateway.http.testing import make_exchange
from gateway.llm.affinity import Origin, Seal, Sealing
from gateway.llm.apis import find
from gateway.llm.issued import MOST_REFERRED, Issued, Issuing
from gateway.llm.origins import Origins
from gateway.llm.request import ModelRequest, read
from gateway.llm.speaking import ModelError
from gateway.upstream.sticky import CookieKey

ONE, TWO = Origin("one", "abc"), Origin("two", "def")


def counting() -> tuple[Seal, list[str]]:
    """A seal, and what it has been asked to open."""
    asked: list[str] = []

    class Counting(Seal):
        def opened(self, text: str, exchange: Exchange) -> tuple[Origin, str]:
            asked.append(text)
            return super().opened(text, exchange)

    return Counting(CookieKey("a secret of sixteen characters")), asked


def request(items: list[Any]) -> ModelRequest:
    """A request for a response with this input."""
    call = find("POST", "/v1/responses")
    assert call is not None
    return read(call, json.dumps({"model": "small", "input": items}).encode())


def test_encrypted_content_of_one_origin_is_opened_once() -> None:
    """However often it stands there; the latest says who is asked."""
    seal, asked = counting()
    exchange = make_exchange()
    one, two = (seal.sealed(origin, "", exchange) for origin in (ONE, TWO))
    said = [one, two, *[one] * 500, two, one]
    brought = request([{"type": "reasoning", "encrypted_content": f"gw1.{token}.abc"} for token in said])
    sealing = Sealing(seal, exchange)
    sealing.open_request(brought)
    assert (sealing.origin, sorted(asked)) == (ONE, sorted((one, two)))
    assert json.loads(brought.body)["input"] == [{"type": "reasoning", "encrypted_content": "abc"}] * len(said)


def test_a_file_that_is_named_many_times_is_looked_for_once() -> None:
    """And each time the provider's id takes the place of ours."""
    seal, asked = counting()
    exchange = make_exchange()
    shown = f"file-gw1_{seal.sealed(ONE, 'file-a', exchange)}"
    brought = request([{"type": "input_file", "file_id": shown}] * 500)
    issued = Issued(Issuing(seal, Origins()), exchange)
    issued.open_request(brought)
    assert (issued.origin, len(asked)) == (ONE, 1)
    assert json.loads(brought.body)["input"] == [{"type": "input_file", "file_id": "file-a"}] * 500


def test_no_more_files_are_looked_for_than_a_request_may_name() -> None:
    """Wherever they stand."""
    seal, asked = counting()
    exchange = make_exchange()
    shown = [f"file-gw1_{seal.sealed(ONE, f'file-{number}', exchange)}" for number in range(MOST_REFERRED + 1)]
    with pytest.raises(ModelError, match=f"{MOST_REFERRED} files at most"):
        Issued(Issuing(seal, Origins()), exchange).open_request(request([{"role": "user", "content": shown}]))
    assert len(asked) == MOST_REFERRED
