"""What the tests of routing share."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.routes.explain import Explanation
from gateway.routes.rule import Match, NoMatch, Rule
from gateway.routes.table import RouteTable


def table(*rules: Rule, base_path: str = "", accept_rewritten: bool = False) -> RouteTable[str]:
    """Compile rules whose values are their ids."""
    return RouteTable(_with_ids(rules), base_path=base_path, accept_rewritten=accept_rewritten)


def ask(
    routes: RouteTable[str],
    path: str,
    *,
    method: str = "GET",
    host: str = "localhost",
    query: str = "",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
) -> Match[str] | NoMatch:
    """Ask for the route of a request."""
    given = headers.items() if isinstance(headers, Mapping) else headers
    lines = [(name.encode(), value.encode()) for name, value in given]
    return routes.match(method, host, path, query.encode(), lines, dict(lines))


def why(
    routes: RouteTable[str], path: str, *, method: str = "GET", host: str = "localhost", query: str = ""
) -> Explanation[str]:
    """Ask why a request goes where it goes."""
    return routes.explain(method, host, path, query.encode(), [], {})


def winner(answer: Match[str] | NoMatch) -> str | None:
    """Return the id of the rule that takes the request."""
    return answer.rule.id if isinstance(answer, Match) else None


def sent(answer: Match[str] | NoMatch) -> str | None:
    """Return the path that is sent."""
    return answer.path if isinstance(answer, Match) else None


def _with_ids(rules: Iterable[Rule]) -> list[tuple[Rule, str]]:
    return [(rule, rule.id) for rule in rules]
