"""The page, as people use it: in a browser, on a desk and on a phone, by eye, by keyboard and by ear."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.audit import faint, nameless, too_wide
from tests.browser.conftest import DESKTOP, PHONE, Watched
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

TABS = ["overview", "map", "traffic", "requests", "explain", "limits", "alerts", "configuration"]


def opened(page: Page, gateway: GatewayProcess, view: str = "") -> Page:
    """The page, with its data."""
    page.goto(admin_url(gateway, f"/#{view}"))
    page.locator("#connection .live").wait_for()
    page.locator("#verdict:not(:has-text('Connecting'))").wait_for()
    return page


def row(page: Page, name: str) -> Locator:
    return page.locator("section:not([hidden]) tbody > tr").filter(
        has=page.get_by_role("rowheader", name=name, exact=True)
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_every_view_can_be_read_by_everybody(
    browser: Browser, busy: GatewayProcess, size: dict[str, int], scheme: str
) -> None:
    """Nothing is cut off, faint or without a name, in no view, size or scheme, and the browser complains of nothing."""
    page = browser.new_page(viewport=size, color_scheme=scheme)
    watched = Watched(page)
    opened(page, busy)
    for view in TABS:
        page.goto(admin_url(busy, f"/#{view}"))
        page.locator(f"#{view}:not([hidden])").wait_for()
        page.wait_for_timeout(300)  # until it is drawn
        for opener in page.locator(f"#{view} .opener").all()[:2]:
            opener.click()
        assert too_wide(page) <= 0, view
        assert faint(page) == [], view
        assert nameless(page) == [], view
    page.close()
    assert watched.complaints == []


def test_the_worst_is_on_top(watched: Watched, busy: GatewayProcess) -> None:
    """In words, not in colour alone; and what leads to more."""
    page = opened(watched.page, busy)
    wrong = page.locator(".wrong li")
    wrong.filter(has_text="reports is down").wait_for()
    assert "down" in wrong.first.inner_text()
    assert re.search(r"\d+ problems", page.locator("#verdict").inner_text())
    wrong.filter(has_text="reports is down").get_by_role("link").click()
    assert row(page, "reports").inner_text().count("down") == 1


def test_no_service_is_green_while_a_part_of_it_fails(watched: Watched, busy: GatewayProcess) -> None:
    """One of three endpoints fails: degraded, in the row of the route, of the service and of the endpoint."""
    page = opened(watched.page, busy, "map")
    search = row(page, "search")
    search.locator(".state.degraded").first.wait_for()
    assert search.locator(".state.up").count() == 0
    search.get_by_role("button", name="Route search: details").click()
    out = page.locator(".endpoints tr").filter(has_text="127.0.0.1:1").first
    out.wait_for()
    assert "out" in out.inner_text()
    assert "Connection refused" in out.inner_text()
    assert page.locator(".detail h3 .state.degraded").count() == 1


def test_the_keyboard_is_enough(watched: Watched, busy: GatewayProcess) -> None:
    """Numbers lead to views, a slash to the search, Enter opens a row; what is drawn anew keeps the focus."""
    page = opened(watched.page, busy)
    page.keyboard.press("2")
    page.locator("#map:not([hidden])").wait_for()
    row(page, "users").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("users")
    page.get_by_text("1–1 of 1 route").wait_for()
    for _ in range(6):
        page.keyboard.press("Tab")
        if "opener" in page.evaluate("document.activeElement.className"):
            break
    page.keyboard.press("Enter")
    page.locator(".endpoints tbody tr").first.wait_for()
    page.wait_for_timeout(6000)  # a refresh
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Route users: details"
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"


def test_it_has_landmarks_and_says_what_changes(page: Page, busy: GatewayProcess) -> None:
    """A screen reader finds its way, and hears of problems without being moved."""
    opened(page, busy)
    for role in ("banner", "navigation", "main"):
        assert page.get_by_role(role).count() == 1
    assert page.get_by_role("link", name="Skip to the content").count() == 1
    assert page.locator("#verdict").get_attribute("aria-live") == "polite"
    assert page.get_by_role("navigation").get_by_role("link").first.get_attribute("aria-current") == "page"
    assert page.locator("html").get_attribute("lang") == "en"


def test_charts_are_there_as_tables(watched: Watched, busy: GatewayProcess) -> None:
    """Each with the numbers that it shows, and its last values in words."""
    page = opened(watched.page, busy)
    charts = page.locator("#overview figure")
    charts.first.locator("canvas").wait_for()
    assert charts.count() == 4
    page.locator("#overview figcaption strong", has_text=re.compile(r"\d")).first.wait_for()
    for chart in charts.all():
        chart.get_by_text("As a table").click()
        chart.locator("tbody tr").first.wait_for()
        assert chart.get_by_role("columnheader").count() >= 3


def test_traffic_is_shown_by_route_and_by_service(watched: Watched, busy: GatewayProcess) -> None:
    """The busiest first; one of them is chosen for the charts."""
    page = opened(watched.page, busy, "traffic")
    row(page, "orders").wait_for(timeout=30_000)  # the first window of the monitor
    row(page, "users").get_by_role("button", name="users").click()
    page.locator("#traffic h3", has_text="users").wait_for()
    page.get_by_label("By", exact=True).select_option("upstream")
    row(page, "catalogue-next").wait_for()
    page.get_by_label("Sort by").select_option("error_rate")
    page.locator("#traffic table.traffic tbody tr:first-child th", has_text=re.compile("payments|reports")).wait_for()
    page.get_by_label("Name").fill("cat")
    page.get_by_text("1–2 of 2 services").wait_for()


def test_a_request_is_explained_by_a_form(watched: Watched, busy: GatewayProcess) -> None:
    """The same that `gateway explain` says, with headers and address; a mistake says what is expected."""
    page = opened(watched.page, busy, "explain")
    page.get_by_label("Path or URL").fill("/v1/orders/7")
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("the path fits /v1/orders/*, the most specific that does").wait_for()
    page.locator("summary", has_text="Other routes").click()
    assert page.locator(".explanation tbody tr").count() > 0
    page.get_by_label("Path or URL").fill("/v1/nothing")
    page.keyboard.press("Enter")
    page.get_by_text("404: no route takes it").wait_for()


def test_breakers_limits_and_quotas_are_shown(watched: Watched, busy: GatewayProcess) -> None:
    """The breaker that is open first, and what a consumer has used."""
    page = opened(watched.page, busy, "limits")
    row(page, "payments").first.wait_for()
    page.get_by_label("Consumer").last.fill("acme-web")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("table", name="Quotas of acme-web").wait_for()


def test_links_lead_where_they_did(page: Page, busy: GatewayProcess) -> None:
    """A view with its filters is in the address, so that it can be shared."""
    opened(page, busy, "requests?status=5xx&route=reports")
    assert page.get_by_role("textbox", name="Status").input_value() == "5xx"
    page.locator("#requests tbody tr.failed").first.wait_for()
    assert page.locator("#requests tbody tr:not(.failed):not(.detail)").count() == 0
    page.go_back()
    page.go_forward()
    assert page.get_by_role("textbox", name="Route").input_value() == "reports"
