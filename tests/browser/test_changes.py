"""What operators do with the page, and what happens to it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import httpx2
import pytest

from gateway.admin.tokens import hash_of
from tests.browser.conftest import Watched
from tests.browser.test_page import opened, row
from tests.lifecycle.support import admin_url, get
from tests.support import GatewayProcess, free_port, running_gateway

if TYPE_CHECKING:
    from playwright.sync_api import Page

READER = "gwa_a-token-that-may-read-only"
ROUTES = """\
services: {backend: {endpoints: ["127.0.0.1:1"]}}
routes:
- {id: hello, path: "/hello/*", target: "asgi:tests.lifecycle.apps:one"}
- {id: dead, path: /dead/*, target: backend, retry: {attempts: 2}}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with running_gateway(tmp_path, ROUTES) as it:
        yield it


def test_requests_come_by_themselves(watched: Watched, gateway: GatewayProcess) -> None:
    """Each opens to what was tried and to what would become of it now; paused, nothing moves."""
    page = opened(watched.page, gateway, "requests")
    assert get(gateway, "/dead/1").status_code == 502
    line = page.locator("#requests tbody tr", has_text="/dead/1")
    line.wait_for()
    assert "502" in line.inner_text()
    line.get_by_role("button", name="Request").click()
    detail = page.locator("#requests .detail")
    detail.get_by_role("table", name="Attempts").get_by_text("upstream-refused").first.wait_for()
    detail.get_by_text("the path fits /dead/*").wait_for()
    page.get_by_role("button", name="Pause").click()
    get(gateway, "/hello/2")
    page.get_by_text("1 new ones wait").wait_for()
    assert page.locator("#requests tbody tr", has_text="/hello/2").count() == 0
    page.get_by_role("button", name="Go on").click()
    page.locator("#requests tbody tr", has_text="/hello/2").wait_for()


def test_only_what_is_asked_for_is_shown(watched: Watched, gateway: GatewayProcess) -> None:
    """Filters hold for what is there, and for what comes."""
    page = opened(watched.page, gateway, "requests")
    get(gateway, "/hello/1")
    get(gateway, "/dead/1")
    page.get_by_label("Status").fill("5xx")
    page.wait_for_url("**/#requests?status=5xx")
    page.locator("#requests tbody tr", has_text="/dead/1").wait_for()
    get(gateway, "/hello/2")
    get(gateway, "/dead/2")
    page.locator("#requests tbody tr", has_text="/dead/2").wait_for()
    assert page.locator("#requests tbody tr", has_text="/hello").count() == 0


PAYLOADS = (
    "/hello/<img src=x onerror=window.hit=1>",
    "/hello/<script>window.hit=1</script>",
    "/hello/'\"><svg onload=window.hit=1>",
    "/hello/javascript:window.hit=1",
)


def test_what_clients_send_stays_text(page: Page, gateway: GatewayProcess) -> None:
    """Paths, hosts and methods full of markup are shown as they are, in no view as a part of the page."""
    opened(page, gateway, "requests")
    for payload in PAYLOADS:
        request = Request(gateway.url + "/", headers={"host": "<b>evil</b>.example", "user-agent": payload[7:]})
        request.selector = payload.replace(" ", "%20")
        with suppress(OSError):  # it may be refused, which is shown, too
            urlopen(request).read()
    shown = page.locator("#requests tbody tr:not(.empty)")
    shown.nth(1).wait_for()
    shown.first.get_by_role("button").click()
    page.locator("#requests .detail section").first.wait_for()
    page.goto(admin_url(gateway, "/#overview"))
    page.goto(admin_url(gateway, "/#explain?url=/hello/%3Cimg/src=x/onerror=window.hit=1%3E"))
    page.locator("#explain .explanation").wait_for()
    assert page.evaluate("window.hit") is None
    assert page.locator("main img, main script, main svg, main b").count() == 0


def test_a_former_configuration_is_served_again(watched: Watched, gateway: GatewayProcess) -> None:
    """What changed is shown, the token is asked for, and the page says that the files differ, until they are read."""
    gateway.write(routes=ROUTES + "- {id: wrong, path: /hello/wrong, respond: 500}\n")
    page = opened(watched.page, gateway, "configuration")
    page.locator(".diff .added", has_text="id: wrong").wait_for(timeout=15_000)
    assert get(gateway, "/hello/wrong").status_code == 500
    page.get_by_role("button", name="Serve again").click()
    page.get_by_role("button", name="Serve it").click()
    page.get_by_label("Token").fill("gwa_wrong-token-wrong-token")
    page.get_by_role("dialog").get_by_role("button", name="Serve").click()
    page.get_by_text("unknown token").wait_for()
    watched.complaints.clear()  # the browser reports the 401
    page.get_by_label("Token").fill(gateway.admin_token["authorization"].removeprefix("Bearer "))
    page.get_by_role("dialog").get_by_role("button", name="Serve").click()
    page.get_by_text("Rolled back: what is served differs from the files").wait_for()
    page.get_by_text("rolled back, files differ").wait_for()
    assert get(gateway, "/hello/wrong").status_code == 200
    page.get_by_role("button", name="Read the files again").click()  # the token is kept
    page.get_by_text("rolled back, files differ").wait_for(state="detached")
    assert get(gateway, "/hello/wrong").status_code == 500


def test_files_that_are_refused_are_reported(watched: Watched, gateway: GatewayProcess) -> None:
    """With their place, while the last good configuration is served."""
    page = opened(watched.page, gateway)
    gateway.write(routes=ROUTES + "- {id: x, path: nowhere}\n")
    page.locator(".wrong li", has_text="the files are refused: routes.yaml:").first.wait_for(timeout=15_000)


def test_it_comes_again_with_the_gateway(page: Page, gateway: GatewayProcess) -> None:
    """A restart is shown until it is over, without a reload of the page."""
    opened(page, gateway, "requests")
    gateway.stop()
    page.get_by_text("connecting again").wait_for()
    gateway.start()
    page.locator("#connection .live").wait_for(timeout=20_000)
    get(gateway, "/hello/again")
    page.locator("#requests tbody tr", has_text="/hello/again").wait_for()


def test_without_the_monitor_there_is_the_rest(watched: Watched, tmp_path: Path) -> None:
    """No charts, and nothing that pretends to know."""
    with running_gateway(tmp_path, ROUTES, "monitor: {enabled: false}") as gateway:
        page = opened(watched.page, gateway)
        assert page.locator("#tab-traffic").is_hidden()
        assert page.locator("#overview figure").first.is_hidden()
        get(gateway, "/dead/1")
        page.locator(".tail li", has_text="/dead/1").wait_for()


def test_elsewhere_than_on_loopback_one_signs_in(page: Page, tmp_path: Path) -> None:
    """With a token that may read; a wrong one says so; a reload keeps it; signing out ends it."""
    middleware = f"admin: {{tokens: [{{name: reader, hash: '{hash_of(READER)}'}}]}}"
    with running_gateway(
        tmp_path, ROUTES, middleware, arguments=("--admin", f"0.0.0.0:{(port := free_port())}")
    ) as gateway:
        gateway.admin_port = port
        page.goto(admin_url(gateway, "/"))
        page.get_by_label("Token").fill("gwa_wrong-token-wrong-token")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("unknown token").wait_for()
        page.get_by_label("Token").fill(READER)
        page.wait_for_timeout(6000)  # views have asked again, in vain
        page.get_by_role("button", name="Sign in").click()
        page.locator("#connection .live").wait_for()
        page.reload()
        page.locator("#connection .live").wait_for()
        assert page.evaluate("document.cookie") == ""  # no script can read it
        page.get_by_role("button", name="Sign out reader").click()
        page.get_by_role("button", name="Sign in").wait_for()
        assert httpx2.get(admin_url(gateway, "/events")).status_code == 401


def test_ten_thousand_routes_are_as_quick_as_two(watched: Watched, tmp_path: Path) -> None:
    """A page of them, a search among them, and no list that grows without end."""
    routes = "".join(f"- {{id: r{n}, path: /r{n}/*, target: s{n % 100}}}\n" for n in range(10_000))
    services = "".join(f'  s{n}: {{endpoints: ["127.0.0.1:{n + 1}"]}}\n' for n in range(100))
    with running_gateway(tmp_path, f"services:\n{services}routes:\n{routes}") as gateway:
        page = opened(watched.page, gateway, "map")
        page.get_by_text("1–50 of 10000 routes").or_(page.get_by_text("1–50 of 10.0 k routes")).wait_for()
        page.get_by_role("button", name="Next").click()
        page.get_by_text("51–100 of").wait_for()
        page.get_by_label("Search").fill("r98765")
        page.get_by_text("0–0 of 0 routes").wait_for()
        page.get_by_label("Search").fill("r9876")
        row(page, "r9876").wait_for(timeout=3000)
        assert page.locator("#map tbody tr").count() == 1


def test_a_flood_of_requests_does_not_stop_the_page(watched: Watched, gateway: GatewayProcess) -> None:
    """It shows the newest, says how many it left out, and stays usable."""
    page = opened(watched.page, gateway, "requests")

    def flood() -> None:
        with httpx2.Client(base_url=gateway.url) as client:
            for number in range(1500):
                client.get(f"/hello/{number}")

    thread = threading.Thread(target=flood)
    thread.start()
    page.get_by_text("came too fast to be shown").wait_for(timeout=20_000)
    thread.join()
    page.locator("#requests tbody tr", has_text="/hello/1499").wait_for()
    assert page.locator("#requests tbody > tr").count() <= 200


def test_alerts_are_shown_and_silenced(watched: Watched, tmp_path: Path) -> None:
    """One that fires is on top of the overview; silencing it needs the token, and is seen by all."""
    rule = "errors: {when: 'error_rate > 1%', over: 10s, by: route, severity: page}"
    with running_gateway(tmp_path, ROUTES, f"alerts: {{rules: {{{rule}}}}}") as gateway:
        page = opened(watched.page, gateway)
        for number in range(20):
            get(gateway, f"/dead/{number}")
        page.locator(".wrong li", has_text="alert errors, route dead").wait_for(timeout=40_000)
        page.locator("#tab-alerts").click()
        page.get_by_role("button", name="Silence errors of route dead for two hours").click()
        page.get_by_label("Token").fill(gateway.admin_token["authorization"].removeprefix("Bearer "))
        page.get_by_role("dialog").get_by_role("button", name="Silence").click()
        page.get_by_role("table", name="Silences").get_by_text("from the page").wait_for()
        page.get_by_role("table", name="Alerts").get_by_text("silenced").wait_for()
        page.get_by_role("button", name="Lift").click()
        page.get_by_text("None.", exact=True).wait_for()
