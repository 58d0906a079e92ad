"""Routes of another gateway take what they took, whatever decides between them there and here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import parse
from gateway.config.route_rules import rules
from gateway.importing.importer import import_file
from gateway.routes.rule import Match
from gateway.routes.table import RouteTable

PATHS = ("/", "/a", "/a/", "/a/b", "/ab", "/b", "/a/b/c")
REQUESTS = ("/", "/a", "/a/", "/ab", "/abc", "/a/b", "/a/bx", "/a/b/", "/a/b/c", "/a/c", "/b", "/bb/c", "/c")
HOSTS = ("", "x.test", "*.test")
METHODS: tuple[tuple[str, ...], ...] = ((), ("GET",), ("GET", "POST"))

kong_routes = st.lists(
    st.tuples(st.sampled_from(PATHS), st.sampled_from(HOSTS), st.sampled_from(METHODS)), min_size=1, max_size=5
)


def takes(route: tuple[str, str, tuple[str, ...]], method: str, host: str, path: str) -> bool:
    prefix, wanted, methods = route
    fits_host = not wanted or host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:]))
    return path.startswith(prefix) and fits_host and (not methods or method in methods)


def by_kong(routes: list[tuple[str, str, tuple[str, ...]]], method: str, host: str, path: str) -> int | None:
    """The route that Kong says: most attributes, then plain hosts (none is no plain one), then the longest path."""
    fitting = [number for number, route in enumerate(routes) if takes(route, method, host, path)]

    def key(number: int) -> tuple[int, bool, int, int]:
        prefix, host, methods = routes[number]
        return -1 - bool(host) - bool(methods), not host or "*" in host, -len(prefix), number

    return min(fitting, key=key, default=None)


@settings(max_examples=100)
@given(routes=kong_routes)
def test_kongs_order_is_kept(
    routes: list[tuple[str, str, tuple[str, ...]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each request goes to the route that Kong would choose, by attributes, hosts and the length of paths."""
    table = table_of(routes, tmp_path_factory.getbasetemp() / "order.json")
    for host in ("x.test", "y.test", "other"):
        for method in ("GET", "DELETE"):
            for path in REQUESTS:
                expected = by_kong(routes, method, host, path)
                if expected is None:
                    continue  # a request without a location may be routed: the report says so
                match = table.match(method, host, path, b"", [], {})
                assert isinstance(match, Match), (method, host, path)
                assert match.value == f"r{expected}:80", (method, host, path, routes)


def table_of(routes: list[tuple[str, str, tuple[str, ...]]], file: Path) -> RouteTable[str]:
    services = []
    for number, (path, host, methods) in enumerate(routes):
        route = {"name": f"r{number}", "paths": [path], "strip_path": False}
        route |= ({"hosts": [host]} if host else {}) | ({"methods": list(methods)} if methods else {})
        services.append({"name": f"s{number}", "url": f"http://r{number}:80", "routes": [route]})
    file.write_text(json.dumps({"_format_version": "3.0", "services": services}, indent=1))
    return table_in(file)


def table_in(file: Path) -> RouteTable[str]:
    """The table of what a file becomes, with the target of each route."""
    files = {name: text.encode() for name, text in import_file(file).files.items()}
    configuration = parse(files, {}, base=file.parent)
    return RouteTable(
        [(rule, route.target) for rule, route in zip(rules(configuration), configuration.routes.routes, strict=True)]
    )


LOCATIONS = (
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "= /a",
    "= /a/b",
    "^~ /a/",
    "^~ /ab",
    "~ ^/a/[a-z]$",
    "~ ^/(a|b)/",
    "~ ^/a/b",
)


nginx_locations = st.lists(st.sampled_from(LOCATIONS), min_size=1, max_size=6, unique_by=lambda text: text.split()[-1])


def by_nginx(locations: list[str], path: str) -> int | None:
    """As nginx's documentation says: `=`, the longest prefix if it has `^~`, expressions, that prefix."""
    prefixes = [(text.split()[-1], number) for number, text in enumerate(locations) if text[0] not in "=~"]
    for number, text in enumerate(locations):
        if text == f"= {path}":
            return number
    longest = max(((p, n) for p, n in prefixes if path.startswith(p)), key=lambda each: len(each[0]), default=None)
    if longest is not None and locations[longest[1]].startswith("^~"):
        return longest[1]
    for number, text in enumerate(locations):
        if text[0] == "~" and re.search(text.split()[1], path):
            return number
    return None if longest is None else longest[1]


@settings(max_examples=80)
@given(locations=nginx_locations)
def test_the_order_of_nginx_is_kept(locations: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each request goes to the location that nginx would choose, unless it is only sent on to the path with a slash."""
    blocks = "".join(f"location {text} {{ proxy_pass http://r{n}:80; }}\n" for n, text in enumerate(locations))
    file = tmp_path_factory.getbasetemp() / "order.conf"
    file.write_text(f"server {{ listen 80;\n{blocks} }}\n")
    table = table_in(file)
    with_slash = {text.split()[-1] for text in locations if text[0] != "="}
    for path in REQUESTS:
        expected = by_nginx(locations, path)
        if expected is None or (path + "/" in with_slash and f"= {path}" not in locations):
            continue
        match = table.match("GET", "", path, b"", [], {})
        assert isinstance(match, Match), (path, locations)
        assert match.value == f"r{expected}:80", (path, locations)
