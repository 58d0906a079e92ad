"""What requests to models are counted in."""

from __future__ import annotations

from gateway.config.models import RouteConfig
from gateway.config.models.llm.file import ModelsFile
from gateway.families import Sample
from gateway.http import Exchange, Identity, Outcome
from gateway.http.model_record import ModelRecord, Switch
from gateway.http.testing import make_exchange
from gateway.monitor.known import known_of
from gateway.monitor.model_traffic import ModelTraffic, model_metrics
from gateway.monitor.traffic import OTHER, TENANTS, Traffic
from gateway.monitor.traffic_metrics import traffic_metrics

MODELS = ModelsFile.model_validate(
    {
        "providers": {
            "one": {"protocol": "openai", "base_url": "https://one.example/v1"},
            "two": {"protocol": "openai", "service": "llama"},
        },
        "model_routing": {"default": "all", "profiles": {"all": {}}},
    }
)
ROUTE = RouteConfig.model_validate({"id": "chat", "path": "/*", "target": "models"})


def asked(backend: str = "one/small", tenant: str | None = "acme") -> Exchange:
    exchange = make_exchange(route="chat")
    exchange.upstream = "https://one.example"
    exchange.identity = Identity("app", "keys", tenant)
    record = exchange.model = ModelRecord("openai.chat")
    record.backend, record.streamed = backend, True
    record.input_tokens, record.output_tokens, record.cache_read_tokens = 100, 20, 40
    record.cost_micros, record.estimated, record.unpriced = 1500, True, False
    record.first_token_seconds, record.output_seconds = 0.25, 2.0
    return exchange


def shown(traffic: ModelTraffic) -> dict[tuple[str, ...], object]:
    samples: dict[tuple[str, ...], object] = {}
    for family in model_metrics([traffic]):
        samples |= {(family.name, *sample.labels): sample.value for sample in family.samples if sample is not None}
    return samples


def backends(traffic: Traffic) -> dict[str, float]:
    (family,) = (each for each in traffic_metrics(traffic) if each.name == "gateway_requests_total")
    found: dict[str, float] = {}
    for sample in family.samples:
        assert isinstance(sample, Sample)
        assert isinstance(sample.value, int)
        name = dict(zip(family.labels, sample.labels, strict=True))["model_backend"]
        found[name] = found.get(name, 0) + sample.value
    return found


def test_tokens_money_and_speed_of_one_request() -> None:
    """All that a request took is counted, by route, tenant and backend."""
    traffic = ModelTraffic()
    traffic.add(asked())
    numbers = {name: value for name, value in shown(traffic).items() if isinstance(value, int | float)}
    place = ("chat", "acme", "one/small")
    assert numbers == {
        ("llm_tokens_total", *place, "input"): 100,
        ("llm_tokens_total", *place, "output"): 20,
        ("llm_tokens_total", *place, "cache_read"): 40,
        ("llm_tokens_total", *place, "cache_write"): 0,
        ("llm_tokens_total", *place, "reasoning"): 0,
        ("llm_cost_usd_total", *place): 0.0015,
        ("llm_estimated_usage_total", *place): 1,
    }
    speed = traffic.speeds["one/small"]
    assert (speed.first.total, speed.rate.total) == (0.25, 10.0)


def test_whole_answers_say_nothing_of_the_first_token() -> None:
    """The time to a whole answer is not the time to its first token."""
    traffic, exchange = ModelTraffic(), asked()
    assert exchange.model is not None
    exchange.model.streamed = False
    traffic.add(exchange)
    assert not traffic.speeds


def test_rows_are_bounded() -> None:
    """Tenants that token issuers invent, and what would be one row too many, are counted together."""
    traffic = ModelTraffic(most=TENANTS + 10)
    for number in range(TENANTS + 5):
        traffic.add(asked(tenant=f"t{number}"))
    assert len(traffic.rows) == TENANTS + 1
    assert traffic.rows["chat", OTHER, "one/small"].input_tokens == 500
    for number in range(20):
        traffic.add(asked(f"one/m{number}"))
    assert len(traffic.rows) == TENANTS + 11
    assert traffic.rows[OTHER, OTHER, OTHER].input_tokens == 1100


def test_what_ends_is_let_go() -> None:
    """Series of a provider, route or tenant that a new configuration has not are gone."""
    traffic = ModelTraffic()
    for exchange in (asked(), asked("gone/small"), asked(tenant=None)):
        assert exchange.model is not None
        exchange.model.switches = (Switch("one/small", exchange.model.backend, "timeout"),)
        traffic.add(exchange)
    other = asked()
    other.route = "gone"
    traffic.add(other)
    traffic.keep(known_of([ROUTE], (), (), (), MODELS))
    assert set(traffic.rows) == {("chat", "acme", "one/small"), ("chat", "", "one/small")}
    assert set(traffic.speeds) == {"one/small"}
    assert traffic.switches == {("one/small", "one/small", "timeout"): 2}


def test_requests_are_counted_by_backend_and_routes_to_models_lead_to_providers() -> None:
    """Requests to models have their backend as a label, all others none; a reload keeps them."""
    traffic, known = Traffic(), known_of([ROUTE], (), (), (), MODELS)
    for _ in traffic.configure(known.leads, known.tenants, known.consumers):
        pass
    for exchange in (asked(), asked(), asked("two/*")):
        traffic.report(exchange, Outcome(0, 0, status=200))
    plain = asked()
    plain.model = None
    traffic.report(plain, Outcome(0, 0, status=200))
    for _ in traffic.configure(known.leads, known.tenants, known.consumers):
        pass
    assert known.leads("chat", "one.example:443")
    assert known.leads("chat", "llama")
    assert {
        name: count for (route, _), flow in traffic.flows.items() for name, count in ((route, len(flow.counts)),)
    } == {"chat": 1}
    assert backends(traffic) == {"one/small": 2, "two/*": 1, "": 1}
