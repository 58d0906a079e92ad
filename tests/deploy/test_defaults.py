import re
from importlib.metadata import distribution

from packaging.requirements import Requirement

from gateway.config.load import load
from gateway.config.models import MiddlewareFile

from .programs import ROOT

PROJECT = "flowmaster-gateway"


def pinned() -> dict[str, str]:
    """Package name, normalised, to the one version that constraints.txt allows."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonical(name): version for name, version in pins}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def required() -> set[str]:
    """All that the project needs to run and to be tested, directly and indirectly, on this interpreter."""
    found: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(PROJECT, ("", "test"))]
    while waiting:
        name, extras = waiting.pop()
        for line in distribution(name).requires or ():
            need = Requirement(line)
            wanted = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
            if wanted and need.name == PROJECT:  # an extra that another one brings
                waiting.append((PROJECT, tuple(need.extras)))
            elif wanted and canonical(need.name) not in found:
                found.add(canonical(need.name))
                waiting.append((need.name, ("", *need.extras)))
    return found


def test_everything_that_is_needed_is_pinned() -> None:
    """Each package that the project or its tests need, however indirectly, has one version in constraints.txt."""
    assert required() - pinned().keys() == set()


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests run with the very versions that constraints.txt names."""
    assert {name: distribution(name).version for name in required()} == {name: pinned()[name] for name in required()}


def test_the_pins_name_no_place_to_fetch_from() -> None:
    """constraints.txt holds names and versions only: where packages come from is the machine's own matter."""
    text = (ROOT / "constraints.txt").read_text()
    assert re.search(r"://|^-", text, re.MULTILINE) is None


def test_middleware_yaml_shows_the_defaults() -> None:
    """Each value that the repository's middleware.yaml spells out, but its limit, is the one that holds without it."""
    shown = load(ROOT, {}).middleware
    assert shown.model_copy(update={"rate_limits": {}}) == MiddlewareFile()


def test_the_limit_of_the_repository_refuses_nothing() -> None:
    """The one rate limit of the repository's middleware.yaml shows itself, in shadow mode."""
    assert [limit.mode for limit in load(ROOT, {}).middleware.rate_limits.values()] == ["shadow"]


def test_the_routes_are_those_of_the_three_demo_backends() -> None:
    """The repository's own routes lead to the demo backends, with and without /api, rewritten or not."""
    routes = load(ROOT, {}).routes
    assert [route.target for route in routes.routes] == [
        "process-design:9003",
        "execution-engine:9005",
        "scheduling:9008",
    ]
    assert (routes.base_path, routes.accept_rewritten) == ("/api", True)


def test_a_local_nginx_is_believed() -> None:
    """The repository's own auth.yaml trusts loopback only."""
    assert [str(network) for network in load(ROOT, {}).auth.trusted_proxies] == ["127.0.0.0/8", "::1/128"]
