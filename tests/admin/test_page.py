"""The page of the admin port: it is served whole, with headers that make browsers load nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import httpx2
import pytest

from gateway.admin.page_files import DIRECTORY
from tests.lifecycle.support import admin_url
from tests.support import GatewayProcess, running_gateway

ROOT = Path(__file__).parents[2]
FILES = [path for path in DIRECTORY.rglob("*") if path.is_file()]
OURS = [path for path in FILES if "vendor" not in path.parts]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    routes = "routes: [{path: /x, target: 'asgi:tests.lifecycle.apps:one'}]"
    with running_gateway(tmp_path_factory.mktemp("page"), routes) as it:
        yield it


def test_the_page_is_whole(gateway: GatewayProcess) -> None:
    """Every file that the page, its scripts and its styles name is served, with the type that browsers insist on."""
    wanted = {"/"}
    seen: dict[str, str] = {}
    while wanted - seen.keys():
        path = (wanted - seen.keys()).pop()
        answer = httpx2.get(admin_url(gateway, path))
        assert answer.status_code == 200, path
        seen[path] = answer.headers["content-type"].partition(";")[0]
        if path.endswith(".js") and "vendor" not in path:
            base = httpx2.URL(f"http://page.test{path}")
            wanted |= {base.join(name).path for name in re.findall(r'from "(\.[^"]+)"', answer.text)}
        wanted |= set(re.findall(r'(?:href|src)="(/[^"]+)"', answer.text)) if path == "/" else set()
    assert {seen["/"], seen["/page/main.js"], seen["/page/page.css"]} == {"text/html", "text/javascript", "text/css"}
    unused = {f"/page/{path.relative_to(DIRECTORY)}" for path in FILES} - seen.keys()
    assert unused <= {"/page/index.html", "/page/vendor/uPlot.LICENSE.txt"}


def test_browsers_trust_only_its_files(gateway: GatewayProcess) -> None:
    """No inline script, no other host, no frame, no way from a string to markup: on every answer."""
    for path in ("/", "/page/main.js", "/health", "/requests", "/nowhere"):
        headers = httpx2.get(admin_url(gateway, path)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_its_files_have_nothing_that_the_policy_forbids(path: Path) -> None:
    """Nor anything from another host: there is no way from a text to markup, and no inline style or handler."""
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<[^>]+ (style|on\w+)=", text)
    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"https?://(?!www\.w3\.org/|host/|\$\{)", text)


@pytest.mark.parametrize("name", ["../app.py", "..%2Fapp.py", "%2e%2e/app.py", "/etc/passwd", "views", "", "x\x00y"])
def test_nothing_else_is_served(gateway: GatewayProcess, name: str) -> None:
    """Not what lies beside the page, whatever the path is written like."""
    assert httpx2.get(admin_url(gateway, "/page/") + name.replace("\x00", "%00")).status_code == 404


def test_browsers_keep_what_has_not_changed(gateway: GatewayProcess) -> None:
    """They ask each time, and get the file, compressed, only where it is another one."""
    first = httpx2.get(admin_url(gateway, "/page/page.css"), headers={"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.text == (DIRECTORY / "page.css").read_text()
    tag = first.headers["etag"]
    assert httpx2.get(admin_url(gateway, "/page/page.css"), headers={"if-none-match": tag}).status_code == 304


def test_the_package_has_all_files() -> None:
    """What is installed from a wheel is what is served from the sources."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["gateway"]
    for path in FILES:
        name = str(path.relative_to(ROOT / "gateway"))
        assert any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns), name
