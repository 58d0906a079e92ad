"""API keys: where they are looked for, when they hold, and what they cost."""

import json
import time
import tracemalloc
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.api_key import MAX_BYTES, UNKNOWN, ApiKeys, KeyRing, holder_of, holder_of_fingerprint
from gateway.auth.identities import Identities
from gateway.auth.key_files import KeyFiles
from gateway.auth.scheme import AuthResult, Recognised, Refused
from gateway.config.models import ConsumerConfig, IdentityHeaders
from gateway.config.models.auth.consumers import ApiKeyConfig
from gateway.config.problems import ConfigError
from gateway.config.values.instants import format_instant
from gateway.errors import ErrorKind
from gateway.http import Headers
from tests.config.support import parsed
from tests.support import eventually

from .support import key_hash, request, scheme

KEY = "gw_a-key-that-is-long-enough-to-be-one"
PLACES = {"header": "X-API-Key", "query": "api_key", "cookie": "key"}


def auth(keys: list[Any], **places: Any) -> str:
    """An auth.yaml with the scheme `keys`, and one consumer with these keys."""
    consumer = {"name": "acme-app", "tenant": "acme", "groups": ["gold"], "scopes": ["orders:read"], "keys": keys}
    return json.dumps({"schemes": {"keys": {"api_key": places or PLACES}}, "consumers": [consumer]})


async def outcome_of(
    headers: Headers, query: bytes = b"", text: str = auth([key_hash(KEY)]), base: Path = Path("/nowhere")
) -> AuthResult:
    """What comes of a request with these headers."""
    return await scheme(text, "keys", base).authenticate(request(headers, query))


def consumer_of(outcome: AuthResult) -> str:
    """Who was recognised."""
    assert isinstance(outcome, Recognised), outcome
    return outcome.identity.consumer


async def test_a_key_is_found_in_each_of_its_places() -> None:
    """A header, a query parameter (its name and value may be encoded), or a cookie beside others."""
    key = KEY.encode()
    for headers, query in [
        ([(b"x-api-key", key)], b""),
        ([], b"a=1&api_key=" + key + b"&b=2"),
        ([], b"%61pi%5Fkey=" + key.replace(b"_", b"%5F")),
        ([(b"cookie", b"a=b; key=" + key + b"; c=d")], b""),
        ([(b"cookie", b'a=b; key="' + key + b'"')], b""),
        ([(b"cookie", b"a=b"), (b"cookie", b"key=" + key)], b""),
    ]:
        assert consumer_of(await outcome_of(headers, query)) == "acme-app"


async def test_who_it_is_comes_from_the_consumer() -> None:
    """With a fingerprint of the key, and never the key."""
    outcome = await outcome_of([(b"x-api-key", KEY.encode())])
    assert isinstance(outcome, Recognised)
    identity = outcome.identity
    assert (identity.tenant, identity.scheme) == ("acme", "keys")
    assert identity.groups == {"gold"}
    assert identity.scopes == {"orders:read"}
    assert key_hash(KEY).startswith(identity.fingerprint)
    assert KEY not in repr(outcome)


@pytest.mark.parametrize("key", [KEY + "x", KEY[:-1], "", "x" * (MAX_BYTES + 1), key_hash(KEY), KEY.upper(), "gw_\xff"])
async def test_another_key_is_refused(key: str) -> None:
    """Also its own hash, which may be read in the configuration, and one that is very long."""
    outcome = await outcome_of([(b"x-api-key", key.encode("latin-1"))])
    assert isinstance(outcome, Refused)
    assert outcome.detail == "the API key is not known"


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(b"x-api-key", KEY.encode()), (b"x-api-key", KEY.encode())], b""),
        ([(b"x-api-key", KEY.encode())], b"api_key=" + KEY.encode()),
        ([(b"x-api-key", KEY.encode()), (b"cookie", b"key=" + KEY.encode())], b""),
        ([], b"api_key=a&api_key=b"),
        ([], b"api_key=a&api%5fkey=b"),
        ([(b"cookie", b"key=a; key=b")], b""),
        ([(b"cookie", b"key=a"), (b"cookie", b"key=b")], b""),
    ],
)
async def test_two_keys_are_ambiguous(headers: Headers, query: bytes) -> None:
    """Even when both are the same: proxies and backends would not agree on which one counts."""
    outcome = await outcome_of(headers, query)
    assert isinstance(outcome, Refused)
    assert outcome.kind is ErrorKind.AMBIGUOUS_CREDENTIALS


async def test_a_request_without_a_key_is_left_to_others() -> None:
    """A place that the scheme does not name holds no key."""
    assert await outcome_of([(b"x-other", KEY.encode())], b"key=1", auth([key_hash(KEY)])) is None
    only_header = auth([key_hash(KEY)], header="X-API-Key")
    assert await outcome_of([(b"cookie", b"key=" + KEY.encode())], b"api_key=" + KEY.encode(), only_header) is None


async def test_several_keys_hold_at_once_so_that_one_can_follow_another() -> None:
    """From `not_before` until `expires`."""
    now = time.time()
    new, old, early, late = "a" * 30, "b" * 30, "c" * 30, "d" * 30
    text = auth(
        [
            {"hash": key_hash(new), "not_before": format_instant(now - 60)},
            {"hash": key_hash(old), "expires": format_instant(now + 60)},
            {"hash": key_hash(early), "not_before": format_instant(now + 60)},
            {"hash": key_hash(late), "expires": format_instant(now - 60)},
        ]
    )
    details = []
    for key in (new, old, early, late):
        outcome = await outcome_of([(b"x-api-key", key.encode())], text=text)
        details.append(outcome.detail if isinstance(outcome, Refused) else consumer_of(outcome))
    assert details == ["acme-app", "acme-app", "the API key does not hold yet", "the API key has expired"]


def look_up_seconds(count: int) -> float:
    """What one look-up takes, with this many keys."""
    identities = Identities((), IdentityHeaders())
    keys = tuple(ApiKeyConfig(hash=key_hash(f"key-{number}")) for number in range(count))
    consumer = ConsumerConfig(name="acme-app", keys=keys)
    one = identities.of_consumer(consumer, "keys", "")
    ring = KeyRing([consumer], lambda _, __: one, KeyFiles(()), Path())
    wanted = [bytes.fromhex(key.hash[7:]) for key in keys[:: max(1, count // 1000)] if key.hash]
    wanted = (wanted * 1000)[:1000]
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        for digest in wanted:
            ring.find(digest)
        best = min(best, time.perf_counter() - started)
    assert all(ring.find(digest) for digest in wanted)
    return best / len(wanted)


def test_many_keys_cost_the_same_as_few() -> None:
    """A look-up among 100,000 takes no longer than what a slower memory makes of a few."""
    assert look_up_seconds(100_000) < look_up_seconds(10) * 5 + 1e-6


async def test_keys_whose_hashes_begin_alike_are_kept_apart() -> None:
    """Also at the end of the places where they stand, and whichever of them comes up first."""
    known, unknown = sha256(KEY.encode()), sha256(b"another")
    near = [known.digest()[:20] + bytes([number] * 12) for number in range(9)]
    last = [b"\xff" * 20 + bytes([number] * 12) for number in range(9)]
    digests = [*near[:5], known.digest(), *near[5:], *last, bytes(32)]
    consumers = [{"name": f"c{at}", "keys": [f"sha256:{digest.hex()}"]} for at, digest in enumerate(digests)]
    keys = scheme(json.dumps({"schemes": {"keys": {"api_key": PLACES}}, "consumers": consumers}), "keys")
    assert isinstance(keys, ApiKeys)
    for _ in range(2):
        for at, digest in enumerate(digests):
            found = holder_of_fingerprint(keys.ring, digest)
            assert isinstance(found, Recognised)
            assert (found.identity.consumer, found.identity.fingerprint) == (f"c{at}", f"sha256:{digest.hex()[:12]}")
        assert consumer_of(await keys.authenticate(request([(b"x-api-key", KEY.encode())]))) == "c5"
        assert holder_of(keys.ring, b"another") is UNKNOWN
        assert holder_of_fingerprint(keys.ring, unknown.digest()[:6]) is UNKNOWN
        assert holder_of_fingerprint(keys.ring, known.digest()[:19] + b"?") is UNKNOWN


async def test_the_challenge_says_where_a_key_belongs() -> None:
    """There is no registered scheme for API keys, but a 401 must name one."""
    text = auth([], **PLACES)
    assert scheme(text, "keys").challenge(None) == (
        b'ApiKey realm="gateway", header="x-api-key", query="api_key", cookie="key"'
    )


async def test_keys_come_from_files(tmp_path: Path) -> None:
    """A key or a hash on each line, as a mounted secret has it."""
    (tmp_path / "secret").write_text(f"{KEY}\n\n{key_hash('another key, of 24 or more')}\r\n")
    text = auth([{"file": "secret"}])
    for key in (KEY, "another key, of 24 or more"):
        assert consumer_of(await outcome_of([(b"x-api-key", key.encode())], text=text, base=tmp_path)) == "acme-app"


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"", "it is empty"), (b"short", "can be guessed"), (b"\xff" * 30, "not UTF-8")],
)
def test_a_file_that_is_no_key_is_an_error(tmp_path: Path, content: bytes | None, why: str) -> None:
    """With its place in auth.yaml, and nothing of what is in it."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        scheme(auth([{"file": "secret"}]), "keys", tmp_path)
    assert "consumers[0].keys[0]" in str(caught.value)
    assert "short" not in str(caught.value)


async def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """So a rotated secret needs no reload; one that cannot be read keeps the keys that it had."""
    path = tmp_path / "secret"
    path.write_text(KEY)
    files = KeyFiles([path], poll_seconds=0.02)
    assert files.read() == []
    consumer = ConsumerConfig(name="acme-app", keys=(ApiKeyConfig(file=str(path)),))
    identities = Identities((), IdentityHeaders())
    ring = KeyRing([consumer], lambda who, print_: identities.of_consumer(who, "keys", print_), files, Path())

    def holds(key: str) -> bool:
        return ring.find(bytes.fromhex(key_hash(key)[7:])) is not None

    await files.start()
    assert holds(KEY)
    path.write_text(KEY[::-1])
    await eventually(lambda: holds(KEY[::-1]))
    assert not holds(KEY)
    path.unlink()
    await eventually(lambda: bool(files._failing))
    assert holds(KEY[::-1])
    await files.stop()


def test_what_is_made_of_a_key_that_is_used_is_small() -> None:
    """Beside the consumer itself, which it is made of: at most 300 bytes for each key that has come up."""
    count = 500
    config = "".join(f"- {{name: c{number}, keys: ['{key_hash(f'key-{number}')}']}}\n" for number in range(count))
    consumers = parsed(auth=f"consumers:\n{config}").auth.consumers
    identities = Identities(consumers, IdentityHeaders())
    ring = KeyRing(consumers, lambda who, print_: identities.of_consumer(who, "keys", print_), KeyFiles(()), Path())
    tracemalloc.start()
    try:
        for number in range(count):
            assert isinstance(holder_of(ring, f"key-{number}".encode()), Recognised)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / count < 300
