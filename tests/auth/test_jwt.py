"""Which tokens are taken, and every way of being wrong that is known by a name."""

import asyncio
import json
import time
import tracemalloc
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.scheme import AuthResult, Recognised, Refused, Scheme
from gateway.errors import ErrorKind

from .support import ISSUER, SECRET, b64, claims, jwk, jwt_auth, mint, pem, private_key, request, scheme, signature

ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def login(*issuers: dict[str, Any], **more: Any) -> Scheme:
    """The scheme with these issuers; one with an RSA key where none is named."""
    return scheme(jwt_auth(*issuers or ({"key": pem(private_key("RS256"))},), **more), "login")


async def outcome_of(token: str, login: Scheme) -> AuthResult:
    """What comes of a token."""
    return await login.authenticate(request(token=token))


async def refused(token: str, login: Scheme) -> Refused:
    """Why a token is refused."""
    outcome = await outcome_of(token, login)
    assert isinstance(outcome, Refused), outcome
    return outcome


async def taken(token: str, login: Scheme) -> Recognised:
    """Who bears a token that holds."""
    outcome = await outcome_of(token, login)
    assert isinstance(outcome, Recognised), outcome
    return outcome


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
async def test_a_token_of_every_algorithm_is_taken(algorithm: str) -> None:
    """RS, PS, ES and EdDSA, with the public key of the issuer."""
    keys = login({"algorithms": [algorithm], "key": pem(private_key(algorithm))})
    assert (await taken(mint(algorithm), keys)).identity.consumer == "user-17"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_with_a_shared_secret_is_taken(algorithm: str) -> None:
    """And one with another secret is not."""
    keys = login({"algorithms": [algorithm], "secret": SECRET})
    assert (await taken(mint(algorithm, SECRET), keys)).identity.consumer == "user-17"
    assert (await refused(mint(algorithm, SECRET + "x"), keys)).detail == "the token's signature is wrong"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@pytest.mark.parametrize("other", ASYMMETRIC)
async def test_an_algorithm_that_is_not_allowed_is_refused(algorithm: str, other: str) -> None:
    """Also where the key could do it: PS256 is not RS256."""
    keys = login({"algorithms": [algorithm], "key": pem(private_key(algorithm))})
    if other != algorithm:
        assert (await refused(mint(other), keys)).detail == "the token is signed with an algorithm that is not allowed"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "HS256", "hs256", "ES256K", "RS1", "dir"])
async def test_other_algorithms_are_refused(name: str) -> None:
    """`none` in every spelling, and what no one allowed."""
    assert (await refused(mint(header={"alg": name}), login())).final
    unsigned = f"{b64(json.dumps({'alg': name}))}.{b64(json.dumps(claims()))}."
    assert isinstance(await outcome_of(unsigned, login()), Refused)


@pytest.mark.parametrize("form", ["pem", "pem without its end", "der", "jwk"])
async def test_a_public_key_is_no_secret(form: str) -> None:
    """The confusion of RSA and HMAC: a token whose HMAC secret is the public key, in every form of that."""
    key = private_key("RS256")
    secret = {
        "pem": pem(key),
        "pem without its end": pem(key).strip(),
        "der": "".join(pem(key).splitlines()[1:-1]),
        "jwk": json.dumps(jwk(key)),
    }[form]
    for allowed in (["RS256"], ["RS256", "PS256"]):
        keys = login({"algorithms": allowed, "key": pem(key)})
        assert isinstance(await outcome_of(mint("HS256", secret), keys), Refused)
        assert isinstance(await outcome_of(mint("HS256", secret, header={"alg": "RS256"}), keys), Refused)


async def test_keys_that_the_token_brings_along_are_not_used() -> None:
    """`jwk`, `jku`, `x5u`, `x5c` of an attacker: the signature is looked at with the issuer's key only."""
    attacker = private_key("RS256", "attacker")
    brought: dict[str, Any] = {
        "jwk": jwk(attacker, kid="k"),
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/chain",
        "x5c": ["MIIB"],
    }
    for header in ({name: value} for name, value in brought.items()):
        assert (await refused(mint(key=attacker, header=header), login())).detail == "the token's signature is wrong"
        assert isinstance(await outcome_of(mint(header=header), login()), Recognised)


@pytest.mark.parametrize(
    "kid", ["../../dev/null", "/etc/passwd", "' OR 1=1 --", "http://127.0.0.1:1/", "a\x00b", "x" * 256]
)
async def test_a_kid_is_a_name_and_nothing_else(kid: str) -> None:
    """A path, a query or a URL in `kid` names no key, and is not followed."""
    keys = login({"key": pem(private_key("RS256"))})
    assert (await refused(mint(key=private_key("RS256", "attacker"), header={"kid": kid}), keys)).final
    assert isinstance(await outcome_of(mint("HS256", b"", header={"kid": kid}), keys), Refused)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"b64": True},
        {"crit": ["http://example.com/x"], "http://example.com/x": True},
        {"crit": "b64"},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"cty": "JWT"},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "secevent+jwt"},
        {"typ": 1},
        {"kid": 1},
        {"kid": ["a"]},
        {"kid": {}},
        {"kid": "x" * 257},
        {"alg": None},
        {"alg": ["RS256"]},
        {"alg": 256},
    ],
)
async def test_headers_that_change_the_meaning_are_refused(header: dict[str, Any]) -> None:
    """Extensions, compression, nesting, other types of token, and values of another type."""
    assert isinstance(await outcome_of(mint(header=header), login()), Refused)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "JOSE"])
async def test_usual_types_are_taken(kind: str) -> None:
    """`typ` of a JWT or an access token (RFC 9068), in any case."""
    assert isinstance(await outcome_of(mint(header={"typ": kind}), login()), Recognised)


@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"RS256","alg":"none"}',
        '{"alg":"none","alg":"RS256"}',
        '{"alg":"RS256","kid":"a","kid":"b"}',
        '{"alg":"RS256","x":{"a":1,"a":2}}',
        '{"alg":"RS256"',
        '{"alg":"RS256"}x',
        '["RS256"]',
        '"RS256"',
        "null",
        "",
        " ",
        "\ufeff{}",
        '{"alg":"RS256","x":NaN}',
        '{"alg":"RS256","x":Infinity}',
        "{'alg':'RS256'}",
        '{"alg":"RS256",}',
        '{"a\\u006cg":"none","alg":"RS256"}',
        "[" * 5000,
        '{"alg":"RS256","x":' + "[" * 4000 + "]" * 4000 + "}",
    ],
)
async def test_headers_that_are_not_plain_json_are_refused(text: str) -> None:
    """A member twice, however it is written, or what is no JSON object."""
    assert isinstance(await outcome_of(mint(header=text), login()), Refused)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ',"sub":"admin"}',
        lambda text: '{"sub":"admin",' + text[1:],
        lambda text: text[:-1] + ',"s\\u0075b":"admin"}',
        lambda text: text[:-1] + ',"exp":99999999999}',
        lambda text: text[:-1] + ',"x":{"a":1,"a":2}}',
        lambda text: f"[{text}]",
        lambda text: text + text,
        lambda text: text[:-1],
        lambda text: text.encode("utf-16").decode("latin-1"),
        lambda text: "",
        lambda text: "null",
    ],
)
async def test_payloads_that_can_be_read_in_two_ways_are_refused(change: Callable[[str], str]) -> None:
    """Claims twice, other encodings than UTF-8, and what is no object: though the issuer signed it."""
    assert isinstance(await outcome_of(mint(payload=change(json.dumps(claims()))), login()), Refused)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"{\xff}", '{"iss":1}'.encode("utf-32"), b'{"sub":"\xc0\xaf"}'])
async def test_payloads_that_are_not_utf8_are_refused(data: bytes) -> None:
    """Whatever a lenient reader would make of them."""
    signed = f"{b64(json.dumps({'alg': 'RS256'}))}.{b64(data)}"
    token = f"{signed}.{b64(signature('RS256', private_key('RS256'), signed))}"
    assert isinstance(await outcome_of(token, login()), Refused)


def _respell(part: str) -> str:
    """The same bytes with other bits where none count."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]


MISSPELT: list[Callable[[str, str, str], str]] = [
    lambda h, p, s: f"{h}=.{p}.{s}",
    lambda h, p, s: f"{h}.{p}==.{s}",
    lambda h, p, s: f"{h}.{p}.{s}==",
    lambda h, p, s: f"{h}.{p}.{s}=",
    lambda h, p, s: f"{h}.{p}.{_respell(s)}",
    lambda h, p, s: f"{h}.{p}.{s}A",
    lambda h, p, s: f"{h}.{p}.{s}AAAA",
    lambda h, p, s: f"{h}.{p}.{s[:-4]}",
    lambda h, p, s: f"{h}.{p}.{s} ",
    lambda h, p, s: f"{h}.{p}. {s}",
    lambda h, p, s: f"{h} .{p}.{s}",
    lambda h, p, s: f"{h}.{p}\n.{s}",
    lambda h, p, s: f"{h}.{p}.?{s}",
    lambda h, p, s: f"{h}?.{p}.{s}",
    lambda h, p, s: f"{h}####.{p}.{s}",
    lambda h, p, s: f"{h}.{p}.{s.replace('-', '+').replace('_', '/')}+/",
    lambda h, p, s: f"{h}.{p}",
    lambda h, p, s: f"{h}.{p}.",
    lambda h, p, s: f"{h}..{s}",
    lambda h, p, s: f".{p}.{s}",
    lambda h, p, s: f"{p}.{s}",
    lambda h, p, s: f"{h}.{p}.{s}.",
    lambda h, p, s: f"{h}.{p}.{s}.x",
    lambda h, p, s: f".{h}.{p}.{s}",
    lambda h, p, s: f"{h}.{p}.x.{s}.y",
    lambda h, p, s: "..",
    lambda h, p, s: "",
    lambda h, p, s: f"{h}%2E{p}%2E{s}",
    lambda h, p, s: json.dumps({"protected": h, "payload": p, "signature": s}),
    lambda h, p, s: f"{h}.{p}.{s}, {h}.{p}.{s}",
    lambda h, p, s: f'"{h}.{p}.{s}"',
    lambda h, p, s: f"{h}.{p}.{s}\u00e9",
]


@pytest.mark.parametrize("number", range(len(MISSPELT)))
async def test_there_is_one_way_to_write_a_token(number: int) -> None:
    """Padding, bits that do not count, white space, other alphabets, parts that are missing or too many."""
    header, payload, signed = mint().split(".")
    outcome = await outcome_of(MISSPELT[number](header, payload, signed), login())
    assert isinstance(outcome, Refused), outcome


@pytest.mark.parametrize("part", [0, 1, 2])
@settings(deadline=None)
@given(data=st.data())
def test_a_changed_character_makes_a_token_wrong(part: int, data: st.DataObject) -> None:
    """Whichever it is, and whatever it becomes."""
    parts = TOKEN.split(".")
    at = data.draw(st.integers(0, len(parts[part]) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
    parts[part] = parts[part][:at] + character + parts[part][at + 1 :]
    outcome = asyncio.run(outcome_of(".".join(parts), LOGIN))
    assert isinstance(outcome, Recognised) == (".".join(parts) == TOKEN)


LOGIN = login()
TOKEN = mint()


@settings(deadline=None)
@given(text=st.text(max_size=60), scheme_=st.sampled_from(["Bearer", "bearer", "BEARER"]))
def test_no_text_at_all_makes_it_fail(text: str, scheme_: str) -> None:
    """Whatever comes instead of a token is refused, and never an error of the gateway."""
    line = (b"authorization", f"{scheme_} {text}".encode("utf-8", "replace"))
    assert isinstance(asyncio.run(LOGIN.authenticate(request([line]))), Refused)


async def test_huge_tokens_are_refused_at_once() -> None:
    """Over 16 KiB nothing is decoded, also where the signature is right."""
    token = mint(payload=claims(x="y" * 16_000))
    assert "16 KiB" in (await refused(token, login())).detail
    assert isinstance(await outcome_of(mint(payload=claims(x="y" * 8_000)), login()), Recognised)


NOW = int(time.time())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"exp": None}, "the token has no exp"),
        ({"exp": NOW - 86_400}, "the token has expired"),
        ({"exp": str(NOW + 100)}, "the token's exp is not a time"),
        ({"exp": True}, "the token's exp is not a time"),
        ({"exp": [NOW + 100]}, "the token's exp is not a time"),
        ({"exp": -1}, "the token's exp is not a time"),
        ({"exp": 10**400}, "the token's exp is not a time"),
        ({"nbf": NOW + 86_400}, "the token does not hold yet"),
        ({"nbf": "x"}, "the token's nbf is not a time"),
        ({"iat": NOW + 86_400}, "the token was issued in the future"),
        ({"iat": {}}, "the token's iat is not a time"),
        ({"aud": None}, "the token has no valid audience (aud)"),
        ({"aud": "other"}, "the token is for another audience (aud)"),
        ({"aud": []}, "the token is for another audience (aud)"),
        ({"aud": ["other", "orders2"]}, "the token is for another audience (aud)"),
        ({"aud": ["orders", 1]}, "the token has no valid audience (aud)"),
        ({"aud": {"orders": True}}, "the token has no valid audience (aud)"),
        ({"sub": None}, "the token has no sub"),
        ({"sub": 17}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": ""}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": "a\r\nX-Admin: 1"}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": "a\x00"}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": " admin"}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": "\ud800"}, "the token's sub is not a name of at most 200 printable characters"),
        ({"sub": "x" * 201}, "the token's sub is not a name of at most 200 printable characters"),
        ({"scope": {"a": 1}}, "the token's scope is not a list of at most 500 names"),
        ({"scope": [1]}, "the token's scope has what is not a name"),
        ({"scope": [["a"]]}, "the token's scope has what is not a name"),
        ({"scope": ["a\n"]}, "the token's scope has what is not a name"),
        (
            {"scope": " ".join("abcdefgh"[i % 8] + str(i) for i in range(501))},
            "the token's scope is not a list of at most 500 names",
        ),
        ({"iss": None}, "the token is of an issuer that is not known"),
        ({"iss": "https://login.example.com"}, "the token is of an issuer that is not known"),
        ({"iss": [ISSUER]}, "the token is of an issuer that is not known"),
        ({"iss": {}}, "the token is of an issuer that is not known"),
    ],
)
async def test_claims_that_do_not_hold_are_refused(change: dict[str, Any], why: str) -> None:
    """Times that are no numbers, audiences that are others, names that would break a header line."""
    assert (await refused(mint(payload=claims(**change)), login())).detail == why


@pytest.mark.parametrize(
    "change",
    [
        {"exp": -30},
        {"exp": 100.5},
        {"nbf": 30},
        {"iat": 30},
        {"nbf": None, "iat": None},
        {"aud": ["x", "orders"]},
        {"scope": None},
        {"scope": ""},
        {"scope": []},
    ],
)
async def test_claims_that_hold_are_taken(change: dict[str, Any]) -> None:
    """Clocks may differ by 60 s; an audience may be one of several."""
    now = time.time()  # not when the test was collected: the suite may take longer than the leeway
    dated = {name: now + value if isinstance(value, int | float) else value for name, value in change.items()}
    assert isinstance(await outcome_of(mint(payload=claims(**dated)), login()), Recognised)


async def test_required_claims_must_be_there() -> None:
    """Also those within another."""
    keys = login({"key": pem(private_key("RS256")), "required_claims": ["jti", "org.id"]})
    assert (await refused(mint(payload=claims(jti="1")), keys)).detail == "the token has no org.id"
    assert isinstance(await outcome_of(mint(payload=claims(jti="1", org={"id": 0})), keys), Recognised)


async def test_an_empty_list_of_audiences_looks_at_none() -> None:
    """That is written out, because it is seldom right."""
    keys = login({"key": pem(private_key("RS256")), "audiences": []})
    assert isinstance(await outcome_of(mint(payload=claims(aud=None)), keys), Recognised)


async def test_a_token_of_one_issuer_is_not_taken_for_another() -> None:
    """The key, the algorithms and the audiences are those of the issuer that it names."""
    other = "https://other.example.com/"
    keys = login(
        {"key": pem(private_key("RS256"))},
        {"issuer": other, "algorithms": ["ES256"], "key": pem(private_key("ES256")), "audiences": ["bills"]},
    )
    assert isinstance(await outcome_of(mint("ES256", payload=claims(iss=other, aud="bills")), keys), Recognised)
    for token in (
        mint("ES256"),
        mint("RS256", payload=claims(iss=other, aud="bills")),
        mint("ES256", payload=claims(iss=other)),
        mint("ES256", private_key("ES256", "attacker"), claims(iss=other, aud="bills")),
    ):
        assert isinstance(await outcome_of(token, keys), Refused)


@pytest.mark.parametrize("curve", [ec.SECP256K1(), ec.SECP384R1()])
async def test_a_key_on_another_curve_does_not_verify(curve: ec.EllipticCurve) -> None:
    """ES256 is P-256, and no other curve."""
    key = ec.generate_private_key(curve)
    keys = login({"algorithms": ["ES256"], "key": pem(private_key("ES256"))})
    signed = mint("ES256").rpartition(".")[0]
    signed_by_it = b64(signature("ES256", private_key("ES256", "x"), signed))
    assert isinstance(await outcome_of(f"{signed}.{signed_by_it}", keys), Refused)
    with pytest.raises(Exception, match=r"no key is for any|not a key for"):
        login({"algorithms": ["ES256"], "key": pem(key)})


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0), (1, 1)])
async def test_degenerate_signatures_do_not_verify(numbers: tuple[int, int]) -> None:
    """r and s of zero ("psychic signatures"), one, the order, and DER instead of r and s."""
    keys = login({"algorithms": ["ES256"], "key": pem(private_key("ES256"))})
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    header_and_payload = mint("ES256").rpartition(".")[0]
    for r, s in (numbers, (numbers[0] or order, numbers[1] or order - 1)):
        forged = b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        assert (await refused(f"{header_and_payload}.{forged}", keys)).detail == "the token's signature is wrong"
    der = private_key("ES256").sign(header_and_payload.encode(), ec.ECDSA(hashes.SHA256()))
    assert isinstance(await outcome_of(f"{header_and_payload}.{b64(der)}", keys), Refused)


async def test_a_verified_token_is_remembered_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not a moment longer, leeway or not: then it is looked at again."""
    keys = login()
    expires = time.time() + 1000
    token = mint(payload=claims(exp=expires))
    first = await taken(token, keys)
    assert await outcome_of(token, keys) is first
    clock = expires - 1
    monkeypatch.setattr(time, "time", lambda: clock)
    assert await outcome_of(token, keys) is first
    clock = expires
    within_leeway = await taken(token, keys)
    assert within_leeway is not first
    assert await outcome_of(token, keys) is not within_leeway
    clock = expires + 60
    assert (await refused(token, keys)).detail == "the token has expired"


async def test_the_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes: the one that was not used for longest goes first; one that is large is never kept."""
    monkeypatch.setattr("gateway.auth.jwt.REMEMBERED", 64 * 1024)
    keys = login({"algorithms": ["HS256"], "secret": SECRET})
    tokens = [mint("HS256", SECRET, claims(sub=f"user-{number}")) for number in range(50)]
    first = [await taken(token, keys) for token in tokens]
    assert await taken(tokens[-1], keys) is first[-1]
    assert await taken(tokens[-2], keys) is first[-2]
    assert await taken(tokens[0], keys) is not first[0]
    large = mint("HS256", SECRET, claims(x="y" * 5000))
    assert await outcome_of(large, keys) is not await outcome_of(large, keys)


@pytest.mark.parametrize("claim", ["x" * 2500, [[] for _ in range(1000)], {f"c{n}": n for n in range(250)}])
async def test_many_large_tokens_do_not_fill_the_memory(claim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Valid tokens of 4 KiB, whatever their claims become as objects, cost no more than is allowed for them."""
    monkeypatch.setattr("gateway.auth.jwt.REMEMBERED", 256 * 1024)
    keys = login({"algorithms": ["HS256"], "secret": SECRET})
    tracemalloc.start()
    try:
        for number in range(60):
            await taken(mint("HS256", SECRET, claims(sub=f"user-{number}", x=claim)), keys)
        assert tracemalloc.get_traced_memory()[0] < 1.4 * 256 * 1024
    finally:
        tracemalloc.stop()


async def test_claims_become_an_identity() -> None:
    """Names of claims are configured, also of those within others."""
    names = {"consumer": "azp", "tenant": "org.name", "groups": "realm_access.roles", "scopes": "scp"}
    keys = login({"key": pem(private_key("RS256")), "claims": names})
    payload = claims(azp="shop", org={"name": "acme"}, realm_access={"roles": ["gold", "eu"]}, scp=["a:read", "b"])
    token = mint(payload=payload)
    identity = (await taken(token, keys)).identity
    assert (identity.consumer, identity.tenant, identity.scheme) == ("shop", "acme", "login")
    assert identity.groups == {"gold", "eu"}
    assert identity.scopes == {"a:read", "b"}
    assert identity.claims["realm_access"] == {"roles": ["gold", "eu"]}
    assert token not in repr(identity)


async def test_a_subject_can_be_a_consumer() -> None:
    """Its tenant and groups count; scopes of the token go before those of the consumer."""
    consumer = {"name": "acme-app", "tenant": "acme", "groups": ["gold"], "scopes": ["x"], "subjects": ["user-17"]}
    keys = login(consumers=[consumer])
    identity = (await taken(mint(), keys)).identity
    assert (identity.consumer, identity.tenant) == ("acme-app", "acme")
    assert identity.groups == {"gold"}
    assert identity.scopes == {"x"}
    assert (await taken(mint(payload=claims(scope="y z")), keys)).identity.scopes == {"y", "z"}


async def test_a_consumer_cannot_be_taken_over_by_its_name() -> None:
    """A subject called like a consumer of auth.yaml is refused, unless the consumer lists it, for this issuer."""
    elsewhere = {"subject": "acme-app", "issuer": "https://other.example.com/"}
    for subjects in ([], [elsewhere], ["somebody"]):
        keys = login(consumers=[{"name": "acme-app", "subjects": subjects}])
        outcome = await refused(mint(payload=claims(sub="acme-app")), keys)
        assert outcome.kind is ErrorKind.FORBIDDEN
        assert outcome.detail.endswith("add it to subjects of the consumer in auth.yaml")
    keys = login(consumers=[{"name": "acme-app", "subjects": [{"subject": "acme-app", "issuer": ISSUER}]}])
    assert isinstance(await outcome_of(mint(payload=claims(sub="acme-app")), keys), Recognised)


async def test_what_is_no_bearer_token_is_not_looked_at() -> None:
    """Other schemes may know it."""
    basic = (b"authorization", b"Basic " + b64encode(b"a:b"))
    for headers in (
        [],
        [basic],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearerx y")],
        [(b"x-authorization", b"Bearer x")],
    ):
        assert await login().authenticate(request(headers)) is None


async def test_a_token_of_another_issuer_may_be_for_the_next_scheme() -> None:
    """One that is no JWT, or of an issuer that is not known, is not refused for good."""
    assert not (await refused("opaque", login())).final
    assert not (await refused(mint(payload=claims(iss="x")), login())).final
    assert (await refused(mint(payload=claims(aud="x")), login())).final


async def test_the_challenge_says_what_is_wrong() -> None:
    """RFC 6750, 3: an error where there was a token, none where there was none."""
    keys = login()
    assert keys.challenge(None) == b'Bearer realm="gateway"'
    expired = await refused(mint(payload=claims(exp=NOW - 120)), keys)
    assert keys.challenge(expired) == (
        b'Bearer realm="gateway", error="invalid_token", error_description="the token has expired"'
    )


async def test_several_keys_without_names_are_tried() -> None:
    """A PEM file with the old key and the new one bridges a rotation."""
    old, new = private_key("RS256", "old"), private_key("RS256", "new")
    keys = login({"key": pem(old) + pem(new)})
    for key in (old, new):
        assert isinstance(await outcome_of(mint(key=key, header={"kid": "any"}), keys), Recognised)
    assert isinstance(await outcome_of(mint(key=private_key("RS256", "third")), keys), Refused)


RSA, EC = private_key("RS256", "shared"), private_key("ES256", "shared")
OTHER = private_key("RS256", "another")
SETS: list[list[dict[str, Any]]] = [
    [jwk(RSA, kid="k", alg=algorithm) for algorithm in ("RS256", "RS384", "RS512")],
    [jwk(RSA, kid="k"), jwk(EC, kid="k")],
    [jwk(RSA, kid="k", use="enc"), jwk(RSA, kid="k", use="sig")],
    [jwk(OTHER, kid="k", key_ops=["encrypt"]), jwk(RSA, kid="k", key_ops=["verify", "sign"], use="sig")],
    [jwk(OTHER, kid="k", x5c=["MIIB"]), jwk(RSA, kid="k", x5c=["MIIB"])],
    [jwk(OTHER, kid="k"), jwk(RSA, kid="k")],
    [*(jwk(private_key("RS256", f"old-{number}"), kid="k") for number in range(4)), jwk(RSA, kid="k")],
    [jwk(EC, kid="k"), jwk(RSA, kid="k"), jwk(RSA, kid="k")],
    [jwk(OTHER, kid="other"), jwk(RSA)],
]


@pytest.mark.parametrize("number", range(len(SETS)))
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
async def test_keys_that_share_a_kid_all_count(number: int, turned: bool, tmp_path: Path) -> None:
    """Which is meant, type, algorithm, use and signature say, in whatever order the set has them (RFC 7517, 4.5)."""
    keys = SETS[number][::-1] if turned else SETS[number]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
    allowed = ["RS256", "RS384", "RS512", "ES256"]
    shared = scheme(jwt_auth({"algorithms": allowed, "key_file": "keys.json"}), "login", tmp_path)
    for algorithm in ("RS256", "RS384", "RS512") if number != 1 else ("RS256", "ES256"):
        token = mint(algorithm, EC if algorithm == "ES256" else RSA, header={"kid": "k"})
        assert isinstance(await outcome_of(token, shared), Recognised), algorithm
    stranger = mint("RS256", private_key("RS256", "stranger"), header={"kid": "k"})
    assert (await refused(stranger, shared)).detail == "the token's signature is wrong"


def test_a_short_rsa_key_is_an_error() -> None:
    """Under 2,048 bits, the configuration is refused."""
    with pytest.raises(Exception, match="it has 1024 bits"):
        login({"key": pem(rsa.generate_private_key(65537, 1024))})
