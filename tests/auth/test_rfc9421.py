"""The examples of RFC 9421 are verified as the RFC has them. (B.2.4 is of a response, which is never signed here.)"""

from __future__ import annotations

from base64 import b64decode

import pytest

from gateway.algorithms.structured_fields import InnerList, parse_dictionary, serialise_member
from gateway.auth.signature_base import signature_base
from gateway.auth.signature_keys import SignatureKey, public_key, shared_key
from gateway.http import Exchange
from gateway.http.testing import make_exchange

from .rfc9421 import ED25519, HEADERS, VECTORS, Vector


def request(vector: Vector) -> Exchange:
    """The request of the examples."""
    exchange = make_exchange("POST", "/foo?param=Value&Pet=dog")
    exchange.headers = [(n.encode(), v.encode()) for n, v in (*HEADERS[1:], *vector.header)]
    exchange.fields, exchange.host = dict(exchange.headers), vector.host
    return exchange


def key(vector: Vector) -> SignatureKey:
    """The key of an example."""
    if vector.algorithm == "hmac-sha256":
        return shared_key(b64decode(vector.key))
    return public_key(vector.algorithm, vector.key.encode())


def covered(text: str) -> InnerList:
    """What a Signature-Input says."""
    member = parse_dictionary(f"sig={text}")["sig"]
    assert isinstance(member, InnerList)
    return member


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.section)
def test_the_examples_are_verified(vector: Vector) -> None:
    """The signature base is the RFC's, character by character, and the signature is right."""
    base = signature_base(request(vector), covered(vector.input))
    assert base.decode() == "\n".join([*vector.base, f'"@signature-params": {vector.input}'])
    assert key(vector).verifies(b64decode(vector.signature), base)
    assert serialise_member("sig", covered(vector.input)) == f"sig={vector.input}"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.section)
def test_any_changed_bit_is_noticed(vector: Vector) -> None:
    """A signature with one bit changed, cut short, or over another base, is wrong."""
    base, right = signature_base(request(vector), covered(vector.input)), b64decode(vector.signature)
    for wrong in (bytes([right[0] ^ 1]) + right[1:], right[:-1], right + b"\0", b"", right[::-1]):
        assert not key(vector).verifies(wrong, base)
    assert not key(vector).verifies(right, base + b" ")


TRANSFORMED = Vector(
    "B.4",
    "ed25519",
    ED25519,
    '("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"',
    "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==",
    host="example.org",
)


@pytest.mark.parametrize(
    ("method", "path", "host", "accept", "right"),
    [
        ("GET", "/demo?name1=Value1&Name2=value2", "example.org", ["application/json", "*/*"], True),
        ("GET", "/demo?name1=Value1&Name2=value2&param=added", "example.org", ["application/json", "*/*"], True),
        ("GET", "/demo?name1=Value1", "example.org", ["application/json, */*"], True),
        ("POST", "/demo?name1=Value1&Name2=value2", "example.com", ["application/json", "*/*"], False),
        ("GET", "/demo?name1=Value1&Name2=value2", "example.org", ["*/*", "application/json"], False),
    ],
)
def test_transformations_on_the_way(method: str, path: str, host: str, accept: list[str], right: bool) -> None:
    """B.4: what intermediaries may do to a message keeps its signature right, and nothing else does."""
    exchange = make_exchange(method, path, headers=[("accept", value) for value in accept])
    exchange.host = host
    base = signature_base(exchange, covered(TRANSFORMED.input))
    assert key(TRANSFORMED).verifies(b64decode(TRANSFORMED.signature), base) is right


def test_default_ports_are_no_part_of_the_authority() -> None:
    """2.2.3: `EXAMPLE.com:443` is example.com under https, and not under http."""
    exchange = make_exchange()
    exchange.host = "EXAMPLE.com:443"
    assert b'"@authority": example.com\n' in signature_base(exchange, covered('("@authority")'))
    exchange.scheme = "http"
    assert b'"@authority": example.com:443\n' in signature_base(exchange, covered('("@authority")'))


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ('"@target-uri"', "https://api.example.com/a/b?q=1&r=%20x&r2=a+b"),
        ('"@request-target"', "/a/b?q=1&r=%20x&r2=a+b"),
        ('"@scheme"', "https"),
        ('"@query-param";name="r"', "%20x"),
        ('"@query-param";name="r2"', "a%20b"),
        ('"x-dict";key="a"', "1;x=?0"),
        ('"x-dict";key="b"', "?1"),
        ('"x-dict";bs', ":YT0xO3g9PzA=:, :YiwgYz0oMSAyKQ==:"),
        ('"x-dict"', "a=1;x=?0, b, c=(1 2)"),
    ],
)
def test_components_are_derived(component: str, value: str) -> None:
    """2.1 and 2.2: parts of the URL, members of dictionaries, and fields as byte sequences."""
    headers = [("x-dict", "a=1;x=?0"), ("x-dict", "b, c=(1 2)")]
    exchange = make_exchange("GET", "/a/b?q=1&r=%20x&r2=a+b", headers=headers)
    first = signature_base(exchange, covered(f"({component})")).decode().split("\n")[0]
    assert first == f"{component}: {value}"


@pytest.mark.parametrize(
    "component",
    [
        '"x-none"',
        '"X-Dict"',
        '"@status"',
        '"@unknown"',
        '"@query-param"',
        '"@query-param";name="twice"',
        '"@query-param";name="none"',
        '"@method";req',
        '"x-dict";sf',
        '"x-dict";tr',
        '"x-dict";key="none"',
        '"x-dict";key="a";bs',
        '"@method" "@method"',
        "method",
        "1",
    ],
)
def test_components_that_are_not_there_are_refused(component: str) -> None:
    """What cannot be written down in one way only is never signed."""
    exchange = make_exchange("GET", "/?twice=1&twice=2", headers=[("x-dict", "a=1")])
    with pytest.raises(ValueError, match=r"."):
        signature_base(exchange, covered(f"({component})"))
