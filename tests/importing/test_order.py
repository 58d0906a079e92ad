"""Routes of another gateway take what they took, whatever decides between them there and here."""

from __future__ import annotations

import json
from pathlib import Path

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
    """The route that Kong's documentation says: most attributes, plain hosts first, longest path, first in the file."""
    fitting = [number for number, route in enumerate(routes) if takes(route, method, host, path)]

    def key(number: int) -> tuple[int, bool, int, int]:
        prefix, host, methods = routes[number]
        return -1 - bool(host) - bool(methods), "*" in host, -len(prefix), number

    return min(fitting, key=key, default=None)


@settings(max_examples=150)
@given(routes=kong_routes)
def test_kongs_order_is_kept(routes: list[tuple[str, str, tuple[str, ...]]], tmp_path_factory: object) -> None:
    """Each request goes to the route that Kong would choose, by attributes, hosts and the length of paths."""
    table = table_of(routes, Path(str(tmp_path_factory.getbasetemp())) / "order.json")  # type: ignore[attr-defined]
    for host in ("x.test", "y.test", "other"):
        for method in ("GET", "DELETE"):
            for path in REQUESTS:
                expected = by_kong(routes, method, host, path)
                if expected is None:
                    continue  # what nobody took may be taken: the report says so
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
    files = {name: text.encode() for name, text in import_file(file).files.items()}
    configuration = parse(files, {}, base=file.parent)
    return RouteTable(
        [(rule, route.target) for rule, route in zip(rules(configuration), configuration.routes.routes, strict=True)]
    )
