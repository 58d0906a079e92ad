"""Opaque tokens: the service that issued them is asked, seldom, and never waited for long."""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.auth.auth_server import AT_ONCE_OF_ONE
from gateway.auth.introspection import Introspection
from gateway.auth.scheme import AuthResult, Scheme
from gateway.errors import ErrorKind
from gateway.http.testing import make_exchange
from gateway.outside.breaker import FAILURES
from tests.auth.schemes_support import Asked, HttpService, Reply, http_service, json_reply, recognised, refused, running
from tests.config.support import errors
from tests.support import eventually, free_port

ACTIVE = {"active": True, "sub": "user-1", "scope": "orders:read orders:write", "client_id": "shop"}


async def active(asked: Asked) -> Reply:
    """Every token holds."""
    return json_reply(ACTIVE)


@asynccontextmanager
async def introspecting(reply: Any = active, **settings: Any) -> AsyncIterator[tuple[Scheme, HttpService]]:
    """The scheme `opaque` and the service that it asks."""
    async with http_service(reply) as service:
        consumer = {"name": "acme", "tenant": "acme-corp", "groups": ["gold"], "subjects": ["user-acme"]}
        scheme = {"introspection": {"url": service.url, **settings}}
        async with running({"schemes": {"opaque": scheme}, "consumers": [consumer]}, "opaque") as opaque:
            yield opaque, service


async def ask(
    scheme: Scheme, token: str = "opaque-1", *, client: str = "192.0.2.1", dry_run: bool = False
) -> AuthResult:
    """Who bears a token."""
    exchange = make_exchange(headers=[("authorization", f"Bearer {token}")])
    exchange.client = client
    return await scheme.authenticate(exchange, dry_run=dry_run)


async def test_the_answer_says_who_calls() -> None:
    """Subject, scopes and other members of the answer are the caller's; the service is asked as RFC 7662 says."""
    async with introspecting(client_id="gate:way", client_secret="s e") as (scheme, service):
        identity = recognised(await ask(scheme)).identity
        assert (identity.consumer, sorted(identity.scopes)) == ("user-1", ["orders:read", "orders:write"])
        assert identity.claims["client_id"] == "shop"
        (asked,) = service.asked
        assert (asked.method, asked.path) == ("POST", "/ask")
        assert parse_qs(asked.body.decode()) == {"token": ["opaque-1"], "token_type_hint": ["access_token"]}
        kind, _, pair = (asked.header("authorization") or "").partition(" ")
        assert (kind, b64decode(pair)) == ("Basic", b"gate%3Away:s+e")


async def test_the_service_learns_which_trace_the_request_belongs_to() -> None:
    """Of several requests that share a question, that of the first."""
    async with introspecting() as (scheme, service):
        exchange = make_exchange(headers=[("authorization", "Bearer opaque-1")])
        own = f"00-{'a' * 32}-{'b' * 16}-03"
        exchange.extra_headers += ((b"traceparent", own.encode()), (b"baggage", b"shop=3"))
        recognised(await scheme.authenticate(exchange))
        (asked,) = service.asked
        assert (asked.header("traceparent"), asked.header("baggage")) == (own, None)


async def test_the_gateway_may_show_a_token_of_its_own() -> None:
    """Instead of a name and a secret."""
    async with introspecting(token="gateway-token") as (scheme, service):
        recognised(await ask(scheme))
        assert service.asked[0].header("authorization") == "Bearer gateway-token"


async def test_a_consumer_is_found_by_its_subject() -> None:
    """Who lists the subject is that consumer, with its tenant and groups; who is only called like it is not."""

    async def reply(asked: Asked) -> Reply:
        return json_reply({**ACTIVE, "sub": parse_qs(asked.body.decode())["token"][0]})

    async with introspecting(reply) as (scheme, _):
        identity = recognised(await ask(scheme, "user-acme")).identity
        assert (identity.consumer, identity.tenant, *identity.groups) == ("acme", "acme-corp", "gold")
        assert refused(await ask(scheme, "acme")).kind is ErrorKind.FORBIDDEN


async def test_an_access_token_may_be_called_one() -> None:
    """Services name the kind in several ways."""
    for members in ({"token_use": "access_token"}, {"token_type": "Bearer"}, {"typ": "Bearer"}, {"typ": "at+jwt"}):

        async def reply(asked: Asked, members: dict[str, str] = members) -> Reply:
            return json_reply({**ACTIVE, **members})

        async with introspecting(reply) as (scheme, _):
            recognised(await ask(scheme))


async def test_an_answer_is_kept() -> None:
    """The service is asked once for a token, and once for each other token."""
    async with introspecting() as (scheme, service):
        for _ in range(3):
            recognised(await ask(scheme))
        recognised(await ask(scheme, "opaque-2"))
        assert len(service.asked) == 2
        assert service.connections == 1


async def test_an_answer_is_kept_no_longer_than_the_token_holds() -> None:
    """`exp` ends what `cache` would keep."""

    async def reply(asked: Asked) -> Reply:
        return json_reply({**ACTIVE, "exp": time.time() + 0.05})

    async with introspecting(reply, cache="1h") as (scheme, service):
        recognised(await ask(scheme))
        async with asyncio.timeout(30):
            while len(service.asked) < 2:
                recognised(await ask(scheme))


async def test_nothing_is_kept_where_that_is_asked_for() -> None:
    """`cache: 0` asks every time."""
    async with introspecting(cache=0) as (scheme, service):
        for _ in range(2):
            recognised(await ask(scheme))
        assert len(service.asked) == 2


async def test_that_a_token_does_not_hold_is_kept_too() -> None:
    """A wrong token that is sent again and again does not reach the service."""

    async def reply(asked: Asked) -> Reply:
        return json_reply({"active": False})

    async with introspecting(reply) as (scheme, service):
        for _ in range(3):
            assert refused(await ask(scheme)).kind is ErrorKind.UNAUTHENTICATED
        assert len(service.asked) == 1


async def test_made_up_tokens_push_out_none_that_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many wrong tokens do not evict the answers about others."""
    monkeypatch.setattr("gateway.auth.introspection.REMEMBERED_REFUSED", 16 * 1024)

    async def reply(asked: Asked) -> Reply:
        return json_reply(ACTIVE if b"token=good" in asked.body else {"active": False})

    async with introspecting(reply) as (scheme, service):
        for token in ("good", *(f"made-up-{number}" for number in range(50)), "made-up-49", "good"):
            await ask(scheme, token)
        assert [asked.body for asked in service.asked].count(b"token=good&token_type_hint=access_token") == 1
        assert len(service.asked) == 51
        await ask(scheme, "made-up-0")
        assert len(service.asked) == 52


async def test_requests_at_the_same_time_share_one_question() -> None:
    """A hundred requests with a new token are one look-up; one that gives up does not spoil it for the others."""
    release = asyncio.Event()

    async def reply(asked: Asked) -> Reply:
        await release.wait()
        return json_reply(ACTIVE)

    async with introspecting(reply) as (scheme, service):
        waiting = [asyncio.create_task(ask(scheme)) for _ in range(100)]
        await eventually(lambda: bool(service.asked))
        waiting[0].cancel()
        release.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert {type(outcome).__name__ for outcome in outcomes[1:]} == {"Recognised"}
        assert len(service.asked) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"active": "true"},
        {"active": 1},
        {},
        {**ACTIVE, "exp": 1},
        {**ACTIVE, "nbf": 4_000_000_000},
        {**ACTIVE, "exp": "soon"},
        {**ACTIVE, "aud": "somebody-else"},
        {**ACTIVE, "iss": "somebody-else"},
        {**ACTIVE, "iss": ["me"]},
        {**ACTIVE, "sub": None},
        {**ACTIVE, "sub": "a\r\nb"},
        {**ACTIVE, "scope": 5},
        {**ACTIVE, "iss": "me", "token_use": "refresh_token"},
        {**ACTIVE, "iss": "me", "token_type": "refresh_token"},
        {**ACTIVE, "iss": "me", "typ": "Refresh"},
        {**ACTIVE, "iss": "me", "typ": "ID"},
    ],
)
async def test_answers_that_do_not_say_that_it_holds_refuse(members: dict[str, Any]) -> None:
    """Only `active: true`, for this audience, of this issuer, now."""

    async def reply(asked: Asked) -> Reply:
        return json_reply({"aud": "me", **members})

    async with introspecting(reply, audiences=["me"], issuer="me") as (scheme, _):
        assert refused(await ask(scheme)).kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.parametrize(
    "reply",
    [
        (200, {}, b"no json"),
        (200, {}, b"[]"),
        (200, {}, b'{"active": true, "active": true}'),
        (200, {}, b" " * 300_000),
        (401, {}, b"{}"),
        (302, {"location": "/elsewhere"}, b""),
        (500, {}, b""),
    ],
)
async def test_answers_that_are_none_are_a_503(reply: Reply) -> None:
    """The token may be right: the caller gets a Retry-After, and nothing is kept."""

    async def answer(asked: Asked) -> Reply:
        return reply

    async with introspecting(answer) as (scheme, service):
        outcome = refused(await ask(scheme))
        assert (outcome.kind, outcome.retry_after) == (ErrorKind.AUTH_UNAVAILABLE, 5)
        service.reply = active
        recognised(await ask(scheme))


async def hang(asked: Asked) -> Reply:
    """Never an answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_service_that_hangs_is_not_waited_for() -> None:
    """After the timeout the caller gets a 503; what was kept goes on."""
    async with introspecting(timeout="1s") as (scheme, service):
        recognised(await ask(scheme, "kept"))
        service.reply = hang
        started = time.perf_counter()
        assert refused(await ask(scheme)).kind is ErrorKind.AUTH_UNAVAILABLE
        assert 0.9 < time.perf_counter() - started < 10
        recognised(await ask(scheme, "kept"))


async def test_a_service_that_does_not_answer_is_left_alone() -> None:
    """After some time-outs in a row, of several callers, no request waits for it any more."""
    async with introspecting(hang, timeout="1s") as (scheme, service):
        for number in range(FAILURES + 5):
            outcome = refused(await ask(scheme, f"t{number}", client=f"192.0.2.{number}"))
            assert outcome.kind is ErrorKind.AUTH_UNAVAILABLE
        assert len(service.asked) == FAILURES


async def test_a_service_that_cannot_be_reached_is_left_alone() -> None:
    """For every caller: a failure to connect does not depend on tokens."""
    url = f"http://127.0.0.1:{free_port()}/"
    async with running({"schemes": {"o": {"introspection": {"url": url}}}}, "o") as scheme:
        assert isinstance(scheme, Introspection)
        for number in range(FAILURES):
            refused(await ask(scheme, f"t{number}"))
        assert not scheme._service._breaker.allows(time.monotonic())


@pytest.mark.parametrize(
    "clients",
    [["192.0.2.9"], ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::ffff"]],
    ids=["one address", "one network"],
)
async def test_tokens_of_one_caller_on_which_the_service_hangs_do_not_affect_others(clients: list[str]) -> None:
    """However many they are: what one address causes counts once, and others are answered at the same time."""

    async def choke(asked: Asked) -> Reply:
        return await hang(asked) if b"poison" in asked.body else json_reply(ACTIVE)

    async with introspecting(choke, timeout="6s") as (scheme, service):
        poison = [ask(scheme, f"poison{number}", client=clients[number % len(clients)]) for number in range(200)]
        waiting = [asyncio.create_task(each) for each in poison]
        await eventually(lambda: len(service.asked) >= AT_ONCE_OF_ONE)
        for number in range(20):
            recognised(await ask(scheme, f"good{number}", client="192.0.2.1"))
        for outcome in await asyncio.gather(*waiting):
            assert refused(outcome).kind is ErrorKind.AUTH_UNAVAILABLE
        recognised(await ask(scheme, "good", client="192.0.2.2"))


async def test_one_token_on_which_the_service_hangs_counts_once() -> None:
    """From however many addresses it comes."""

    async def choke(asked: Asked) -> Reply:
        return await hang(asked) if b"poison" in asked.body else json_reply(ACTIVE)

    async with introspecting(choke, timeout="1s") as (scheme, _):
        for number in range(FAILURES + 1):
            refused(await ask(scheme, "poison", client=f"192.0.2.{number}"))
        recognised(await ask(scheme, "good"))


async def test_tokens_that_hang_close_nothing_while_others_are_answered() -> None:
    """From however many addresses they come at once: a service that answers others meanwhile does not hang."""

    async def choke(asked: Asked) -> Reply:
        return await hang(asked) if b"poison" in asked.body else json_reply(ACTIVE)

    async with introspecting(choke, timeout="1s") as (scheme, service):
        poison = [ask(scheme, f"poison{number}", client=f"192.0.2.{number}") for number in range(FAILURES * 2)]
        waiting = [asyncio.create_task(each) for each in poison]
        await eventually(lambda: len(service.asked) == len(poison))
        recognised(await ask(scheme, "good1"))
        for outcome in await asyncio.gather(*waiting):
            assert refused(outcome).kind is ErrorKind.AUTH_UNAVAILABLE
        recognised(await ask(scheme, "good2"))


async def test_an_outage_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is logged once, and then every few seconds, however many callers there are."""

    async def fail(asked: Asked) -> Reply:
        return 500, {}, b""

    async with introspecting(fail) as (scheme, service):
        for number in range(20):
            refused(await ask(scheme, f"t{number}"))
    assert [f"{service.url}: it answered 500" in record.getMessage() for record in caplog.records] == [True]


async def test_one_callers_token_does_not_lock_out_the_others() -> None:
    """A token that makes the service fail is refused alone, however often it comes."""

    async def choke(asked: Asked) -> Reply:
        return (500, {}, b"") if b"poison" in asked.body else json_reply(ACTIVE)

    async with introspecting(choke) as (scheme, _):
        for number in range(FAILURES + 5):
            assert refused(await ask(scheme, f"poison{number}")).kind is ErrorKind.AUTH_UNAVAILABLE
        recognised(await ask(scheme, "good"))


async def test_what_is_no_token_is_not_asked_for() -> None:
    """Neither nonsense nor megabytes reach the service, and an explanation calls no service."""
    async with introspecting() as (scheme, service):
        for token in ("", "a b", "\xe9", "x" * 10_000, "a\tb"):
            assert refused(await ask(scheme, token)).kind is ErrorKind.UNAUTHENTICATED
        explained = refused(await ask(scheme, dry_run=True))
        assert (explained.kind, "not asked" in explained.detail) == (ErrorKind.AUTH_UNAVAILABLE, True)
        assert await scheme.authenticate(make_exchange()) is None
        assert service.asked == []


def test_credentials_belong_together() -> None:
    """A name without a secret, or both kinds at once, are reported when the file is loaded."""
    for keys, message in (
        ("client_id: a", "belong together"),
        ("client_id: a, client_secret: b, token: c", "exclude each other"),
    ):
        auth = f"schemes: {{o: {{introspection: {{url: 'https://a/b', {keys}}}}}}}\n"
        assert message in errors(auth=auth)[0]
