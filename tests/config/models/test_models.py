"""What the three files mean once they are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import ValidationError

from gateway.config.docs.reference import SAMPLE
from gateway.config.models import FILES, RouteTimeouts, Timeouts
from gateway.config.models.base import Late
from gateway.config.models.layout import levels
from tests.config.support import ROUTE, errors, parsed, route, route_errors, routes_of

SERVICES = """\
services:
  users:
    endpoints:
    - 10.0.0.1:80
    - {address: '[::1]:80', weight: 5}
    protocol: https
    tls: {server_name: users.example}
    connections: {max: 4, idle_timeout: 5s}
routes:
- path: /x
  target: users
"""


def test_the_sample_file_loads_as_written() -> None:
    """Three routes with their targets and rewrites."""
    found = [(item.id, item.path, item.target, item.rewrite) for item in routes_of(SAMPLE).routes]
    assert found == [
        ("v1-process-design", "/v1/process-design/*", "process-design:9003", "/api/v1/processes/$1"),
        ("v1-execution", "/v1/execution/*", "execution-engine:9005", "/api/v1/execution/$1"),
        ("v1-scheduling", "/v1/scheduling/*", "scheduling:9008", "/api/v1/schedules/$1"),
    ]


def test_a_bare_list_is_the_same_as_routes() -> None:
    """The key `routes:` may be left out."""
    assert routes_of(SAMPLE.removeprefix("routes:\n")) == routes_of(SAMPLE)


def test_the_other_files_have_defaults() -> None:
    """Missing, empty, commented out or with empty groups: all the same."""
    texts = ["", "# limits:\n", "---\n", "limits:\ntimeouts:\naccess_log:\ndrain:\nwebsocket:\n"]
    found = [parsed(middleware=text, auth="trusted_proxies:\n").middleware for text in texts]
    assert all(item == found[0] for item in found)
    assert found[0].limits.head == 32 * 1024
    assert (found[0].timeouts.connect, found[0].timeouts.idle, found[0].drain.window) == (5, None, 5)


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "routes: []", "routes:", "base_path: /api", "{}", "---"])
def test_routes_without_a_route_are_an_error(text: str) -> None:
    """A truncated file is never taken for a configuration."""
    assert len(errors(text)) == 1


def test_a_service_has_endpoints_weights_and_limits() -> None:
    """Endpoints may be texts or mappings."""
    service = routes_of(SERVICES).services["users"]
    assert [(item.address, item.weight) for item in service.endpoints] == [("10.0.0.1:80", 1), ("[::1]:80", 5)]
    assert (service.protocol, service.tls.server_name, service.tls.verify) == ("https", "users.example", True)
    assert (service.connections.max, service.connections.pending, service.connections.idle_timeout) == (4, 1024, 5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("- 10.0.0.1:80", "- 10.0.0.1"),
        ("weight: 5", "weight: -1"),
        ("weight: 5", "weight: 1001"),
        ("weight: 5", "weight: 1.5"),
        ("weight: 5", "weight: true"),
        ("protocol: https", "protocol: http"),
        ("protocol: https", "protocol: h2"),
        ("max: 4", "max: 0"),
        ("  users:", "  'a:b':"),
        ("  users:", "  '12':"),
        ("target: users", "target: user"),
        ("server_name: users.example", "server_name: a b"),
        ("server_name: users.example", "verify: no"),
        ("{address: '[::1]:80', weight: 5}", "[]"),
        ("{address: '[::1]:80', weight: 5}", "http://b:80"),
    ],
)
def test_a_service_with_a_slip_is_refused(before: str, after: str) -> None:
    """Each value of a service is checked."""
    assert errors(SERVICES.replace(before, after))


def test_a_service_without_endpoints_is_refused() -> None:
    """There must be one at least."""
    assert "the list is empty" in errors("services: {a: {endpoints: []}}\nroutes:\n" + ROUTE)[0]
    assert "either endpoints or discovery" in errors("services: {a: {}}\nroutes:\n" + ROUTE)[0]
    assert (
        "lines with keys such as endpoints, discovery, balance, slow_start, panic (got nothing)"
        in errors("services: {a: }\nroutes:\n" + ROUTE)[0]
    )


@pytest.mark.parametrize(
    ("discovery", "problem"),
    [
        ("{dns: orders.test}", "dns needs a port, or type: SRV"),
        ("{dns: _http._tcp.orders.test, type: SRV, port: 80}", "dns needs a port, or type: SRV"),
        ("{dns: 10.0.0.1, port: 80}", "write it under endpoints"),
        ("{dns: orders.test, port: 80, server: ns.test}", "a name server is an IP address"),
        ("{dns: orders.test, port: 80, ttl: {max: 0.5s}}", "at most once a second"),
        ("{dns: orders.test, port: 80, ttl: {min: 2m, max: 1m}}", "min is more than max"),
        ("{file: a.yaml, port: 80}", '"port" has an effect only with "dns"'),
        ("{file: a.yaml, dns: orders.test, port: 80}", "exactly one source"),
        ("{}", "exactly one source"),
    ],
)
def test_a_wrong_source_is_refused(discovery: str, problem: str) -> None:
    """With what is wrong, and the remedy."""
    assert problem in errors(f"services: {{a: {{discovery: {discovery}}}}}\nroutes:\n" + ROUTE)[0]


def test_name_servers_are_written_in_several_ways() -> None:
    """An address has port 53, and one alone need not be a list."""
    servers = "[10.0.0.2, '127.0.0.1:5353', '::1', '[::1]:5353']"
    text = f"services: {{a: {{discovery: {{dns: A.test., port: 80, server: {servers}}}}}}}\nroutes:\n" + ROUTE
    found = routes_of(text).services["a"].discovery
    assert found is not None
    assert (found.dns, found.server) == ("a.test", ("10.0.0.2:53", "127.0.0.1:5353", "[::1]:53", "[::1]:5353"))
    found = routes_of(text.replace(servers, "10.0.0.2")).services["a"].discovery
    assert found is not None
    assert found.server == ("10.0.0.2:53",)


def test_an_unknown_service_is_reported_with_the_likely_one() -> None:
    """A target without a port must be a service of the file."""
    line = errors(SERVICES.replace("target: users", "target: usres"))[0]
    assert line == (
        "routes.yaml:11:3: routes[0].target: services has no entry of this name; define it, or write host:port;"
        ' did you mean "users"? (got "usres")'
    )


def test_ids_are_unique() -> None:
    """The error is at the second one, with the place of the first."""
    text = "".join(f"- path: /{name}\n  target: a:1\n  id: same\n" for name in "abc")
    assert errors(text) == [
        'routes.yaml:6:3: routes[1].id: routes[0] on line 3 has the same id; rename one of them (got "same")',
        'routes.yaml:9:3: routes[2].id: routes[0] on line 3 has the same id; rename one of them (got "same")',
    ]


def test_derived_ids_are_unique_and_never_take_a_given_one() -> None:
    """Routes of the same path get numbered ids."""
    text = "".join(f"- path: /a\n  target: a:1\n{line}" for line in ("", "", "  id: a-2\n", "", "  id: a\n"))
    assert [item.id for item in routes_of(text).routes] == ["a-3", "a-4", "a-2", "a-5", "a"]


@pytest.mark.parametrize("identifier", ["''", "a b", "a/b", "-a", "5", "null", "x" * 101])
def test_other_ids_are_refused(identifier: str) -> None:
    """An id is a short word."""
    assert len(route_errors(f"id: {identifier}")) == 1


def test_a_bare_timeout_is_the_total() -> None:
    """`timeout: 5s` limits the whole exchange."""
    assert route("timeout: 5s").timeout == RouteTimeouts(total=5)
    assert route("timeout: 5").timeout == RouteTimeouts(total=5)


def test_a_route_overrides_only_the_timeouts_that_it_sets() -> None:
    """The others are those of middleware.yaml."""
    general = Timeouts(connect=1, response_header=2, idle=3, total=4)
    assert general.overridden_by(route("timeout: {idle: 9s}").timeout) == Timeouts(
        connect=1, response_header=2, idle=9, total=4
    )
    assert general.overridden_by(None) is general


@pytest.mark.parametrize("timeout", ["0", "{connect: 0}", "{conect: 5s}", "[]", "", "{idle: }", "true"])
def test_other_timeouts_are_refused(timeout: str) -> None:
    """More than nothing, of a known kind."""
    assert len(route_errors(f"timeout: {timeout}")) == 1


def test_only_the_drain_window_may_be_nothing() -> None:
    """Where no load balancer has to learn of the end, there is nothing to wait for."""
    assert parsed(middleware="drain: {window: 0}").middleware.drain.window == 0
    assert "a duration must be more than 0 here" in errors(middleware="drain: {deadline: 0s}")[0]


def test_text_is_never_taken_for_a_boolean() -> None:
    """`yes` is a text, and a boolean is true or false."""
    assert route_errors("preserve_host: yes") == ['expected true or false (got "yes")']


def test_what_was_read_cannot_be_changed() -> None:
    """A Snapshot may keep it."""
    found = parsed()
    with pytest.raises(ValidationError):
        found.routes.routes[0].path = "/y"  # type: ignore[misc]


def test_the_digest_identifies_contents() -> None:
    """It is the same for the same files, and another for each change, also of what is where."""
    first = parsed(middleware="# a\n").digest
    assert parsed(middleware="# a\n").digest == first
    assert len({first, parsed().digest, parsed(auth="# a\n").digest, parsed(middleware="# b\n").digest}) == 4
    assert len(first) == 12


def test_a_warning_can_find_its_line() -> None:
    """`locate` gives the place of a value, or of the nearest thing above it."""
    found = parsed("base_path: /api\nroutes:\n- path: /x\n  target: a:1\n  timeout: 5s\n")
    assert found.locate("routes.yaml", ("routes", 0, "target")) == (4, 3)
    assert found.locate("routes.yaml", ("routes", 0, "timeout", "total")) == (5, 3)
    assert found.locate("routes.yaml", ("routes", 0, "rewrite")) == (3, 3)
    assert found.locate("routes.yaml", ("routes", 9)) == (2, 1)
    assert found.locate("auth.yaml", ("trusted_proxies",)) == (1, 1)
    assert parsed(ROUTE).locate("routes.yaml", ("routes", 0, "target")) == (2, 3)


def test_the_documented_sample_is_in_the_documentation() -> None:
    """docs/configuration.md begins with a file that loads."""
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    assert text.split("```yaml\n")[1].split("```")[0] == SAMPLE


def test_a_route_may_have_several_paths() -> None:
    """Its id is made of the first, without what is in it of regular expressions."""
    made, other = routes_of("""
- {paths: ['/api/{id:[1-9][0-9]*}', '/old/{id}'], target: 'a:1', rewrite: '/x/{id}'}
- {path: /a, target: 'a:1'}
""").routes
    assert (made.id, made.all_paths) == ("api-id", ("/api/{id:[1-9][0-9]*}", "/old/{id}"))
    assert other.all_paths == ("/a",)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("path: /a, paths: [/b]", "paths: path and paths exclude each other; write all of them in paths"),
        ("paths: [/b, /b]", "paths: a path is duplicated; remove one"),
        ("paths: []", "paths: the list is empty"),
        ("paths: [b]", 'paths[0]: a path starts with "/"; write /b'),
        ("paths: ['/a/{x}', /b], rewrite: '/{x}'", "rewrite: the path has no capture of this name"),
        ("host: a", 'the key "path" is missing; add it, such as path: /v1/users/*'),
        ("path: '/a/{x:[0-9}'", "path: a { or } is without its partner"),
        ("path: '/a/{x:[0-9]+?}'", "path: this regular expression cannot be used: see character 7"),
    ],
)
def test_paths_that_mean_nothing_are_refused(keys: str, expected: str) -> None:
    """Each with its place and remedy."""
    (error,) = errors(f"- {{{keys}, target: 'a:1'}}")
    assert expected in error


def test_a_model_whose_validator_is_built_late_is_checked_by_nothing_before() -> None:
    """`Late` has the model alone check the value, so what stands before it in a type would be passed over."""
    types = [field for file in FILES for model in set(levels(file).values()) for field in model.model_fields.values()]
    annotated = [each for field in types for each in _annotated(Annotated[field.annotation, *field.metadata, ""])]
    late = [notes for notes in annotated if set(notes) & set(get_args(Late)[1:])]
    assert len(late) > 40
    assert [notes for notes in late if notes[:1] != get_args(Late)[1:]] == []


def _annotated(annotation: Any) -> Iterator[tuple[Any, ...]]:
    """The notes of every `Annotated` in a type."""
    if get_origin(annotation) is Annotated:
        yield get_args(annotation)[1:]
    for each in get_args(annotation):
        yield from _annotated(each)
