"""HTTP Basic, and the hashes of passwords."""

import asyncio
import json
import threading
import time
import unicodedata
from base64 import b64encode
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth import basic, password, password_checks
from gateway.auth.password import PasswordHash
from gateway.auth.password_checks import PasswordChecks
from gateway.auth.scheme import AuthResult, Recognised, Refused
from gateway.config.problems import ConfigError
from gateway.errors import ErrorKind

from .support import request, scheme


def cheap(text: str, log_n: int = 10) -> str:
    """A hash that takes a millisecond, or twice as long for each one more."""
    empty = PasswordHash(log_n, 8, 1, b"0123456789abcdef", b"")
    return str(PasswordHash(log_n, 8, 1, empty.salt, empty._derive(text, empty.salt, 32)))


def users(**passwords: str) -> basic.Basic:
    """The scheme, with these users."""
    consumers = [
        {"name": f"app-{name}", "basic": {"username": name, "password": cheap(text)}}
        for name, text in passwords.items()
    ]
    found = scheme(json.dumps({"schemes": {"basic": {"basic": {}}}, "consumers": consumers}), "basic")
    assert isinstance(found, basic.Basic)
    return found


def watch_checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that are checked from now on."""
    checked: list[str] = []
    verify = PasswordHash.verify

    def watched(self: PasswordHash, text: str) -> bool:
        checked.append(text)
        return verify(self, text)

    monkeypatch.setattr(PasswordHash, "verify", watched)
    return checked


async def outcome_of(
    scheme: basic.Basic, credentials: str | bytes, name: bytes = b"Basic ", client: str = "192.0.2.1"
) -> AuthResult:
    """What comes of user:password."""
    data = credentials.encode() if isinstance(credentials, str) else credentials
    exchange = request([(b"authorization", name + b64encode(data))])
    exchange.client = client
    return await scheme.authenticate(exchange)


async def test_a_user_with_the_right_password_is_the_consumer() -> None:
    """In any case of the word Basic, with colons and other letters in the password."""
    found = users(bob="pass:wörd")
    for name in (b"Basic ", b"basic ", b"BASIC  "):
        outcome = await outcome_of(found, "bob:pass:wörd", name)
        assert isinstance(outcome, Recognised)
        assert outcome.identity.consumer == "app-bob"
    assert isinstance(await outcome_of(found, "bob:pass:wo\u0308rd"), Recognised)


@pytest.mark.parametrize(
    "credentials", ["bob:wrong", "bob:", "alice:secret", ":secret", "bob", "", b"bob:\xff", "bob:sec\nret", "x" * 2000]
)
async def test_anything_else_is_refused(credentials: str | bytes) -> None:
    """A wrong password, a user who is not there, and what is not user:password."""
    assert isinstance(await outcome_of(users(bob="secret"), credentials), Refused)


@pytest.mark.parametrize(
    "value", [b"Basic", b"Basic ", b"Basic !!!", b"Basic Ym9iOnNlY3JldA", b"Basic Ym9iOnNlY3JldA== x"]
)
async def test_malformed_base64_is_refused(value: bytes) -> None:
    """Without padding, with other characters, or nothing at all."""
    assert isinstance(await users(bob="secret").authenticate(request([(b"authorization", value)])), Refused)


async def test_what_is_no_basic_is_left_to_others() -> None:
    """Another scheme of Authorization, or none."""
    assert await users().authenticate(request([(b"authorization", b"Bearer x")])) is None
    assert await users().authenticate(request()) is None


async def test_requests_with_the_same_credentials_wait_for_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """And later ones for none, until it is time to check again; a wrong password is forgotten sooner."""
    checked = watch_checks(monkeypatch)
    found = users(bob="secret")
    assert (
        len({id(outcome) for outcome in await asyncio.gather(*(outcome_of(found, "bob:secret") for _ in range(100)))})
        == 1
    )
    await outcome_of(found, "bob:wrong")
    await outcome_of(found, "bob:wrong")
    assert checked == ["secret", "wrong"]
    clock = time.monotonic() + basic.WRONG_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    await outcome_of(found, "bob:wrong")
    await outcome_of(found, "bob:secret")
    assert checked == ["secret", "wrong", "wrong"]
    clock += basic.RIGHT_SECONDS
    await outcome_of(found, "bob:secret")
    assert checked[3:] == ["secret"]


async def test_checks_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that guesses passwords gets a 503 before the gateway is overloaded."""
    monkeypatch.setattr(password_checks, "WAITING_OF_ONE", 2)
    found = users(bob="secret")
    outcomes = await asyncio.gather(*(outcome_of(found, f"bob:{number}") for number in range(20)))
    kinds = [outcome.kind for outcome in outcomes if isinstance(outcome, Refused)]
    assert kinds.count(ErrorKind.UNAUTHENTICATED) == 4
    assert kinds.count(ErrorKind.AUTH_UNAVAILABLE) == 16
    assert isinstance(await outcome_of(found, "bob:secret"), Recognised)


async def test_the_loop_goes_on_while_a_password_is_checked() -> None:
    """scrypt runs on a thread."""
    hashed = str(password.make("secret"))
    text = {
        "schemes": {"b": {"basic": {}}},
        "consumers": [{"name": "a", "basic": {"username": "bob", "password": hashed}}],
    }
    found = scheme(json.dumps(text), "b")
    assert isinstance(found, basic.Basic)
    check = asyncio.create_task(outcome_of(found, "bob:secret"))
    turns = 0
    while not check.done():
        await asyncio.sleep(0)
        turns += 1
    assert isinstance(await check, Recognised)
    assert turns > 100


async def test_a_user_who_is_not_there_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password is checked all the same, so that the time does not tell who is a user."""
    checked = watch_checks(monkeypatch)
    await outcome_of(users(bob="secret"), "alice:secret")
    assert checked == ["secret"]


async def test_every_wrong_password_costs_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known users with cheap and with dear hashes, and unknown ones: the same work for all, so no time tells a name."""
    consumers = [
        {"name": f"app-{log_n}", "basic": {"username": f"user-{log_n}", "password": cheap("secret", log_n)}}
        for log_n in (10, 12, 10, 14)
    ]
    consumers[2] = {"name": "app", "basic": {"username": "another", "password": cheap("secret")}}
    found = scheme(json.dumps({"schemes": {"basic": {"basic": {}}}, "consumers": consumers}), "basic")
    assert isinstance(found, basic.Basic)
    worked: list[int] = []
    verify = PasswordHash.verify

    def watched(self: PasswordHash, text: str) -> bool:
        worked.append(self.log_n)
        return verify(self, text)

    monkeypatch.setattr(PasswordHash, "verify", watched)
    for name in ("user-10", "user-12", "another", "user-14", "nobody", ""):
        worked.clear()
        assert isinstance(await outcome_of(found, f"{name}:wrong"), Refused)
        assert sorted(worked) == [10, 12, 14], name
    worked.clear()
    assert isinstance(await outcome_of(found, "user-10:secret"), Recognised)
    assert worked == [10]


async def test_a_flood_of_made_up_users_does_not_keep_others_out() -> None:
    """However many names one address tries, and from how many addresses of its /64: another one is next but one."""
    found = users(bob="secret")
    flood = [
        asyncio.create_task(outcome_of(found, f"made-up-{number}:x", client=f"2001:db8::{number:x}"))
        for number in range(400)
    ]
    await asyncio.sleep(0)
    assert isinstance(await outcome_of(found, "bob:secret", client="192.0.2.7"), Recognised)
    answered = [task.result() for task in flood if task.done()]
    checked = [one for one in answered if isinstance(one, Refused) and one.kind is ErrorKind.UNAUTHENTICATED]
    assert len(checked) <= 3 * password_checks.AT_A_TIME
    outcomes = await asyncio.gather(*flood)
    busy = [one for one in outcomes if isinstance(one, Refused) and one.kind is ErrorKind.AUTH_UNAVAILABLE]
    assert len(busy) == 400 - password_checks.WAITING_OF_ONE - password_checks.AT_A_TIME


async def test_checks_at_a_time_are_bounded_in_memory() -> None:
    """Two that take 32 MiB are done at a time, and one that takes more than 64 MiB is done alone."""
    working, most = 0, {"little": 0, "much": 0}
    checks, counting, two = PasswordChecks(), threading.Lock(), threading.Barrier(2)

    def check(which: str, weight: int) -> bool:
        nonlocal working
        with counting:
            working += weight
            most[which] = max(most[which], working)
        if which == "little":
            two.wait(30)  # for another one at the same time
        time.sleep(0.01)
        with counting:
            working -= weight
        return True

    for which, memory, weight in (("little", 2**20, 1), ("much", 128 * 2**20, 1)):
        jobs = [checks.run(owner, memory, partial(check, which, weight)) for owner in range(6)]
        assert all(await asyncio.gather(*jobs))
    await checks.stop()
    assert most == {"little": 2, "much": 1}


@settings(max_examples=20, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
    other=st.text(st.characters(codec="utf-8"), max_size=40),
)
def test_a_hash_is_of_one_password(text: str, other: str) -> None:
    """Written and read again it is the same."""
    read = password.parse(cheap(text))
    assert read.verify(text)
    same = unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", other)
    assert read.verify(other) == same


def test_every_new_hash_has_its_own_salt() -> None:
    """Hashes do not reveal that two users have one password."""
    assert str(password.make("secret")) != str(password.make("secret"))


HASH = cheap("x")


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        "",
        HASH + "=",
        HASH.replace("$scrypt", "$argon2id"),
        HASH.replace("ln=10", "ln=9"),
        HASH.replace("ln=10", "ln=30"),
        HASH.replace("ln=10,r=8", "ln=20,r=32"),
        HASH.replace("p=1", "p=0"),
        HASH.replace("r=8", "r=0"),
        HASH.rpartition("$")[0] + "$",
    ],
)
def test_what_is_no_hash_is_an_error_with_its_place(text: str) -> None:
    """A plain password, another format, or parameters that would take all memory or nearly none."""
    consumers = [{"name": "a", "basic": {"username": "bob", "password": text}}]
    with pytest.raises(ConfigError) as caught:
        scheme(json.dumps({"schemes": {"b": {"basic": {}}}, "consumers": consumers}), "b")
    assert "consumers[0].basic.password" in str(caught.value)
    assert not text or text not in str(caught.value)
