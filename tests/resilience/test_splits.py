"""A route that leads to several services: by what a request is, and by weight, the same for each client."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import ConfigError, parse
from gateway.http.testing import make_exchange
from gateway.upstream.split import Split
from tests.resilience.support import InProcess, backend, response, running

OLD, NEW = response(200, b"old"), response(200, b"new")
SAMPLE = """
- path: /v1/users/*
  target: user-api
  split: [{{target: user-api, weight: 95}}, {{target: user-api-v2, weight: 5, when: {{header: {{x-canary: "yes"}}}}}}]
"""


def services(old: str, new: str) -> str:
    return f"services: {{user-api: {{endpoints: ['{old}']}}, user-api-v2: {{endpoints: ['{new}']}}}}\nroutes:"


def split_of(gateway: InProcess) -> Split:
    forward = gateway.handler().forward
    assert isinstance(forward, Split)
    return forward


def shares(split: Split, clients: int = 4000) -> Counter[str]:
    return Counter(split.choose(make_exchange(client=f"10.0.{each >> 8}.{each & 255}")).name for each in range(clients))


async def test_the_sample(tmp_path: Path) -> None:
    """Who asks for the canary gets it; of all other clients one in twenty does, and keeps getting it."""
    async with (
        backend(OLD) as old,
        backend(NEW) as new,
        running(tmp_path, services(old.address, new.address) + SAMPLE.format()) as gateway,
    ):
        canary = await gateway.get("/v1/users/1", headers={"x-canary": "yes"})
        assert canary.text == "new"
        assert len({(await gateway.get("/v1/users/1")).text for _ in range(20)}) == 1
        counted = shares(split_of(gateway))
        assert counted["user-api-v2"] / 4000 == pytest.approx(0.05, abs=0.015)
        explained = await gateway.admin.get("/explain", params={"url": "/v1/users/1", "header": "X-Canary: yes"})
        assert "split: user-api-v2, since its `when` holds" in explained.json()["resilience"]
        assert explained.json()["endpoints"] == [new.address]


async def test_few_clients_move_when_weights_change(tmp_path: Path) -> None:
    """A canary that grows from 5% to 10% keeps its clients, and gets one in twenty of the others."""

    def entry(weights: tuple[int, int]) -> str:
        split = f"[{{target: a:1, weight: {weights[0]}}}, {{target: b:1, weight: {weights[1]}}}]"
        return f"- {{path: /*, target: a:1, split: {split}}}"

    async with running(tmp_path, "routes:\n" + entry((95, 5))) as gateway:
        clients = [make_exchange(client=f"10.1.{each >> 8}.{each & 255}") for each in range(3000)]
        before = [split_of(gateway).choose(each).name for each in clients]
        await gateway.reload("routes:\n" + entry((90, 10)))
        after = [split_of(gateway).choose(each).name for each in clients]
        moves = Counter(zip(before, after, strict=True))
        assert moves["b:1", "a:1"] == 0
        assert moves["a:1", "b:1"] / 3000 == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("when", "asked", "matches"),
    [
        ("{cookie: {beta: '1'}}", {"headers": {"cookie": "a=b; beta=1"}}, True),
        ("{cookie: {beta: '1'}}", {"headers": {"cookie": "beta=2"}}, False),
        ("{query: {v: {regex: '[23]'}}}", {"params": {"v": "3"}}, True),
        ("{header: {x-a: {present: false}}}", {}, True),
        ("{header: {x-a: {present: false}}}", {"headers": {"x-a": "1"}}, False),
        ("{header: {x-a: '1'}, query: {v: '1'}}", {"headers": {"x-a": "1"}}, False),
        ("{header: {Host: Shop.Example.}}", {"headers": {"host": "SHOP.example:80"}}, True),
        ("{header: {host: shop.example}}", {"headers": {"host": "other.example"}}, False),
        ("{header: {accept: {regex: '.*json.*'}}}", {"headers": [("accept", "text/html"), ("accept", "a/json")]}, True),
        ("{query: {v: ''}}", {"params": {"v": ""}}, True),
        ("{query: {v: é}}", {"params": {"v": "é"}}, True),
        ("""'headers["x-a"] == "1" and method == "GET"'""", {"headers": {"x-a": "1"}}, True),
        ("{group: beta}", {}, False),
    ],
)
async def test_what_decides(tmp_path: Path, when: str, asked: dict[str, Any], matches: bool) -> None:
    """Headers, cookies, parameters and conditions decide, all of them together; who is not known is in no group."""
    files = "- {path: /v1/*, target: user-api, split: [{target: user-api-v2, when: %s}]}" % when  # noqa: UP031
    async with (
        backend(OLD) as old,
        backend(NEW) as new,
        running(tmp_path, services(old.address, new.address) + "\n" + files) as gateway,
    ):
        assert (await gateway.get("/v1/a", **asked)).text == ("new" if matches else "old")


_LONG = "a" * 20_000


@pytest.mark.parametrize(
    ("when", "asked"),
    [
        ("header: {x-a: {regex: '[ab]*'}}", {"headers": [("x-a", "a"), ("x-a", "b")]}),
        ("header: {x-a: {regex: '[ab]*'}}", {"headers": {"x-a": _LONG}}),
        ("query: {v: {regex: '[ab]*'}}", {"params": [("v", "a"), ("v", "b")]}),
        ("query: {v: a}", {"params": [("v", "a"), ("v", "a")]}),
        ("cookie: {v: {regex: '[ab]*'}}", {"headers": {"cookie": "v=a; v=b"}}),
        ("cookie: {v: {regex: '[ab]*'}}", {"headers": {"cookie": f"v={_LONG}"}}),
        ('condition: \'headers["x-a"].matches("[ab]*")\'', {"headers": [("x-a", "a"), ("x-a", "b")]}),
        ('condition: \'headers["x-a"].matches("[ab]*")\'', {"headers": {"x-a": _LONG}}),
    ],
)
async def test_what_cannot_be_relied_on_fits_nothing(tmp_path: Path, when: str, asked: dict[str, Any]) -> None:
    """A value that is there twice, or is too long to be compared, leads to the others, where a route would refuse."""
    files = f"\n- {{path: /v1/*, target: user-api, split: [{{target: user-api-v2, when: {{{when}}}}}]}}"
    async with (
        backend(OLD) as old,
        backend(NEW) as new,
        running(tmp_path, services(old.address, new.address) + files) as gateway,
    ):
        assert (await gateway.get("/v1/a", **asked)).text == "old"
        if not when.startswith(("cookie", "condition")):
            what, rule = when.replace("header:", "headers:").split(": ", 1)
            await gateway.reload(f"routes: [{{path: /v1/*, target: '{new.address}', {what}: {rule}}}]")
            assert (await gateway.get("/v1/a", **asked)).status_code == 400


async def test_who_calls(tmp_path: Path) -> None:
    """The group of the caller decides."""
    keys = {"ann": "first-key", "bob": "second-key"}
    hashes = {name: f"sha256:{hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items()}
    auth = f"""
schemes: {{keys: {{api_key: {{header: X-API-Key}}}}}}
default: [keys]
consumers:
- {{name: ann, groups: [beta], keys: ['{hashes["ann"]}']}}
- {{name: bob, keys: ['{hashes["bob"]}']}}
"""
    (tmp_path / "auth.yaml").write_text(auth)
    files = "\n- {path: /v1/*, target: user-api, split: [{target: user-api-v2, when: {group: [beta]}}]}"
    async with (
        backend(OLD) as old,
        backend(NEW) as new,
        running(tmp_path, services(old.address, new.address) + files) as gateway,
    ):
        for name, text in (("ann", "new"), ("bob", "old")):
            assert (await gateway.get("/v1/a", headers={"x-api-key": keys[name]})).text == text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("split: [{target: b:1}]", "an entry needs a weight"),
        ("split: [{target: b:1, when: {}}]", "it asks for nothing"),
        ("split: [{target: b:1, when: 'grop == 1'}]", "unknown name"),
        ("split: [{target: b:1, when: {header: {X-A: '1', x-a: '2'}}}]", "a header is duplicated"),
        ("split: [{target: other, weight: 1}]", "services has no entry of this name"),
        ("mirror: {target: other}", "services has no entry of this name"),
        ("fallback: {target: other}", "services has no entry of this name"),
        ("fallback: {status: 200, stale: true}", "a fallback is one of"),
    ],
)
def test_errors(tmp_path: Path, entry: str, expected: str) -> None:
    """What cannot be meant is refused with its place."""
    files = f"services: {{s: {{endpoints: ['a:1']}}}}\nroutes:\n- path: /*\n  target: s\n  {entry}\n"
    with pytest.raises(ConfigError) as refused:
        parse({"routes.yaml": files.encode()}, {}, base=tmp_path)
    (problem,) = refused.value.problems
    assert problem.line == 5
    assert expected in str(problem)
