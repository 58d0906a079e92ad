"""Whole tokens and key sets of Wycheproof, which no one here made, on the way that the token of a request takes.

They are in wycheproof_jws.json, under Apache-2.0; it says where they are from and what of them is left out. They sign
"foo" and the like. Here that stands for claims that hold, and all the rest is real: so what is refused is refused for
its form, its header, its signature or its key, and for which of these is looked at, too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.auth import token as tokens
from gateway.auth.fetching import Fetched, FetchError
from gateway.auth.jwk import ALGORITHMS, KeyUnfitError, from_jwk, from_jwks
from gateway.auth.jwks import _fit_keys
from gateway.auth.jwt import WRONG_ALGORITHM, WRONG_SIGNATURE, Jwt
from gateway.auth.key_set import UNKNOWN_KEY, FixedKeys
from gateway.auth.scheme import Recognised, Refused
from gateway.auth.token import base64url
from gateway.auth.token_times import TokenTimes
from gateway.config.problems import ConfigError

from .support import ISSUER, SECRET, b64, claims, jwt_auth, request, scheme

SIGNATURE, ALGORITHM, KEY = WRONG_SIGNATURE.detail, WRONG_ALGORITHM.detail, UNKNOWN_KEY.detail
FORM = "the token is not three parts of base64url without padding"
SPELLING = "a part of the token is not written as base64url writes it"
USE, OPERATIONS = "its use is not sig", "its key_ops do not have verify"
ALG, NUMBERS = "its alg is not one for keys of its type", "its numbers are not those of a key of its type"
SHORT = "a secret of less than 32 bytes is too short"

ALGORITHMS_OF = {
    "oct": ["HS256", "HS384", "HS512"],
    "RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "EC": ["ES256", "ES384", "ES512"],
}
"""What an issuer allows, by the type of its keys."""


def _changed(part: str, old: bytes, new: bytes) -> str:
    """A part of a token with other bytes in it."""
    return b64(base64url(part.encode()).replace(old, new))


DERIVED: list[tuple[Callable[[str, str, str], str], str]] = [
    (lambda h, p, s: f"{h}.{p}.X{s[1:]}", SIGNATURE),
    (lambda h, p, s: f"{h}.{p}.", FORM),
    (lambda h, p, s: f"{h}.{p}", FORM),
    (lambda h, p, s: f"{h}.{_changed(p, b'foo', b'Xoo')}.{s}", SIGNATURE),
    (lambda h, p, s: f"{h}..{s}", FORM),
    (lambda h, p, s: f"{h}.{s}", FORM),
    (lambda h, p, s: f"{_changed(h, b'kid-', b'Xid-')}.{p}.{s}", KEY),
    (lambda h, p, s: f".{p}.{s}", FORM),
    (lambda h, p, s: f"{p}.{s}", FORM),
    (lambda h, p, s: f".{p}.", FORM),
    (lambda h, p, s: p, FORM),
    (lambda h, p, s: "", FORM),
    (lambda h, p, s: f"{h}.{p}.{s}.", FORM),
    (lambda h, p, s: f"{h}.{p}.{s}.foo", FORM),
]
"""What is made of the header, payload and signature of a token, by ascending tcId, and why that is not taken."""

REASONS: dict[str, dict[int, str]] = {
    "json_web_signature": {
        16: FORM,  # the algorithm is none, and there is no signature
        17: FORM,  # JSON instead of the compact form
        31: ALGORITHM,  # HS256, and the public key is the secret
        **dict.fromkeys(range(332, 341, 2), KEY),  # signed well with an algorithm that the key is not for
        **dict.fromkeys(range(341, 345), FORM),  # none, NONE, and no signature
        353: USE,
        354: USE,
        355: OPERATIONS,
        356: OPERATIONS,
        **dict.fromkeys([*range(360, 367), 368, 369, 371], FORM),  # spaces, # and ?
        374: SPELLING,  # bits that do not count
        375: SPELLING,
    },
    "json_web_key": {
        1: "it mixes secrets with public keys",
        4: "another key has the same kid",
        6: USE,
        7: "it was made by a device whose keys can be factored",
        8: "it has 1024 bits",
        9: NUMBERS,  # the exponent is 1
        10: SHORT,
        11: ALG,  # a secret that is long enough for HS256 only
        12: ALG,
        16: SHORT,
        17: SHORT,
        18: SHORT,
        19: ALG,
        20: ALG,
        21: USE,
        22: NUMBERS,  # the point is not on its curve
        23: NUMBERS,  # and not on another
        24: "it has no n",
        25: ALG,
        26: ALG,
    },
}
"""Why a token is not taken, or its keys are not, by the tcId. All that are not here: the signature is wrong."""

STRICTER: list[tuple[str, list[int], str]] = [
    ("a token without a payload does not say who bears it", [259, 264, 268, 272, 320, 325], FORM),
    ("a key that names its algorithm is for no other (RFC 7517, 4.4): PS256, not PS384", [346, 350], KEY),
    ("there is no algorithm ES521; that for P-521 is ES512 (RFC 7518, 3.4)", [347, 351], ALG),
    ("characters that base64url does not have are not skipped (RFC 7515, 2)", [372, 373], FORM),
]
"""Vectors that are valid there and refused here: why, their tcIds, and the message."""

MILDER = {367: 357, 370: 357}
"""What is invalid there and taken here: it was to have padding, and has not. It is the token of this other tcId."""


@dataclass(frozen=True)
class Vector:
    """One token. `reason`: why it is not taken; none: it is."""

    number: int  # the tcId
    valid: bool
    token: str
    reason: str | None


@dataclass(frozen=True)
class Group:
    """Tokens for the same keys."""

    file: str
    keys: list[dict[str, Any]]
    vectors: list[Vector]

    def __str__(self) -> str:
        return f"{self.file}-{self.vectors[0].number}"


def _group(file: str, group: dict[str, Any]) -> Group:
    vectors = [
        Vector(number, result == "valid", token, _reason(file, number, result == "valid"))
        for number, result, token in group["tests"]
    ]
    parts = vectors[0].token.split(".")
    for number, (change, reason) in enumerate(DERIVED[: group["derived"]], vectors[0].number + 1):
        vectors.append(Vector(number, False, change(*parts), reason))
    return Group(file, group["keys"], vectors)


def _reason(file: str, number: int, valid: bool) -> str | None:
    if file == "json_web_signature":
        for _, numbers, verdict in STRICTER:
            if number in numbers:
                return verdict
        if number in MILDER:
            return None
    return None if valid else REASONS[file].get(number, SIGNATURE)


DATA: dict[str, Any] = json.loads(Path(__file__).with_name("wycheproof_jws.json").read_text())
GROUPS = [_group(file, group) for file in REASONS for group in DATA[file]]


@pytest.fixture(autouse=True)
def any_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every payload that is base64url stands for the same claims, which hold."""
    read = tokens._object

    def read_header(part: bytes, what: str) -> dict[str, Any]:
        if what == "header":
            return read(part, what)
        base64url(part)
        return claims()

    monkeypatch.setattr(tokens, "_object", read_header)


def login(keys: list[dict[str, Any]], base: Path, *, every: bool) -> Jwt:
    """The scheme with these keys and the algorithms for them, or `every`. Raises an error where the keys are unfit."""
    kinds = {jwk["kty"] for jwk in keys}
    allowed = [name for kind in kinds for name in ALGORITHMS_OF[kind]]
    if "oct" in kinds:  # a secret is a text in auth.yaml, and these are none: they are put in place of one
        found = scheme(jwt_auth({"algorithms": ALGORITHMS_OF["oct"], "secret": SECRET}), "login")
        fit, wrong = from_jwks({"keys": keys})
        if wrong:
            raise KeyUnfitError("; ".join(wrong))
    else:
        (base / "keys.json").write_text(json.dumps({"keys": keys}))
        found = scheme(jwt_auth({"algorithms": allowed, "key_file": "keys.json"}), "login", base)
        fit = []
    assert isinstance(found, Jwt)
    issuer = found._issuers[ISSUER]
    if fit:
        issuer = replace(issuer, keys=FixedKeys(fit))
    if every:
        issuer = replace(issuer, algorithms=frozenset({*ALGORITHMS, "none", "NONE"}))
    return Jwt("login", {ISSUER: issuer}, found._subjects, "gateway", TokenTimes(), forward=False)


async def refusals(group: Group, base: Path, *, every: bool) -> dict[int, str | None]:
    """Why a request with each of the tokens is refused; none: it is not."""
    try:
        jwt = login(group.keys, base, every=every)
    except (ConfigError, KeyUnfitError) as error:
        return dict.fromkeys((vector.number for vector in group.vectors), str(error))
    found: dict[int, str | None] = {}
    for vector in group.vectors:
        outcome = await jwt.authenticate(request(token=vector.token))
        assert isinstance(outcome, Recognised | Refused), vector.number
        found[vector.number] = outcome.detail if isinstance(outcome, Refused) else None
    return found


@pytest.mark.parametrize("every", [False, True], ids=["its algorithms", "every algorithm"])
@pytest.mark.parametrize("group", GROUPS, ids=str)
async def test_tokens_are_taken_or_refused_as_wycheproof_says(group: Group, every: bool, tmp_path: Path) -> None:
    """And each for its own reason; where an issuer allows every algorithm, its keys alone refuse those of others."""
    found = await refusals(group, tmp_path, every=every)
    for vector in group.vectors:
        verdict, reason = found[vector.number], vector.reason
        if every and reason == ALGORITHM:
            reason = KEY
        assert verdict is None if reason is None else reason in (verdict or "taken"), (vector.number, verdict)


def test_every_vector_is_there() -> None:
    """All 401 of the one file and all 26 of the other, with no other difference than those listed."""
    numbers = {file: sorted(v.number for g in GROUPS if g.file == file for v in g.vectors) for file in REASONS}
    assert numbers == {"json_web_signature": list(range(1, 402)), "json_web_key": list(range(1, 27))}
    differing = {v.number for g in GROUPS for v in g.vectors if v.valid != (v.reason is None)}
    assert differing == {*MILDER, *(number for _, numbers, _ in STRICTER for number in numbers)}


def test_what_is_refused_though_wycheproof_takes_it_is_signed_well() -> None:
    """It is refused by a rule, and not because its signature could not be verified; 372 and 373 are in no alphabet."""
    strict = {number for _, numbers, _ in STRICTER for number in numbers} - {372, 373}
    for group in GROUPS:
        for vector in group.vectors:
            if group.file == "json_web_signature" and vector.number in strict:
                key = from_jwk({name: value for name, value in group.keys[0].items() if name != "alg"})
                signed, _, signature = vector.token.encode().rpartition(b".")
                algorithm = json.loads(base64url(signed.partition(b".")[0]))["alg"]
                assert key.verifies(algorithm, signed, base64url(signature)), vector.number
                strict.remove(vector.number)
    assert not strict


def test_what_is_taken_though_wycheproof_refuses_it_is_a_valid_token() -> None:
    """Character by character it is one that Wycheproof takes itself."""
    found = {v.number: v for g in GROUPS if g.file == "json_web_signature" for v in g.vectors}
    for number, same in MILDER.items():
        assert found[number].token == found[same].token
        assert found[same].valid


def test_unfit_keys_are_not_used_where_they_are_published() -> None:
    """Of these key sets an issuer can publish one that has a key; secrets that are published are no keys."""
    used = []
    for group in GROUPS:
        if group.file == "json_web_key":
            try:
                keys = _fit_keys(
                    Fetched("https://login.example.com/keys", json.dumps({"keys": group.keys}).encode(), None)
                )
            except FetchError:
                continue
            used.append((group.vectors[0].number, [key.kid for key in keys.keys]))
    assert used == [(5, ["kid-rsa-sign"])]
