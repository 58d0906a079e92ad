"""Keys that an issuer publishes: fetched from a real HTTP server, that rotates, breaks, hangs and comes back."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from gateway.auth import jwks
from gateway.auth.jwks import JwksSettings, PublishedKeys
from gateway.auth.key_set import KeySet
from gateway.auth.scheme import Refused
from gateway.errors import ErrorKind
from gateway.http import Headers
from tests.support import eventually, free_port

from .schemes_support import recognised, refused, running
from .support import ISSUER, b64, claims, issuer_server, jwk, jwt_auth, mint, private_key, request

ONE = jwk(private_key("RS256", "one"), kid="one")
TWO = jwk(private_key("RS256", "two"), kid="two")

NO_CACHE: Headers = []


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead


@asynccontextmanager
async def published(url: str, clock: Clock | None = None, **changes: Any) -> AsyncIterator[PublishedKeys]:
    """The keys at a URL, kept up to date until the end of the block."""
    settings = JwksSettings(ISSUER, url, False, 600, 86400, soonest=0.05, retry=0.05)
    keys = PublishedKeys(replace(settings, **changes), clock or monotonic)
    await keys.start()
    try:
        yield keys
    finally:
        await keys.stop()


async def kids(keys: PublishedKeys, kid: str | None) -> set[str | None]:
    """The keys for a token that names this one."""
    found = await keys.keys_for(kid, dry_run=False)
    assert isinstance(found, KeySet), found
    return {key.kid for key in found.keys}


async def kids_at_once(keys: PublishedKeys, kid: str | None) -> set[str | None]:
    """The same, for which nothing has been waited."""
    asking = asyncio.create_task(kids(keys, kid))
    await asyncio.sleep(0)
    assert asking.done()
    return await asking


async def test_the_first_request_waits_for_the_keys() -> None:
    """A gateway that has just started does not refuse who comes before its keys."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url) as keys:
            assert await kids(keys, "one") == {"one"}
            assert issuer.fetched == 1


async def test_an_unknown_kid_is_looked_for_once() -> None:
    """A rotation is found by the first token that is signed with the new key; others at the same time wait for it."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url) as keys:
            await kids(keys, "one")
            version = keys.version
            issuer.keys = [ONE, TWO]
            found = await asyncio.gather(*(kids(keys, "two") for _ in range(50)))
            assert all(item == {"one", "two"} for item in found)
            assert issuer.fetched == 2
            assert keys.version != version


async def test_a_kid_that_is_not_there_is_not_looked_for_again() -> None:
    """A thousand tokens with made-up names cost the issuer a handful of requests, and no request waits."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url) as keys:
            await kids(keys, "one")
            for _ in range(10):
                assert await kids(keys, "made-up") == {"one"}
            assert issuer.fetched == 2
            for number in range(1000):
                await keys.keys_for(f"made-up-{number}", dry_run=False)
            assert await kids(keys, "one") == {"one"}
            assert issuer.fetched <= 1 + jwks.FETCHES
            assert len(keys._absent) <= jwks.ABSENT_KIDS


async def test_an_explanation_does_not_say_that_an_issuer_fails() -> None:
    """It asks no issuer; where a service is not started, as by `gateway explain`, there are no keys."""
    async with issuer_server() as issuer, published(issuer.url) as keys:
        await keys.stop()
        keys._until = 0.0
        assert await keys.keys_for("one", dry_run=True) is jwks.NOT_FETCHED
        none = await keys.keys_for("one", dry_run=False)
        assert isinstance(none, Refused)
        assert "cannot be fetched" in none.detail


async def test_made_up_kids_do_not_hide_a_new_key_for_long() -> None:
    """A stranger's tokens use up what may be asked; then a new key is not called wrong, and is known within seconds."""
    clock = Clock()
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, clock) as keys:
            for number in range(20):
                await keys.keys_for(f"made-up-{number}", dry_run=False)
            issuer.keys = [ONE, TWO]
            none = await keys.keys_for("two", dry_run=False)
            assert isinstance(none, Refused)
            assert "cannot be fetched" in none.detail
            clock.ahead += jwks.FETCH_SPACING + 0.1
            assert await kids(keys, "two") == {"one", "two"}


async def test_a_second_key_under_a_known_kid_is_found() -> None:
    """A kid that is there for another algorithm only is looked for like one that is not there, and as seldom."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url) as keys:
            await kids(keys, "one")
            issuer.keys = [ONE, jwk(private_key("ES256"), kid="one")]
            found = await keys.keys_for("one", "ES256", dry_run=False)
            assert isinstance(found, KeySet)
            assert len(found.candidates("one", "ES256")) == len(found.candidates("one", "RS256")) == 1
            for _ in range(10):
                await keys.keys_for("one", "ES384", dry_run=False)
            assert issuer.fetched == 3


async def test_keys_without_a_kid_hold_while_others_are_looked_for() -> None:
    """Tokens that name a kid which is not published are verified with the nameless keys, whatever strangers ask for."""
    nameless = {name: value for name, value in ONE.items() if name != "kid"}
    async with issuer_server() as issuer:
        issuer.keys = [nameless]
        async with published(issuer.url) as keys:
            for number in range(20):
                found = await keys.keys_for(f"made-up-{number}", "RS256", dry_run=False)
                assert isinstance(found, KeySet)
                assert len(found.candidates(f"made-up-{number}", "RS256")) == 1


async def test_a_set_with_more_keys_than_are_tried_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """The operator reads which tokens may be refused for it."""
    async with issuer_server() as issuer:
        issuer.keys = [{**ONE, "alg": algorithm} for algorithm in ("RS256", "RS384", "PS256")] * 6
        async with published(issuer.url) as keys:
            with caplog.at_level(logging.WARNING):
                await kids(keys, "one")
                assert not caplog.text
                issuer.keys *= 3
                await keys.keys_for("two", "RS256", dry_run=False)
    assert "18 keys are for PS256 and tokens without a kid; the first 16 are tried" in caplog.text


async def test_after_a_while_an_unknown_kid_is_looked_for_again() -> None:
    """The token may have been faster than the issuer's key set."""
    clock = Clock()
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, clock) as keys:
            await kids(keys, "one")
            assert await kids(keys, "two") == {"one"}
            issuer.keys = [ONE, TWO]
            assert await kids(keys, "two") == {"one"}
            clock.ahead += jwks.FETCH_WINDOW + 1
            assert await kids(keys, "two") == {"one", "two"}


async def test_keys_are_fetched_again_before_they_grow_old() -> None:
    """Beside the requests, and sooner where the issuer says so."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, refresh=0.1) as keys:
            await kids(keys, "one")
            issuer.keys = [TWO]
            await eventually(lambda: keys._keys.knows("two"))
            assert await kids(keys, "two") == {"two"}
        issuer.headers = [(b"cache-control", b"public, max-age=1")]
        async with published(issuer.url) as keys:
            await kids(keys, "two")
            assert keys._next < 1


async def test_an_issuer_that_is_down_for_an_hour_blocks_no_caller() -> None:
    """Its keys hold, and no request waits; after `stale` they do not hold any more."""
    clock = Clock()
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, clock, refresh=0.1, stale=7200) as keys:
            await kids(keys, "one")
            await issuer.stop()
            await eventually(lambda: keys.failures > 2)
            started, left = monotonic(), keys.seconds_left
            clock.ahead += 3600
            for _ in range(1000):
                assert await kids_at_once(keys, "one") == {"one"}
            now_left = keys.seconds_left
            assert left - 3600 - (monotonic() - started) - 1 <= now_left <= left - 3600
            clock.ahead += 3600
            refused = await keys.keys_for("one", dry_run=False)
            assert isinstance(refused, Refused)
            assert refused.kind is ErrorKind.AUTH_UNAVAILABLE
            await issuer.start()
            await eventually(lambda: keys.failures == 0)
            assert await kids(keys, "one") == {"one"}


async def test_an_unknown_kid_of_an_issuer_that_is_down_is_no_fault_of_the_caller() -> None:
    """503 and not 401: it is not known whether the token is valid."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url) as keys:
            await kids(keys, "one")
            await issuer.stop()
            refused = await keys.keys_for("two", dry_run=False)
            assert isinstance(refused, Refused)
            assert refused.kind is ErrorKind.AUTH_UNAVAILABLE
            assert refused.retry_after


async def never(path: str) -> None:
    """An issuer that takes requests and does not answer."""


async def test_no_request_waits_for_an_issuer_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With known keys not at all; without, or for an unknown one, at most as long as is said."""
    monkeypatch.setattr(jwks, "WAIT_SECONDS", 0.6)
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, refresh=0.1, timeout=60) as keys:
            await kids(keys, "one")
            issuer.answer = never
            fetched = issuer.fetched
            await eventually(lambda: issuer.fetched > fetched)
            started = monotonic()
            assert await kids_at_once(keys, "one") == {"one"}
            assert isinstance(await keys.keys_for("two", dry_run=False), Refused)
            assert 0.5 < monotonic() - started < 30  # of the minute that a fetch may take
        async with published(issuer.url, timeout=60) as keys:
            started = monotonic()
            assert isinstance(await keys.keys_for("one", dry_run=False), Refused)
            assert 0.5 < monotonic() - started < 30


async def test_a_fetch_ends_also_when_the_issuer_sends_byte_by_byte() -> None:
    """The time-out is for all of it, and not for each piece."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, published(url, timeout=0.3) as keys:
        await eventually(lambda: keys.failures > 0)


GARBAGE: list[tuple[int, bytes]] = [
    (200, b""),
    (200, b"<html>"),
    (200, b"[]"),
    (200, b'{"keys":'),
    (200, b'{"keys":[]}'),
    (200, b'{"keys":null}'),
    (200, b'{"keys":[],"keys":[]}'),
    (200, json.dumps({"keys": [{**ONE, "use": "enc"}]}).encode()),
    (200, json.dumps({"keys": [{"kty": "oct", "kid": "one", "k": b64(bytes(64))}]}).encode()),
    (200, b"[" * 100_000),
    (200, b" " * (600 * 1024)),
    (200, b"\xff\xfe\x00"),
    (500, json.dumps({"keys": [TWO]}).encode()),
    (404, b"not here"),
    (302, b""),
]


@pytest.mark.parametrize("number", range(len(GARBAGE)))
async def test_garbage_changes_nothing(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """The keys that were there stay, and the log says what was wrong."""
    status, body = GARBAGE[number]
    elsewhere = f"http://127.0.0.1:{free_port()}/"

    async def answer(path: str) -> tuple[int, Headers, bytes]:
        return status, [(b"location", elsewhere.encode())], body

    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, refresh=0.1) as keys:
            await kids(keys, "one")
            issuer.answer = answer
            with caplog.at_level(logging.WARNING):
                await eventually(lambda: keys.failures > 0)
            assert await kids(keys, "one") == {"one"}
            assert "cannot be fetched, the old ones hold for" in caplog.text


async def test_the_metadata_of_an_issuer_says_where_its_keys_are() -> None:
    """OpenID Connect Discovery; the metadata must be of the very issuer."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        metadata: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": issuer.url}

        async def answer(path: str) -> tuple[int, Headers, bytes]:
            return (200, [], json.dumps(metadata).encode()) if path != "/keys" else await issuer._publish(path)

        issuer.answer = answer
        url = issuer.url.replace("/keys", "/.well-known/openid-configuration")
        async with published(url, discovery=True) as keys:
            assert await kids(keys, "one") == {"one"}
        for wrong in (
            {"issuer": "https://evil.example/"},
            {"jwks_uri": "file:///etc/passwd"},
            {"jwks_uri": 1},
            {"jwks_uri": "//x"},
        ):
            metadata |= {"issuer": ISSUER, "jwks_uri": issuer.url, **wrong}
            async with published(url, discovery=True) as keys:
                await eventually(lambda keys=keys: keys.failures > 0)  # type: ignore[misc]
                assert isinstance(await keys.keys_for("one", dry_run=False), Refused)


async def test_nothing_is_fetched_where_nothing_was_started() -> None:
    """`gateway check` and `gateway explain` do not talk to issuers."""
    async with issuer_server() as issuer:
        keys = PublishedKeys(JwksSettings(ISSUER, issuer.url, False, 600, 86400))
        assert isinstance(await keys.keys_for("one", dry_run=False), Refused)
        assert issuer.fetched == 0


async def test_a_fetch_that_began_before_a_rotation_does_not_hide_it() -> None:
    """A token with the new key waits for the fetch under way, and then for one that began after it."""
    async with issuer_server() as issuer:
        issuer.keys = [ONE]
        async with published(issuer.url, refresh=0.1) as keys:
            await kids(keys, "one")
            asked, go_on = asyncio.Event(), asyncio.Event()

            async def old_answer(path: str) -> tuple[int, Headers, bytes]:
                asked.set()
                body = json.dumps({"keys": [ONE]}).encode()
                issuer.answer = issuer._publish
                await go_on.wait()
                return 200, [], body

            issuer.answer = old_answer
            await asked.wait()
            issuer.keys = [ONE, TWO]
            waiting = asyncio.create_task(kids(keys, "two"))
            await asyncio.sleep(0)
            go_on.set()
            assert await waiting == {"one", "two"}


async def test_a_key_that_is_replaced_under_its_kid_is_found() -> None:
    """By the first token that it signed, also beside the former key and without a kid; forged tokens cost little."""
    old, new = private_key("RS256", "one"), private_key("RS256", "two")
    for kid in ({"kid": "one"}, {}):
        for after in ([jwk(old, **kid), jwk(new, **kid)], [jwk(new, **kid)]):
            async with issuer_server() as issuer:
                issuer.keys = [jwk(old, **kid)]
                auth = json.loads(jwt_auth({"jwks_url": issuer.url}))
                async with running(auth, "login") as login:
                    recognised(await login.authenticate(request(token=mint("RS256", old, header=kid))))
                    issuer.keys = after
                    token = request(token=mint("RS256", new, header=kid))
                    refused(await login.authenticate(token, dry_run=True))
                    assert issuer.fetched == 1
                    for result in await asyncio.gather(*(login.authenticate(token) for _ in range(10))):
                        recognised(result)
                    assert issuer.fetched == 2
                    for number in range(20):
                        forged = mint("RS256", private_key("RS256", "forged"), claims(jti=number), header=kid)
                        refused(await login.authenticate(request(token=forged)))
                    assert issuer.fetched == 2
