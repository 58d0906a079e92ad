"""What the gateway knows of itself, of things that live."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.config.models import AccessLog as AccessLogConfig
from gateway.http.testing import make_exchange
from gateway.llm.claims import Refused, Wanted
from gateway.llm.usage import Usage
from gateway.monitor.access_log import SERVICE as ACCESS_LOG
from gateway.monitor.access_log import AccessLog
from gateway.monitor.alerts.sight import Finding
from gateway.server.findings import Findings
from gateway.server.logs import access_log_settings
from tests.resilience.support import InProcess, backend, response, running, write
from tests.support import eventually
from tests.upstream.test_tls import certificate


def found(gateway: InProcess, *builtins: str, findings: Findings | None = None) -> list[Finding]:
    made = findings or Findings(gateway.reloader)
    return [each for each in made.of(builtins, time.time()) if each is not None]


async def test_a_breaker_that_is_open(tmp_path: Path) -> None:
    """With its route, its target, and why."""
    routes = "routes: [{id: r, path: /*, target: '127.0.0.1:1', breaker: {}}]"
    async with running(tmp_path, routes) as gateway:
        assert found(gateway, "breaker_open") == []
        await gateway.admin.put("/breakers/r", json={"state": "open", "reason": "broken"})
        (finding,) = found(gateway, "breaker_open")
        assert finding.subject == ("breaker", "r -> 127.0.0.1:1")
        assert "broken" in finding.says


async def test_a_breaker_that_waits_for_a_request_is_no_finding(tmp_path: Path) -> None:
    """Nobody is paged for a route that nobody calls: it is half open once its open time is over, in metrics, too."""
    routes = "routes: [{id: r, path: /*, target: '127.0.0.1:1', breaker: {minimum: 1, open: 1s, profile: short}}]"
    async with running(tmp_path, routes) as gateway:
        await gateway.get("/x")
        assert found(gateway, "breaker_open")
        await eventually(lambda: not found(gateway, "breaker_open"))
        (shown,) = (await gateway.admin.get("/breakers")).json()
        assert (shown["state"], shown["tries_again_in"]) == ("half_open", None)
        assert "the next request is a trial" in shown["reason"]
        metrics = (await gateway.admin.get("/metrics")).text
        assert 'state="half_open"} 1' in metrics
        assert 'state="open"} 0' in metrics


async def test_an_endpoint_that_is_out(tmp_path: Path) -> None:
    """With the signal that says so; one that is not checked yet is none."""
    async with backend(response(500)) as bad, backend() as good:
        routes = f"""
services: {{s: {{endpoints: ['{bad.address}', '{good.address}'], outliers: {{consecutive: 1}}}}}}
routes: [{{id: r, path: /*, target: s}}]
"""
        async with running(tmp_path, routes) as gateway:
            assert found(gateway, "endpoint_ejected") == []
            for _ in range(500):  # which of the two is asked is drawn
                await gateway.get("/x")
                if found(gateway, "endpoint_ejected"):
                    break
            (finding,) = found(gateway, "endpoint_ejected")
            assert finding.subject == ("endpoint", f"s/{bad.address}")
            assert finding.says.startswith("out, outliers: ")


async def test_a_source_that_does_not_answer(tmp_path: Path) -> None:
    """While its last endpoints are used."""
    file = tmp_path / "instances.yaml"
    file.write_text("- 127.0.0.1:1\n")
    routes = "services: {s: {discovery: {file: instances.yaml}}}\nroutes: [{id: r, path: /*, target: s}]"
    async with running(tmp_path, routes) as gateway:
        assert found(gateway, "source_stale") == []
        file.unlink()
        await eventually(lambda: bool(found(gateway, "source_stale")))
        (finding,) = found(gateway, "source_stale")
        assert finding.subject == ("upstream", "s")
        assert "instances.yaml" in finding.says


async def test_a_consumer_that_has_used_most_of_a_quota(tmp_path: Path) -> None:
    """From 80% on it is one thing, from 100% on another; a reset ends both."""
    (tmp_path / "auth.yaml").write_text(
        "default: keys\nschemes: {keys: {api_key: {}}}\nconsumers: [{name: acme, keys: [{key: a-key-of-acme-co}]}]"
    )
    routes, both = "routes: [{id: r, path: /*, respond: 204}]", ("quota_80", "quota_100")
    async with running(tmp_path, routes, "quotas: {daily: {limit: 5, window: day}}") as gateway:

        async def call(times: int) -> list[Finding]:
            for _ in range(times):
                await gateway.get("/x", headers={"x-api-key": "a-key-of-acme-co"})
            return found(gateway, *both)

        assert await call(3) == []
        (finding,) = await call(1)
        assert (finding.builtin, finding.subject) == ("quota_80", ("quota", "daily acme"))
        assert finding.says == "4 of 5 are used in this day"
        (finding,) = await call(3)
        assert finding.builtin == "quota_100"
        await gateway.admin.delete("/quotas", params={"consumer": "acme"})
        assert found(gateway, *both) == []


async def test_a_consumer_that_has_used_most_of_a_budget_of_models(tmp_path: Path) -> None:
    """The same of tokens and dollars."""
    (tmp_path / "models.yaml").write_text(
        "providers: {local: {protocol: openai, base_url: http://127.0.0.1:9, models: [small]}}\n"
        "budgets: {each: {key: [route], store: memory, limits: [{tokens: 100, window: day}]}}"
    )
    routes, both = "routes: [{id: chat, path: /*, target: models, auth: []}]", ("quota_80", "quota_100")
    async with running(tmp_path, routes) as gateway:
        current = gateway.reloader.current
        assert current is not None
        assert current.money is not None
        budgets, wanted = current.money.budgets, Wanted((("local", "small"),), "chat", "", 10, 0, seconds=60)
        for used, expected in ((79, []), (11, []), (20, ["quota_80"]), (0, ["quota_100"])):
            try:
                hold = await budgets.reserve(make_exchange(route="chat"), wanted)
                hold.commit(Usage(used, 0), 0)
            except Refused:
                pass
            assert [finding.builtin for finding in found(gateway, *both)] == expected
        (finding,) = found(gateway, *both)
        assert (finding.subject, finding.says) == (("quota", "each chat"), "110 tokens of 100 tokens per day are used")


def _in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_keys_that_end_soon(tmp_path: Path) -> None:
    """Within 14 days, and for a day after they have ended."""
    ends = {"soon": 3, "late": 30, "over": -0.5, "long-over": -3}
    keys = [
        f"{{name: {name}, keys: [{{key: a-key-of-{name}-12345, expires: '{_in_days(days)}'}}]}}"
        for name, days in ends.items()
    ]
    (tmp_path / "auth.yaml").write_text(
        f"default: keys\nschemes: {{keys: {{api_key: {{}}}}}}\nconsumers: [{', '.join(keys)}]"
    )
    async with running(tmp_path, "routes: [{id: r, path: /*, respond: 204}]") as gateway:
        says = {finding.subject.name: finding.says for finding in found(gateway, "key_expiring")}
        assert says.keys() == {"soon", "over"}
        assert says["soon"].startswith("1 API key of it, of which the first ends in 2d 23h, at ")
        assert "has ended 12h ago" in says["over"] or "has ended 11h" in says["over"]


async def test_certificates_that_end_soon(tmp_path: Path) -> None:
    """Those of the authorities that files have."""
    certificate(tmp_path, "soon", "", 3, None)
    certificate(tmp_path, "late", "", 300, None)
    routes = """
services:
  a: {endpoints: ['127.0.0.1:1'], protocol: https, tls: {ca: soon.pem}}
  b: {endpoints: ['127.0.0.1:2'], protocol: https, tls: {ca: late.pem}}
routes: [{id: r, path: /a, target: a}, {id: s, path: /b, target: b}]
"""
    async with running(tmp_path, routes) as gateway:
        findings = Findings(gateway.reloader)
        assert gateway.reloader.current is not None
        await findings.read_certificates(gateway.reloader.current.configuration)
        (finding,) = found(gateway, "certificate_expiring", findings=findings)
        assert finding.subject == ("certificate", "soon.pem")
        assert finding.says.startswith("ends in 2d 23h, at ")


async def test_own_certificates_that_end_soon(tmp_path: Path) -> None:
    """Those that backends are shown are found, too."""
    certificate(tmp_path, "ca", "", 300, None)
    certificate(tmp_path, "own", "DNS:gateway.test", 3, "ca")
    routes = """
services:
  a: {endpoints: ['127.0.0.1:1'], protocol: https, tls: {certificate_file: own.pem, key_file: own.key}}
routes: [{id: r, path: /a, target: a}]
"""
    async with running(tmp_path, routes) as gateway:
        findings = Findings(gateway.reloader)
        assert gateway.reloader.current is not None
        await findings.read_certificates(gateway.reloader.current.configuration)
        (finding,) = found(gateway, "certificate_expiring", findings=findings)
        assert finding.subject == ("certificate", "own.pem")
        assert finding.says.startswith("ends in 2d 23h, at ")


async def test_a_configuration_that_is_refused(tmp_path: Path) -> None:
    """With its first error, until one is taken."""
    good = "routes: [{id: r, path: /*, respond: 204}]"
    async with running(tmp_path, good) as gateway:
        assert found(gateway, "reload_refused") == []
        write(tmp_path, "routes: [{id: r}]", None)
        await gateway.reloader.reload()
        (finding,) = found(gateway, "reload_refused")
        assert finding.subject == ("configuration", "")
        assert finding.says.startswith("routes.yaml:1:10: routes[0]: ")
        await gateway.reload(good)
        assert found(gateway, "reload_refused") == []


async def test_log_lines_that_are_lost(tmp_path: Path) -> None:
    """From the look on that sees more of them, for five minutes; not those of before the first look."""
    async with running(tmp_path, "routes: [{id: r, path: /*, respond: 204}]") as gateway:
        log = gateway.reloader.owner.hold(
            ACCESS_LOG, AccessLog(access_log_settings(AccessLogConfig(output="off"), None))
        )
        findings = Findings(gateway.reloader)
        assert found(gateway, "log_loss", findings=findings) == []
        log._writer.lost += 7
        (finding,) = found(gateway, "log_loss", findings=findings)
        assert (finding.subject, finding.says) == (("log", "access log"), "lines are lost, 7 since the start")
        later = [each for each in findings.of(["log_loss"], time.time() + 301) if each is not None]
        assert later == []
