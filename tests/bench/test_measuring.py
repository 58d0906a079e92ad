"""A run of the benchmark, as short as can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import prepared
from bench.chain import REQUEST, Chains, verify
from bench.contenders import versions
from bench.footprint import idle_connection
from bench.load import Request, send, send_each
from bench.machine import divide_cores, free_port
from bench.measure import Bench, Plan
from bench.proxies import PREFIX, SMALL, Workshop
from bench.scenarios import SMALL_REQUEST, streaming_backend
from bench.steady import latencies_at
from bench.streaming import EVENTS, WEBSOCKETS
from tests.deploy.programs import require


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    require("nginx")
    monkeypatch.setattr("bench.measure.WARM_UP_SECONDS", 0.05)
    with prepared(divide_cores(), Plan(seconds=0.1, rounds=2)) as prepared_bench:
        yield prepared_bench


def test_a_contender_that_fails_spoils_its_own_line_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not reach the backend is left out with the reason, and the others are measured."""
    monkeypatch.setattr("bench.programs.RIGHT_SECONDS", 1.0)
    broken = replace(bench.inside("broken", free_port()).workshop.nginx(), name="broken")
    (lines,) = bench.compare([broken, bench.workshop.nginx()], [SMALL_REQUEST])
    assert [line.counts for line in lines] == [False, True]
    assert "status 502" in lines[0].spoiled
    assert len(lines[1].values) == 2
    assert all(0 < value < 10_000 for value in lines[1].values)


def test_a_proxy_that_does_less_is_not_measured(bench: Bench) -> None:
    """One that lets a request without a key pass has no figure for the chain."""
    bare = replace(bench.workshop.nginx(), log=bench.workshop.directory / "log")
    (lines,) = bench.compare([bare, Chains(bench.workshop).nginx()], [REQUEST], verify)
    assert "a request without a right key: 200 instead of 401" in lines[0].spoiled
    assert lines[1].counts, lines[1].spoiled


def test_other_gateways_do_the_whole_chain(bench: Bench) -> None:
    """HAProxy and Envoy check the key, and name consumer, request id and trace to the backend and in their logs."""
    require("haproxy")
    chains = Chains(bench.workshop, proxied=True)
    (lines,) = bench.compare([*chains.haproxy(), *chains.envoy()], [REQUEST], verify)
    assert [line.spoiled for line in lines] == [""] * len(lines)


def test_streams_are_counted(bench: Bench) -> None:
    """Events and echoes come through a proxy, and a thousand idle connections take memory."""
    with streaming_backend(bench) as inside:
        once = replace(inside, plan=Plan(seconds=0.1, rounds=1))
        for seconds in (0.5, 2.0, 8.0):  # the machine has other work
            measures = [idle_connection, EVENTS.measure(seconds), WEBSOCKETS.measure(seconds)]
            memory, events, echoes = once.rounds([inside.workshop.nginx()], measures, SMALL_REQUEST)
            if min(events[0].count, echoes[0].count) > 100:
                break
    assert [line.spoiled for line in (*memory, *events, *echoes)] == ["", "", ""]
    assert events[0].count > 100
    assert echoes[0].count > 100


def test_uploads_are_read_by_the_backend(bench: Bench) -> None:
    """A body of some size is answered once it has come, and each is one request at the backend."""
    upload = Request("upload", f"{PREFIX}/small", len(SMALL), body=b"x" * 100_000, connections=2)
    with streaming_backend(bench) as inside:
        (lines,) = inside.compare([inside.workshop.nginx()], [upload])
    assert lines[0].counts, lines[0].spoiled


def test_requests_begin_when_they_are_due(bench: Bench) -> None:
    """At a fixed rate there are as many requests as are due, each with its latency."""
    tries = [latencies_at(bench.workshop.backend, SMALL_REQUEST, seconds=0.2, rate=1000) for _ in range(3)]
    assert all(120 < len(latencies) < 280 for latencies in tries)
    assert 0 < min(map(min, tries)) < 0.1


def test_answers_other_than_200_are_failures(bench: Bench) -> None:
    """A load counts them, and what it counts as answered is what was sent."""
    load = send(bench.workshop.backend, Request("missing", f"{PREFIX}/missing", 0), 0.1)
    assert load.failures == load.requests > 0


def test_each_variant_can_be_sent_once(bench: Bench) -> None:
    """Before keys in use are measured, each of them has come up, and none twice."""
    variants = tuple((("X-Api-Key", f"key-{number}"),) for number in range(150))
    request = Request("keys", f"{PREFIX}/small", len(SMALL), variants=variants)
    before = bench.counter.settled()
    load = send_each(bench.workshop.backend, request, 20.0)
    assert (load.requests, load.failures) == (150, 0)
    assert bench.counter.settled() - before == 150


def test_requests_come_in_turn() -> None:
    """Variants of a request have their own headers, beside those of all."""
    request = Request("two", "/", len(SMALL), headers=(("a", "1"),), variants=((("b", "2"),), (("b", "3"),)))
    assert [b"a: 1\r\nb: %d" % number in encoded for number, encoded in zip((2, 3), request.encoded, strict=True)] == [
        True,
        True,
    ]


def test_missing_contenders_are_named() -> None:
    """What is not installed has no version, and is no error."""
    assert set(versions(lambda _: None).values()) == {""}


def test_a_contender_that_does_not_run_does_not_end_the_benchmark(tmp_path: Path) -> None:
    """A binary for another machine, or a broken one, is said instead of its version."""
    broken = tmp_path / "caddy"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    assert all("does not run" in version for version in versions(lambda _: str(broken)).values())


def test_a_gateway_is_called_what_it_is(tmp_path: Path) -> None:
    """The row of a gateway that is not compiled says so; only a compiled one is just the gateway."""
    for compiled, expected in ((None, "gateway, interpreted"), (tmp_path, "gateway")):
        directory = tmp_path / expected
        directory.mkdir()
        assert Workshop(directory, 1, compiled).gateway().name == expected
