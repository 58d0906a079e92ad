from hypothesis import example, given
from hypothesis import strategies as st

from gateway.http import Identity
from gateway.limits.keys import compile_key
from tests.limits.support import exchange

ACME = Identity("acme", "keys", tenant="corp", groups=frozenset({"gold"}), claims={"plan": "x", "ids": [1, 2]})


def key(*parts: str, client: str = "10.0.0.1", identity: Identity | None = None, **headers: str) -> str:
    return compile_key(parts)(exchange(client, identity, **headers))


def test_requests_of_one_consumer_count_together() -> None:
    """Wherever a consumer calls from, it has one key."""
    assert key("consumer", identity=ACME) == key("consumer", identity=ACME, client="10.0.0.2")
    assert key("tenant", identity=ACME) == "=corp"


def test_what_is_not_there_is_replaced_by_the_address() -> None:
    """Unauthenticated callers are distinguished by their address, for each kind of part."""
    for part in ("consumer", "tenant", "header:x-session", "claim:plan"):
        assert key(part, client="10.0.0.1") == key(part, client="10.0.0.1") != key(part, client="10.0.0.2")
    assert key("claim:none", identity=ACME) == "@10.0.0.1"
    assert key("tenant", identity=Identity("lonely", "keys")) == "@10.0.0.1"


def test_no_consumer_can_be_called_like_an_address() -> None:
    """A consumer named 10.0.0.1 does not count for the client with that address."""
    assert key("consumer", identity=Identity("10.0.0.1", "keys")) != key("consumer", client="10.0.0.1")


def test_an_ipv6_customer_is_one_client() -> None:
    """All addresses of a /64 network count together; an IPv4 address in IPv6 is that IPv4 address."""
    assert key("address", client="2001:db8::1") == key("address", client="2001:db8::ffff:1")
    assert key("address", client="2001:db8::1") != key("address", client="2001:db8:0:1::1")
    assert key("address", client="::ffff:10.0.0.1") == key("address", client="10.0.0.1")


def test_a_host_counts_however_it_is_written() -> None:
    """A client has no second budget in capitals, with a port or with a dot."""
    keys = {key("header:host", Host=host) for host in ("api.test", "API.TEST", "api.test:9000", "api.test.")}
    assert len(keys) == 1
    assert key("header:host", Host="other.test") not in keys


def test_secrets_are_not_kept() -> None:
    """Of the values of headers and claims there is only a hash in the key."""
    assert "secret" not in key("header:authorization", authorization="Bearer secret")
    assert "secret" not in key("claim:plan", identity=Identity("a", "jwt", claims={"plan": "secret"}))
    assert key("claim:ids", identity=ACME) != key("claim:plan", identity=ACME)


@example(("a", "b=c"), ("a=b", "c"))
@given(st.tuples(st.text(max_size=20), st.text(max_size=20)), st.tuples(st.text(max_size=20), st.text(max_size=20)))
def test_several_parts_cannot_be_confused(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Two callers with different consumers or tenants never have the same key, whatever they are called."""
    keys = [key("consumer", "tenant", identity=Identity(name, "keys", tenant=tenant)) for name, tenant in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


def test_a_name_without_end_does_not_fill_the_memory() -> None:
    """Names that a token issuer made very long are kept as a hash."""
    assert len(key("consumer", identity=Identity("x" * 10_000, "jwt"))) < 130


def test_a_name_that_is_no_text_does_no_harm() -> None:
    """What a token may call its subject and no database takes, such as half of a character, is kept as a hash."""
    assert key("consumer", identity=Identity("\ud800", "jwt")).isascii()
    assert key("consumer", identity=Identity("\0", "jwt")).isascii()


def _nested(depth: int, inner: object) -> object:
    for _ in range(depth):
        inner = [inner]
    return inner


ODD_CLAIMS = [
    2**64,
    -(2**64),
    2**64 + 1,
    10**6000,
    10**6000 + 1,
    "\ud800",
    "\udfff",
    "x" * 1_000_000 + "\ud800",
    {"a": "\ud800"},
    {"\ud800": "a"},
    {"a": 2**70, "b": 1},
    {"a": 2**70, "b": "1"},
    {"a": 2**70, "b": True},
    {"a": 2**70, "b": None},
    [2**70, ["a"], "b"],
    [2**70, ["a", "b"]],
    _nested(400, "deep"),
    _nested(400, "other"),
    _nested(100_000, {"a": 1}),
    float("nan"),
    float("inf"),
    -float("inf"),
    [None],
    [float("inf")],
    {"a": float("-inf")},
    {"a": None},
    True,
    1,
    "1",
    1.5,
    [],
    {},
    "",
    [1],
]


def test_any_claim_is_a_key_of_its_own() -> None:
    """Whatever a token says, huge numbers, half characters and deep nesting too: equal claims count together, no others
    do, and no key is long."""
    key = compile_key(["claim:odd"])
    keys = [key(exchange(identity=Identity("acme", "jwt", claims={"odd": value}))) for value in ODD_CLAIMS]
    assert keys == [key(exchange(identity=Identity("acme", "jwt", claims={"odd": value}))) for value in ODD_CLAIMS]
    assert len(set(keys)) == len(ODD_CLAIMS)
    assert max(map(len, keys)) < 64


def test_the_order_of_members_is_nothing_to_a_key() -> None:
    """A claim that is an object counts as the same in whatever order its members come."""
    key = compile_key(["claim:odd"])
    for large in (1, 2**70):
        orders = ({"a": large, "b": [{"c": 1, "d": 2}]}, {"b": [{"d": 2, "c": 1}], "a": large})
        one, two = (key(exchange(identity=Identity("acme", "jwt", claims={"odd": value}))) for value in orders)
        assert one == two


def test_no_key_is_long() -> None:
    """What is kept of a key is bounded, however many parts it has and however long each is."""
    parts = ["consumer", "tenant", "header:x-a", "header:x-b", "claim:c", "address", "route"]
    key = compile_key(parts)
    identity = Identity("c" * 128, "jwt", tenant="t" * 128, claims={"c": "x" * 100_000})
    one = key(exchange(identity=identity, X_A="a" * 8000, X_B="b" * 8000))
    other = key(exchange(identity=identity, X_A="a" * 8000, X_B="c" * 8000))
    assert one != other
    assert max(len(one), len(other)) <= 128
