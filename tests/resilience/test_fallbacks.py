"""What a client gets where there is no answer."""

from __future__ import annotations

from pathlib import Path

from gateway.config.checks import WARNINGS, run
from gateway.config.load import parse
from tests.resilience.support import backend, response, running
from tests.support import free_port

OK = response(200, b"other")


async def test_a_fixed_answer(tmp_path: Path) -> None:
    """The sample: a client of a dead service gets the configured answer, and its reason is counted."""
    fallback = """fallback: {status: 503, body: '{"message":"back soon"}', content_type: application/json}"""
    async with running(tmp_path, f"routes: [{{path: /*, target: '127.0.0.1:{free_port()}', {fallback}}}]") as gateway:
        answer = await gateway.get()
        assert (answer.status_code, answer.json()) == (503, {"message": "back soon"})
        assert answer.headers["content-type"] == "application/json"
        (decision,) = gateway.last.decisions
        assert decision.reason == "a fixed 503 in the place of upstream-refused"
        assert gateway.outcomes[-1][1].status == 503


async def test_responses_of_the_backend_are_its_own(tmp_path: Path) -> None:
    """A 500 or 404 of the backend is passed on: the fallback is for what the gateway has no answer to."""
    async with (
        backend(response(500, b"mine")) as bad,
        running(tmp_path, f"routes: [{{path: /*, target: '{bad.address}', fallback: {{body: x}}}}]") as gateway,
    ):
        assert (await gateway.get()).text == "mine"


async def test_another_service(tmp_path: Path) -> None:
    """It gets the request, with its body, where no endpoint has seen it, or where it may be repeated; no other."""
    async with backend(None) as bad, backend(OK) as other:
        files = f"""
services: {{other: {{endpoints: ['{other.address}']}}}}
routes:
- {{path: /dead, target: '127.0.0.1:{free_port()}', fallback: {{target: other}}}}
- {{path: /bad, target: '{bad.address}', fallback: {{target: other}}}}
"""
        async with running(tmp_path, files) as gateway:
            assert (await gateway.client.post("/dead", content=b"order")).text == "other"
            failed, answered = gateway.last.attempts
            assert (failed.retry, answered.endpoint) == ("fallback", other.address)
            assert other.requests[-1].body == b"order"
            assert (await gateway.client.put("/bad", content=b"order")).text == "other"
            assert other.requests[-1].body == b"order"
            assert (await gateway.client.post("/bad", content=b"order")).status_code == 502
            assert len(other.requests) == 2
            assert gateway.last.upstream == bad.address


async def test_when_the_breaker_is_open(tmp_path: Path) -> None:
    """The fallback answers at once, without asking the backend."""
    async with backend(response(500)) as bad:
        route = "breaker: {minimum: 2}, fallback: {status: 200, body: soon}"
        async with running(tmp_path, f"routes: [{{path: /*, target: '{bad.address}', {route}}}]") as gateway:
            for _ in range(2):
                assert (await gateway.get()).status_code == 500
            assert (await gateway.get()).text == "soon"
            assert len(bad.requests) == 2


async def test_a_stale_copy(tmp_path: Path) -> None:
    """A response that the cache still has is better than none, however old, unless it forbids that itself."""
    fresh = response(200, b"copy", "Cache-Control: max-age=0", 'ETag: "1"')
    strict = response(200, b"copy", "Cache-Control: max-age=0, must-revalidate", 'ETag: "1"')
    async with backend(fresh, strict, None) as backing:
        files = f"routes: [{{path: /*, target: '{backing.address}', cache: {{}}, fallback: {{stale: true}}}}]"
        async with running(tmp_path, files) as gateway:
            assert (await gateway.get("/a")).text == "copy"
            assert (await gateway.get("/b")).text == "copy"
            stale = await gateway.get("/a")
            assert (stale.status_code, stale.text) == (200, "copy")
            assert "detail=fallback" in stale.headers["cache-status"]
            assert (await gateway.get("/b")).status_code == 502


def test_a_stale_copy_of_nothing(tmp_path: Path) -> None:
    """`gateway check` warns of a stale copy where no response is stored."""
    files = {"routes.yaml": b"routes: [{path: /*, target: 'a:1', fallback: {stale: true}}]"}
    warnings = [str(each) for each in run(WARNINGS, parse(files, {}, base=tmp_path), "warning")]
    assert any("no response of the route is stored" in each for each in warnings)
