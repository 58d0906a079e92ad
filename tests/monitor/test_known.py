"""What a configuration knows that metrics have labels of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.config.models import ConsumerConfig, RouteConfig
from gateway.monitor.known import KEYS, known_of


def routes(*configs: dict[str, object]) -> list[RouteConfig]:
    return [RouteConfig.model_validate(each) for each in configs]


def consumer(name: str, **more: object) -> ConsumerConfig:
    return ConsumerConfig.model_validate({"name": name, **more})


def test_a_route_leads_where_its_requests_may_go() -> None:
    """Its target, what it is split to, and its fallback, in whichever way they are written; and nowhere, if refused."""
    known = known_of(
        routes(
            {"id": "a", "path": "/a", "target": "http://127.0.0.1:80", "split": [{"target": "canary", "weight": 5}]},
            {"id": "b", "path": "/b", "target": "shop", "fallback": {"target": "spare"}},
            {"id": "c", "path": "/c", "respond": {"status": 200}},
        ),
        ("/quota",),
        (),
    )
    upstreams = ("127.0.0.1:80", "canary", "shop", "spare", "-")
    leads = {(route, upstream) for route in "abcd" for upstream in upstreams if known.leads(route, upstream)}
    assert leads == {
        *(("a", "127.0.0.1:80"), ("a", "canary"), ("a", "-")),
        *(("b", "shop"), ("b", "spare"), ("b", "-")),
        ("c", "-"),
    }
    assert known.leads("-", "-")
    assert known.leads("/quota", "-")


def test_callers_and_their_keys() -> None:
    """Names of consumers and tenants, and when keys end, by fingerprints that give nothing away."""
    key, other = "sha256:" + "ab" * 32, "sha256:" + "cd" * 32
    known = known_of(
        (),
        (),
        [
            consumer("app", tenant="acme", keys=[{"hash": key, "expires": "2030-01-01T00:00:00Z"}, other]),
            consumer("other", keys=[{"file": "keys/other", "expires": "2029-01-01T00:00:00Z"}]),
        ],
    )
    assert (set(known.consumers), set(known.tenants)) == ({"app", "other"}, {"acme"})
    (family,) = known.metrics()
    shown = {sample.labels: sample.value for sample in family.samples if sample}
    assert shown == {("other", "keys/other"): 1861920000.0, ("app", "sha256:" + "ab" * 6): 1893456000.0}


def test_keys_are_bounded() -> None:
    """Of very many keys those have series that end first."""
    begin = datetime(2030, 1, 1, tzinfo=UTC)
    ends = [(begin + timedelta(days=number)).date().isoformat() for number in range(KEYS + 10)]
    keys = [{"hash": f"sha256:{number:012x}{0:052x}", "expires": end} for number, end in enumerate(ends)]
    known = known_of((), (), [consumer("app", keys=keys)])
    assert len(known.keys) == KEYS
    assert max(known.keys.values()) == (begin + timedelta(days=KEYS - 1)).timestamp()
