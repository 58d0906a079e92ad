"""Signed requests: what must be covered, how old a signature may be, and that it is taken once."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from typing import Any

import pytest

from gateway.algorithms.structured_fields import parse_dictionary, serialise
from gateway.auth.replays import MAX_MESSAGES, MAX_OF_ONE, SERVICE, ReplayMemory, Replays
from gateway.auth.scheme import Recognised, Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.problems import ConfigError
from gateway.context import Context
from gateway.errors import ErrorKind, GatewayError
from gateway.http import Exchange
from gateway.http.testing import Pieces, make_exchange
from gateway.live import Owner
from tests.auth.schemes_support import USUAL, Signer, add, components, post, recognised, refused
from tests.auth.support import pem, scheme
from tests.config.support import errors, parsed

BODY = (*USUAL, "content-digest")


@pytest.fixture
def signer() -> Signer:
    return Signer()


def signed(signer: Signer, **settings: Any) -> Scheme:
    """The scheme `signed` with these settings."""
    auth = {"schemes": {"signed": {"http_signature": settings}}, "consumers": [signer.consumer]}
    return scheme(json.dumps(auth), "signed")


async def refusal(policy: Scheme, exchange: Exchange) -> str:
    """Why an exchange is refused."""
    return refused(await policy.authenticate(exchange)).detail


async def test_who_signed_is_recognised(signer: Signer) -> None:
    """The key id tells the consumer, and is what logs get to see."""
    found = recognised(await signed(signer).authenticate(signer.sign(make_exchange("GET", "/orders?a=1"))))
    assert (found.identity.consumer, found.identity.fingerprint) == ("acme", "keyid:acme-1")


async def test_without_a_signature_the_next_scheme_is_asked(signer: Signer) -> None:
    """None, so that another scheme of the route may know the caller."""
    assert await signed(signer).authenticate(make_exchange()) is None


@pytest.mark.parametrize("missing", USUAL)
async def test_every_component_must_be_covered(signer: Signer, missing: str) -> None:
    """A signature that leaves out method, host, path or query could be moved to another request."""
    exchange = signer.sign(make_exchange(), [name for name in USUAL if name != missing])
    assert await refusal(signed(signer), exchange) == f"the signature does not cover {missing}"


async def test_a_component_with_parameters_does_not_count(signer: Signer) -> None:
    """Only a part of a header is covered, and not the header."""
    exchange = signer.sign(make_exchange(headers=[("x-a", "b=1, c=2")]), USUAL)
    assert await refusal(signed(signer, components=["x-a"]), exchange) == "the signature does not cover x-a"


async def test_the_target_uri_covers_its_parts(signer: Signer) -> None:
    """`@target-uri` is as good as host, path and query."""
    recognised(await signed(signer).authenticate(signer.sign(make_exchange(), ["@method", "@target-uri"])))
    only = signer.sign(make_exchange(), ["@method", "@request-target"])
    assert await refusal(signed(signer), only) == "the signature does not cover @authority"


async def test_what_was_changed_on_the_way_is_noticed(signer: Signer) -> None:
    """Method, path, query and host are those that were signed."""
    for name, value in (("method", "DELETE"), ("original_path", "/other"), ("query", b"a=2"), ("host", "evil.example")):
        exchange = signer.sign(make_exchange("GET", "/orders?a=1"))
        setattr(exchange, name, value)
        assert await refusal(signed(signer), exchange) == "the signature is wrong"


async def test_a_signed_header_cannot_be_removed(signer: Signer) -> None:
    """`Connection` is not signed, and what it names ends at the gateway: it may name nothing that is."""
    for named, passes in (("x-amount", False), ("close, X-Amount", False), ("x-other", True), ("close", True)):
        exchange = signer.sign(make_exchange(headers=[("x-amount", "5")]), (*USUAL, "x-amount"), nonce=named)
        outcome = await signed(signer).authenticate(add(exchange, "connection", named))
        if passes:
            recognised(outcome)
        else:
            assert refused(outcome).detail.endswith("would remove signed headers from the request: x-amount")


async def test_parameters_of_components_are_what_they_are_for(signer: Signer) -> None:
    """`bs` is there or not: it has no other values."""
    policy = signed(signer)
    for index, (parameter, right) in enumerate(((";bs", True), (";bs=?0", False), (";bs=5", False))):
        member = parse_dictionary(
            f'sig=({components(USUAL)} "x-a"{parameter});created={int(time.time())};keyid="acme-1"'
        )["sig"]
        exchange = make_exchange("GET", f"/{index}", headers=[("x-a", "1")])
        value = ":MQ==:" if right else "1"
        lines = [
            f'"{name}": {text}' for name, text in zip(USUAL, ("GET", "api.example.com", f"/{index}", "?"), strict=True)
        ]
        base = "\n".join([*lines, f'"x-a"{parameter}: {value}', f'"@signature-params": {serialise(member)}'])
        add(exchange, "signature-input", f"sig={serialise(member)}")
        add(exchange, "signature", f"sig=:{b64encode(signer.key.sign(base.encode())).decode()}:")
        assert isinstance(await policy.authenticate(exchange), Recognised) is right


async def test_a_key_is_for_its_algorithm(signer: Signer) -> None:
    """What the request says of the algorithm cannot choose another one."""
    recognised(await signed(signer).authenticate(signer.sign(make_exchange(), alg="ed25519")))
    assert "another algorithm" in await refusal(signed(signer), signer.sign(make_exchange(), alg="hmac-sha256"))
    assert "not known" in await refusal(signed(signer), signer.sign(make_exchange(), keyid="somebody"))
    assert "not known" in await refusal(signed(signer), signer.sign(make_exchange(), keyid=None))


async def test_signatures_grow_old(signer: Signer) -> None:
    """Neither one that is older than max_age, nor one that has expired, nor one from the future."""
    now = int(time.time())
    policy = signed(signer, max_age="10m", leeway="1m")
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now - 620)))
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now + 40, expires=now - 20)))
    assert "too old" in await refusal(policy, signer.sign(make_exchange(), created=now - 670))
    assert "too old" in await refusal(policy, signer.sign(make_exchange(), expires=now - 70))
    assert "future" in await refusal(policy, signer.sign(make_exchange(), created=now + 120))
    assert "when it was created" in await refusal(policy, signer.sign(make_exchange(), created=None))
    assert "when it was created" in await refusal(policy, signer.sign(make_exchange(), expires="never"))


async def test_a_message_is_taken_once(signer: Signer) -> None:
    """A recorded signed request cannot be replayed; with a nonce, its author can."""
    policy, now = signed(signer), int(time.time())
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now)))
    assert "came before" in await refusal(policy, signer.sign(make_exchange(), created=now))
    assert "came before" in await refusal(policy, signer.sign(make_exchange(), created=now, label="other"))
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now, nonce="n1")))
    assert "came before" in await refusal(policy, signer.sign(make_exchange(), created=now, nonce="n1"))


async def test_an_explanation_uses_nothing_up(signer: Signer) -> None:
    """To ask about a request is not to send it."""
    policy, now = signed(signer), int(time.time())
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now), dry_run=True))
    recognised(await policy.authenticate(signer.sign(make_exchange(), created=now)))


async def test_replays_may_be_allowed(signer: Signer) -> None:
    """`replay: window` takes a message as often as it comes."""
    policy, now = signed(signer, replay="window"), int(time.time())
    for _ in range(2):
        recognised(await policy.authenticate(signer.sign(make_exchange(), created=now)))


def test_replays_are_forgotten_when_they_are_too_old_anyway() -> None:
    """What is remembered is bounded, and is never forgotten early."""
    replays = Replays()
    assert replays.is_new("k", b"a", 0, 60)
    assert not replays.is_new("k", b"a", 59, 60)
    assert replays.is_new("k", b"a", 60, 60)
    for number in range(MAX_OF_ONE - 1):
        replays.is_new("k", b"%d" % number, 61, 60)
    assert replays.is_full("k", 61, 60)
    assert not replays.is_new("k", b"a", 62, 60)
    assert not replays.is_full("k", 120, 60)


def test_one_key_does_not_use_up_the_room_of_all() -> None:
    """A consumer that signs without end is refused alone, until all of them together are too many."""
    replays = Replays()
    for number in range(MAX_OF_ONE):
        replays.is_new("busy", b"%d" % number, 0, 60)
    assert replays.is_full("busy", 0, 60)
    assert not replays.is_full("other", 0, 60)
    for number in range(MAX_OF_ONE, MAX_MESSAGES):
        replays.is_new("other", b"%d" % number, 0, 60)
    assert replays.is_full("third", 0, 60)
    assert not replays.is_full("third", 60, 60)


async def test_a_message_is_taken_once_whatever_is_reloaded(signer: Signer) -> None:
    """Another max_age does not let in again what came before."""
    owner, exchange = Owner(), signer.sign(make_exchange())
    outcomes = []
    for max_age in ("5m", "10m"):
        auth = {"schemes": {"signed": {"http_signature": {"max_age": max_age}}}, "consumers": [signer.consumer]}
        made = Context(parsed(auth=json.dumps(auth)), owner.plan())
        scheme = schemes_of(made)["signed"]
        await owner.adopt(made.plan)
        outcomes.append(await scheme.authenticate(exchange))
    recognised(outcomes[0])
    assert "came before" in refused(outcomes[1]).detail


@pytest.mark.parametrize("windows", [(60, 3600), (600, 60, 3600)], ids=["raised", "lowered and raised"])
async def test_a_raised_window_lets_nothing_in_again(
    signer: Signer, windows: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was forgotten, because it was too old, stays refused; what is younger is taken, once."""
    owner, clock = Owner(), 1_000_000
    monkeypatch.setattr(time, "time", lambda: clock)

    async def reloaded(max_age: int) -> Scheme:
        settings = {"max_age": max_age, "leeway": 0}
        auth = {"schemes": {"signed": {"http_signature": settings}}, "consumers": [signer.consumer]}
        made = Context(parsed(auth=json.dumps(auth)), owner.plan())
        found = schemes_of(made)["signed"]
        await owner.adopt(made.plan)
        return found

    first, late = signer.sign(make_exchange(), nonce="1"), signer.sign(make_exchange(), created=clock + 5)
    recognised(await (await reloaded(windows[0])).authenticate(first))
    clock += 100
    for number, window in enumerate(windows[:-1]):
        recognised(await (await reloaded(window)).authenticate(signer.sign(make_exchange(), nonce=f"in {number}")))
    raised = await reloaded(windows[-1])
    assert "older than the record of former ones" in await refusal(raised, first)
    recognised(await raised.authenticate(late))
    assert "came before" in await refusal(raised, late)
    assert "older than the record of former ones" in await refusal(
        raised, signer.sign(make_exchange(), created=clock - 110)
    )


@pytest.mark.parametrize(
    ("between", "comes_in"),
    [
        ({"signed": {"http_signature": {"replay": "window"}}}, [True, True, False, False]),
        ({"renamed": {"http_signature": {}}}, [False, True, False, False]),
        ({"keys": {"api_key": {}}}, [False, False, False, True]),
    ],
    ids=["may come again", "renamed", "taken out"],
)
async def test_a_message_is_taken_once_whatever_was_configured_meanwhile(
    signer: Signer, between: dict[str, Any], comes_in: list[bool]
) -> None:
    """A scheme that is renamed, taken out and put back, or lenient for a while lets in nothing that came before."""
    owner, outcomes = Owner(), []
    owner.hold(SERVICE, ReplayMemory())
    first, second = (signer.sign(make_exchange(), nonce=nonce) for nonce in "12")

    async def configure(schemes: dict[str, Any]) -> Scheme:
        consumers = [] if "keys" in schemes else [signer.consumer]
        auth = json.dumps({"schemes": schemes, "consumers": consumers})
        made = Context(parsed(auth=auth), owner.plan())
        (found,) = schemes_of(made).values()
        await owner.adopt(made.plan)
        await owner.release()
        return found

    usual: dict[str, Any] = {"signed": {"http_signature": {}}}
    recognised(await (await configure(usual)).authenticate(first))
    for schemes in (between, usual):
        policy = await configure(schemes)
        outcomes += [isinstance(await policy.authenticate(message), Recognised) for message in (first, second)]
    assert outcomes == comes_in


async def test_two_signatures_are_ambiguous(signer: Signer) -> None:
    """Unless a tag says which one is meant."""
    exchange = signer.sign(make_exchange(), tag="mine")
    inputs, signatures = exchange.fields[b"signature-input"].decode(), exchange.fields[b"signature"].decode()
    add(exchange, "signature-input", inputs.replace("sig=", "other=").replace("mine", "theirs"))
    add(exchange, "signature", signatures.replace("sig=", "other="))
    outcome = refused(await signed(signer).authenticate(exchange))
    assert outcome.kind is ErrorKind.AMBIGUOUS_CREDENTIALS
    recognised(await signed(signer, tag="mine").authenticate(exchange))
    assert await signed(signer, tag="not-ours").authenticate(exchange) is None


@pytest.mark.parametrize(
    ("inputs", "signature"),
    [
        ("", "sig=:YQ==:"),
        ('sig=("@method")', ""),
        ('sig=("@method")', "other=:YQ==:"),
        ("sig=1", "sig=:YQ==:"),
        ('sig=("@method")', "sig=1"),
        ('sig=("@method")', "sig=(:YQ==:)"),
        ('sig=("@method"', "sig=:YQ==:"),
        ('sig=("@method")', "sig=:Y*==:"),
    ],
)
async def test_malformed_signatures_are_refused(signer: Signer, inputs: str, signature: str) -> None:
    """Half a signature is refused, and never passed over."""
    exchange = make_exchange()
    for name, value in (("signature-input", inputs), ("signature", signature)):
        if value:
            add(exchange, name, value)
    assert "do not say which parts" in await refusal(signed(signer), exchange)


async def read(exchange: Exchange) -> list[bytes]:
    """The pieces of a body."""
    assert exchange.body is not None
    pieces = []
    while piece := await exchange.body.read():
        pieces.append(piece)
    return pieces


async def test_a_signed_body_passes_piece_by_piece(signer: Signer) -> None:
    """It streams: every piece comes as it came, and only the last one is held back until the digest is right."""
    exchange = signer.sign(post(b"onetwothree"), BODY)
    exchange.body = Pieces([b"one", b"two", b"three"])
    recognised(await signed(signer).authenticate(exchange))
    assert await read(exchange) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("pieces", [[b"one", b"two", b"thref"], [b"onetwothre"], [], [b"onetwothree", b"!"]])
async def test_another_body_never_arrives_whole(signer: Signer, pieces: list[bytes]) -> None:
    """A changed, shortened, missing or longer body ends in an error before its last piece."""
    exchange = signer.sign(post(b"onetwothree"), BODY)
    exchange.body = Pieces(pieces)
    recognised(await signed(signer).authenticate(exchange))
    body = exchange.body
    assert body is not None
    assert [await body.read() for _ in pieces[:-1]] == pieces[:-1]
    with pytest.raises(GatewayError, match="Content-Digest") as caught:
        await body.read()
    assert caught.value.kind is ErrorKind.UNAUTHENTICATED


async def test_a_wrong_body_is_a_decision_like_any_other(signer: Signer) -> None:
    """The client gets what to sign, and the log the refusal; in shadow mode the request passes, and is logged."""
    for mode, verdict in (("enforce", "deny"), ("shadow", "shadow-deny")):
        exchange = signer.sign(post(b"one"), BODY)
        exchange.body = Pieces([b"two"])
        auth = {"mode": mode, "schemes": {"signed": {"http_signature": {}}}, "consumers": [signer.consumer]}
        recognised(await scheme(json.dumps(auth), "signed").authenticate(exchange))
        if mode == "shadow":
            assert await read(exchange) == [b"two"]
        else:
            with pytest.raises(GatewayError) as caught:
                await read(exchange)
            assert [name for name, _ in caught.value.headers] == [b"www-authenticate"]
        assert [(each.rule, each.verdict) for each in exchange.decisions] == [("authentication:signed", verdict)]


async def test_a_body_must_be_covered(signer: Signer) -> None:
    """A body that is not covered, or with a digest that is not known, is refused; unless the scheme lets it."""
    assert "body is not covered" in await refusal(signed(signer), signer.sign(post()))
    weak = post(content_digest="md5=:YQ==:")
    assert "body is not covered" in await refusal(signed(signer), signer.sign(weak, BODY))
    recognised(await signed(signer, body="unsigned").authenticate(signer.sign(post())))


async def test_a_body_that_was_taken_away_is_noticed(signer: Signer) -> None:
    """A covered digest of a body is not that of no body."""
    exchange = signer.sign(post(), BODY)
    exchange.body = None
    assert "not the one that Content-Digest names" in await refusal(signed(signer), exchange)


def test_keys_that_do_not_fit_are_reported_with_their_place() -> None:
    """A key of another kind than its algorithm, a short secret, a missing file: each with line and column."""

    def wrong(key: dict[str, str]) -> str:
        consumer = {"name": "a", "signatures": [{"key_id": "k", **key}]}
        return errors(auth=json.dumps({"consumers": [consumer]}))[0]

    assert "at least 32 bytes" in wrong({"algorithm": "hmac-sha256", "secret": "short"})
    assert "hmac-sha256 needs a secret" in wrong({"algorithm": "ed25519", "secret": "s" * 32})
    assert "exactly one of" in wrong({"algorithm": "ed25519"})
    with pytest.raises(ConfigError, match=r"auth.yaml:1:\d+: .*this key is not one for ecdsa-p256-sha256"):
        signed_with({"algorithm": "ecdsa-p256-sha256", "key": pem(Signer().key)})
    with pytest.raises(ConfigError, match=r"the file cannot be read: No such file"):
        signed_with({"algorithm": "ed25519", "key_file": "missing.pem"})


def signed_with(key: dict[str, str]) -> None:
    """Build the scheme with this key."""
    consumer = {"name": "a", "signatures": [{"key_id": "k", **key}]}
    scheme(json.dumps({"schemes": {"signed": {"http_signature": {}}}, "consumers": [consumer]}), "signed")


def test_two_keys_of_one_name_are_an_error() -> None:
    """A key id has one consumer."""
    consumers = [{**Signer().consumer, "name": name} for name in ("a", "b")]
    assert "another key has this key_id" in errors(auth=json.dumps({"consumers": consumers}))[0]
