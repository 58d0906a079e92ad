import pytest

from gateway.algorithms.conditions import compile_condition
from gateway.config.checks.paths_in_conditions import PathLiterals
from gateway.routes.rule import Rule

RULES = [
    Rule("a", "/v1/users/*"),
    Rule("b", "/v1/img/{name}.png"),
    Rule("c", "/v1/users:delete"),
    Rule("d", "/api/inner/*"),
    Rule("e", "/{tenant}/x/"),
]


def found(condition: str, rules: list[Rule] | None = None) -> list[str]:
    return list(PathLiterals(rules or RULES, "/api").unmet(compile_condition(condition).path_tests, 0))


@pytest.mark.parametrize(
    "condition",
    [
        'path == "/v1/users"',
        'path == "/v1/users/7/x"',
        'path.startswith("/v1/us")',
        'path.startswith("/v1/users/7/x")',
        'path.startswith("/")',
        'path in ["/v1/img/a.png", "/v1/users%3Adelete"]',
        'path != "/anything/x/"',
        'path.startswith("/v1/img/a")',
        'path.endswith("/x/")',
        'path.endswith(".png")',
        'path == "/api/inner/x"',
        'path.matches("/nothing")',
        'path.matches("/caf%C3%A9")',
        'original_path.startswith("/api/v1")',
        'method == "GET" or not (path == "/v1/users/")',
    ],
)
def test_what_a_route_can_meet_is_not_reported(condition: str) -> None:
    """A text that some route's path can be compared with, however it is escaped, gives no warning."""
    assert found(condition) == []


@pytest.mark.parametrize(
    "condition",
    [
        'path == "/v2/users"',
        'not path.startswith("/v2/private")',
        'path in ["/v1/users/x", "/v1/img/a.jpg"]',
        '"/v1/img/.png" != path',
        'path.startswith("/v1/users//x")',
        'path == "/v1/users/../x"',
        'path == "/v1/users/x?a=1"',
        'path.startswith("/v1/users:delete/")',
        'path.startswith("/v1/img/a/b")',
        '(path == "/x") == true',
        'path.matches("/v1/users%3Adelete")',
        'path.matches("/caf%c3%a9")',
    ],
)
def test_what_no_route_can_meet_is_reported(condition: str) -> None:
    """A text that the path of no route can be is a mistake, and is named."""
    (message,) = found(condition)
    assert message.startswith("no route has a path that ")


@pytest.mark.parametrize(
    "condition", ['path == "/api/v1/users"', 'not path.startswith("/api/private")', 'path.matches("/api/private.*")']
)
def test_a_base_path_in_a_condition_is_reported(condition: str) -> None:
    """Even where a route takes all paths: conditions see the path without the base path, and the remedy says which."""
    (message,) = found(condition, [Rule("all", "/*")])
    assert "without base_path; write " in message
    assert '"/private' in message or '"/v1/users"' in message
