"""The page of the control plane, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.audit import faint, nameless, too_wide
from tests.browser.conftest import DESKTOP, PHONE, Watched
from tests.browser.control_plane_scene import MARKUP, NEW, OLD, scene
from tests.control_plane.process import ControlPlaneProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    with scene(tmp_path_factory.mktemp("control-plane")) as made:
        yield made


def _signed_in(page: Page, plane: ControlPlaneProcess) -> Page:
    page.goto(plane.url)
    page.get_by_label("Token or key").fill(plane.token)
    page.get_by_role("button", name="Sign in").click()
    page.locator("#connection .live").wait_for()
    return page


def _row(page: Page, name: str) -> Locator:
    return page.locator("tbody > tr").filter(has=page.get_by_role("rowheader", name=name))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desk", "phone"])
def test_everybody_can_read_it(browser: Browser, plane: ControlPlaneProcess, size: dict[str, int], scheme: str) -> None:
    """Nothing is cut off, faint or without a name, in no size or scheme, and the browser complains of nothing."""
    page = browser.new_page(viewport=size, color_scheme=scheme)
    _signed_in(page, plane)
    watched = Watched(page)
    for opener in page.locator(".opener").all():
        opener.click()
    assert too_wide(page) <= 0
    assert faint(page) == []
    assert nameless(page) == []
    page.close()
    assert watched.complaints == []


def test_nothing_is_shown_before_a_user_has_signed_in(page: Page, plane: ControlPlaneProcess) -> None:
    """A wrong token is refused with a sentence, and the form stays."""
    page.goto(plane.url)
    page.get_by_label("Token or key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("this credential does not hold here").wait_for()
    assert "edge-1" not in page.content()


def test_what_is_wrong_is_on_top_and_says_why(watched: Watched, page: Page, plane: ControlPlaneProcess) -> None:
    """A silent gateway, then one that drifts and has refused a configuration; the others by name."""
    _signed_in(page, plane)
    watched.complaints.clear()  # of the refusal before the token was shown
    names = page.locator(".matrix tbody > tr > th").all_inner_texts()
    assert [name.split()[0] for name in names] == ["edge-3", "edge-2", "far", "edge-1"]
    assert "2 gateways with problems" in page.locator("#verdict").inner_text()
    drifting = _row(page, "edge-2")
    assert "drift" in drifting.inner_text()
    assert OLD[:8] in drifting.inner_text()
    drifting.get_by_role("button", name="edge-2: details").click()
    page.get_by_text("edge-2-a: routes.yaml:7:3: unknown key").wait_for()
    page.get_by_text(f"edge-2-a runs {OLD[:8]}, not {NEW[:8]}").wait_for()
    difference = page.get_by_role("table", name="What edge-2 runs beside what is wanted")
    assert "204" in difference.get_by_role("row").nth(1).inner_text()
    assert "no heartbeat" in _row(page, "edge-3").inner_text()
    assert "as wanted" in _row(page, "edge-1").inner_text()


def test_environments_show_what_is_on_its_way(watched: Watched, page: Page, plane: ControlPlaneProcess) -> None:
    """Revision, rollout, and how many gateways drift; texts of others are texts, and no markup."""
    _signed_in(page, plane)
    watched.complaints.clear()
    production = page.locator(".environments tbody > tr").filter(has_text="Production")
    text = production.inner_text()
    assert "paused" in text
    assert "judging, 1 of 4" in text
    assert f"waits for approval {MARKUP}" in text
    assert NEW[:8] in text
    assert production.locator("td").nth(2).inner_text() == "1"
    assert page.locator("img[src=x]").count() == 0


def test_a_list_can_be_narrowed_and_a_session_ended(watched: Watched, page: Page, plane: ControlPlaneProcess) -> None:
    """By name, and by what has problems."""
    _signed_in(page, plane)
    watched.complaints.clear()
    page.get_by_label("Find").fill("edge-1")
    assert page.locator(".matrix tbody > tr").count() == 1
    page.get_by_label("Only with problems").check()
    page.get_by_text("No gateway matches.").wait_for()
    page.get_by_role("button", name="Sign out local").click()
    page.get_by_label("Token or key").wait_for()
    watched.complaints.clear()


def test_a_rollout_is_gone_on_with_by_a_token_that_may(watched: Watched, page: Page, tmp_path: Path) -> None:
    """The session itself changes nothing; a wrong token is refused with a sentence, and asked for again."""
    with scene(tmp_path) as plane:
        _signed_in(page, plane)
        page.get_by_role("button", name="Go on", exact=True).click()
        dialog = page.get_by_role("dialog", name=f"Go on the rollout of {NEW[:8]} to Production")
        dialog.get_by_label("Token or key").fill("wrong")
        dialog.get_by_role("button", name="Go on").click()
        dialog.get_by_text("is not that of this machine").wait_for()
        dialog.get_by_label("Token or key").fill(plane.token)
        dialog.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Go on", exact=True).wait_for(state="detached")
        assert "paused" not in page.locator(".environments").inner_text()
        watched.complaints.clear()
