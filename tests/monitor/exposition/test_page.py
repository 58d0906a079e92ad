"""How the page is made beside requests."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator

import pytest

from gateway.families import Family, Sample, counter
from gateway.http import Identity, Outcome
from gateway.http.testing import make_exchange
from gateway.monitor.exposition.negotiation import Form
from gateway.monitor.exposition.page import BusyError, Exposition, Page
from gateway.monitor.traffic import Traffic
from gateway.monitor.traffic_metrics import traffic_metrics
from gateway.monitor.upstream_metrics import upstream_metrics
from tests.monitor.exposition.samples import durations, exposition, families, read
from tests.monitor.test_upstream_metrics import upstream_of

ROUTES = 500  # each with 21 lines in each histogram: 10,500 series


def many() -> list[Family]:
    sketch = durations(*(0.001 * 1.01**number for number in range(1000)))
    return [Family("t_seconds", "histogram", "", ("r",), [Sample((f"route-{n}",), sketch) for n in range(ROUTES)])]


async def longest_turn(page: Exposition, form: Form) -> float:
    """
    Seconds of the longest turn of the loop while this page is made, without those that other processes had.

    Nor those of the collector of cycles: what other tests left here it would look through, which a gateway has frozen.
    """
    late = 0.0

    async def watch() -> None:
        nonlocal late
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            late = max(late, time.thread_time() - before)

    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(watch())
    try:
        await page.page(form)
    finally:
        watching.cancel()
    return late


@pytest.mark.parametrize("form", ["text", "openmetrics", "protobuf"])
async def test_ten_thousand_series_hold_no_request_up(form: Form) -> None:
    """While a page of 10,000 series is made, no turn of the loop takes 5 ms."""
    page = exposition(*many())
    assert min([await longest_turn(page, form) for _ in range(3)]) < 0.005
    assert len(page.now("text").splitlines()) > 10_000


async def test_scrapers_that_come_together_get_one_page() -> None:
    """A flood of scrapes costs what one does."""
    asked = 0

    def source() -> Iterator[Family]:
        nonlocal asked
        asked += 1
        yield from many()

    page = Exposition()
    page.add_source(source)
    pages = await asyncio.gather(*(page.page("text") for _ in range(100)))
    assert asked == 1
    assert len({id(each) for each in pages}) == 1
    assert (await page.page("text")) is not pages[0]
    assert asked == 2


async def test_a_scraper_that_goes_away_takes_no_page_from_others() -> None:
    """One whose connection ends while the page is made is not waited for, and the rest get theirs."""
    page = exposition(*many())
    first, second = (asyncio.create_task(page.page("text")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).size > 100_000


async def test_unread_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where as many bytes wait for slow scrapers as may, others are refused; when those are gone, all is well again."""
    monkeypatch.setattr("gateway.monitor.exposition.page.MOST_HELD", 200_000)
    page, held = exposition(*many()), list[Page]()
    held.append(await page.page("text"))
    with pytest.raises(BusyError):
        await page.page("text")
    held.clear()
    assert (await page.page("text")).size > 200_000


async def test_a_page_is_whole() -> None:
    """What is made in slices is what would be made at once."""
    page = exposition(*families())
    made = await page.page("openmetrics")
    assert len(read(b"".join(made.chunks), openmetrics=True)) == len(read(page.now("openmetrics"), openmetrics=True))
    assert made.size == sum(map(len, made.chunks))


def test_a_series_ends_with_what_it_is_of() -> None:
    """Families and series that are not exposed any more are forgotten."""
    shown = [counter("n_total", "", {("a",): 1, ("b",): 1}, ("of",)), counter("m_total", "", {(): 1})]
    page = Exposition()
    page.add_source(lambda: shown)
    assert ("n_total", (("of", "a"),)) in read(page.now("text"))
    shown[:] = [counter("n_total", "", {("b",): 1}, ("of",))]
    found = read(page.now("text"))
    assert ("n_total", (("of", "a"),)) not in found
    assert ("m_total", ()) not in found


def test_no_series_is_there_twice() -> None:
    """Prometheus refuses a page that has one twice: the first counts, of families and of labels alike."""
    samples = [Sample(("a",), 1), Sample(("a",), 2)]
    page = exposition(Family("n_total", "counter", "", ("of",), samples), counter("n_total", "", {("b",): 3}, ("of",)))
    lines = [line for line in page.now("text").decode().splitlines() if line.startswith("n_total")]
    assert lines == ['n_total{of="a"} 1.0']


async def test_thousands_of_everything_hold_no_request_up() -> None:
    """Nor do thousands of routes, consumers and endpoints, of which the gateway has to add up what it shows."""
    traffic, exchange, outcome = Traffic(), make_exchange(), Outcome(0, 0, status=200)
    for number in range(2500):
        exchange.route, exchange.identity = f"route-{number}", Identity(f"app-{number}", "keys")
        exchange.cache, outcome.seconds = "miss", 0.001 * (1 + number % 100)
        traffic.report(exchange, outcome)
    upstreams = [upstream_of(1, f"service-{number}") for number in range(300)] + [upstream_of(5000)]
    page = Exposition()
    page.add_source(lambda: traffic_metrics(traffic))
    page.add_source(lambda: upstream_metrics(upstreams))
    assert min([await longest_turn(page, "text") for _ in range(3)]) < 0.005
