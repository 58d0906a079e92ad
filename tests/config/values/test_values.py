"""What each kind of value may be."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic_core import PydanticCustomError

from gateway.config.load import ConfigError, parse
from gateway.config.values.addresses import (
    AddressTarget,
    AsgiTarget,
    ServiceTarget,
    Target,
    parse_address,
    parse_host_pattern,
    parse_target,
)
from gateway.config.values.paths import slug
from gateway.config.values.quantities import parse_duration, parse_percent, parse_size
from tests.config.support import errors, parsed, route, route_errors


@pytest.mark.parametrize(
    ("written", "seconds"), [("5s", 5), ("250ms", 0.25), ("1m", 60), ("1h", 3600), ("1.5s", 1.5), (7, 7), (0.5, 0.5)]
)
def test_a_duration_is_a_number_with_a_unit_or_of_seconds(written: object, seconds: float) -> None:
    """Durations become seconds."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written", ["5", "5 s", "5x", "s", "-5s", -1, True, None, [], "1e9h", "9" * 50 + "s", 1e300, float("inf")]
)
def test_anything_else_is_no_duration(written: object) -> None:
    """A duration without its unit in a text, negative or of centuries is refused."""
    with pytest.raises(PydanticCustomError):
        parse_duration(written)


@pytest.mark.parametrize(
    ("written", "count"),
    [("10MiB", 10 * 1024**2), ("1MB", 10**6), ("512KiB", 512 * 1024), ("1.5KiB", 1536), ("8B", 8), (100, 100)],
)
def test_a_size_is_a_number_with_a_unit_or_of_bytes(written: object, count: int) -> None:
    """Sizes become bytes."""
    assert parse_size(written) == count


@pytest.mark.parametrize("written", ["10", "10Mi", "10mb", "0B", 0, -1, 1.5, "0.5B", True, None, float("inf"), 2**60])
def test_anything_else_is_no_size(written: object) -> None:
    """Zero, fractions of bytes and unknown units are refused."""
    with pytest.raises(PydanticCustomError):
        parse_size(written)


@pytest.mark.parametrize(("written", "percent"), [("50%", 50.0), ("0.5%", 0.5), ("100%", 100.0), ("0%", 0.0), (0, 0.0)])
def test_a_percentage_is_a_number_with_its_sign(written: object, percent: float) -> None:
    """A percentage, or zero."""
    assert parse_percent(written) == percent


@pytest.mark.parametrize("written", ["50", 50, 0.5, "101%", "-1%", "%", "5 %", "", None, True, False, "5s"])
def test_anything_else_is_no_percentage(written: object) -> None:
    """Without its sign a number could be a share of 1 as well."""
    with pytest.raises(PydanticCustomError):
        parse_percent(written)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("users", ServiceTarget("users")),
        ("users:8080", AddressTarget("http", "users", 8080)),
        ("[::1]:80", AddressTarget("http", "::1", 80)),
        ("http://users", AddressTarget("http", "users", 80)),
        ("https://Users.Example", AddressTarget("https", "users.example", 443)),
        ("https://users:8443", AddressTarget("https", "users", 8443)),
        ("http://[::1]:81", AddressTarget("http", "::1", 81)),
        ("https://[::1]", AddressTarget("https", "::1", 443)),
        ("asgi:package.module:app.inner", AsgiTarget("package.module", "app.inner")),
    ],
)
def test_a_target_has_one_of_four_shapes(text: str, target: Target) -> None:
    """A service, an address, a URL without a path, or an application."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://users/api", "change the path with the route's rewrite:"),
        ("http://users/", "change the path with the route's rewrite:"),
        ("http://users?x", "change the path with the route's rewrite:"),
        ("ftp://users", "a target URL begins with http:// or https://"),
        ("http://me:pw@users", "cannot carry a user or password"),
        ("http://users:0", "the port is a whole number from 1 to 65535"),
        ("http://", "a host name is made of"),
        ("users:99999", "the port is a whole number from 1 to 65535"),
        ("users:", "the port is a whole number from 1 to 65535"),
        (":80", "an address is host:port; both are needed"),
        ("::1:80", "an IPv6 address is written in brackets"),
        ("[::x]:80", "must be an IPv6 address"),
        ("users:80/api", "without a path"),
        ("asgi:module", "asgi:package.module:attribute"),
        ("us ers", "a target is the name of a service, host:port"),
        ("", "a target is the name of a service, host:port"),
        ("a\nb:80", "a host name is made of"),
    ],
)
def test_the_error_for_other_targets_lists_what_they_can_be(text: str, message: str) -> None:
    """Each slip has its own sentence."""
    with pytest.raises(PydanticCustomError) as caught:
        parse_target(text)
    assert message in str(caught.value)


def test_an_address_without_brackets_is_returned_without_them() -> None:
    """The host of an IPv6 address is ready to be connected to."""
    assert parse_address("[2001:DB8::1]:443") == ("2001:db8::1", 443)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.Straße.de", "*.xn--strae-oqa.de"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("my_service", "my_service"),
    ],
)
def test_hosts_are_kept_as_clients_send_them(written: str, host: str) -> None:
    """Lower case, ASCII, without the dot at the end."""
    assert parse_host_pattern(written) == host


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "*.*.example.com",
        "a.*.com",
        "*example.com",
        "a:80",
        "[::1]:80",
        "*.[::1]",
        "::1",
        "a..b",
        "",
        "-a",
        "☃.com",
        "a" * 64,
    ],
)
def test_other_hosts_are_refused(written: str) -> None:
    """Wildcards elsewhere, ports and what is no name are errors."""
    with pytest.raises(PydanticCustomError):
        parse_host_pattern(written)


def test_one_host_is_a_list_of_one() -> None:
    """`host:` takes a text or a list."""
    assert route("host: a.example").host == ("a.example",)
    assert route("host: [A.example, '*.b.example']").host == ("a.example", "*.b.example")


def test_methods_are_upper_cased() -> None:
    """`get` means GET."""
    assert route("methods: [get, PURGE]").methods == ("GET", "PURGE")


@pytest.mark.parametrize(
    "line", ["methods: []", "methods: ['']", "methods: ['*']", "methods: ['GET POST']", "methods:", "host:", "host: []"]
)
def test_an_empty_or_odd_condition_is_an_error(line: str) -> None:
    """A route that would never match, or by accident always, is refused."""
    assert len(route_errors(line)) == 1


def test_the_error_for_a_list_written_as_one_text_shows_the_list() -> None:
    """The error for `methods: GET` says `[GET]`."""
    assert route_errors("methods: GET") == ['expected a list; write [GET] (got "GET")']
    assert route_errors("split: yes") == ['expected a list; write split: [{"target": "..."}] (got "yes")']


@pytest.mark.parametrize(
    ("models", "list"),
    [
        ("modelRouting: {rules: yes}", 'rules: [{"use": "heavy"}]'),
        (
            "modelRouting: {rules: [{when: {header: 7}, use: a}], profiles: {a: {}}}",
            'header: [{"name": "X-Route-Profile"}]',
        ),
        ("mcp: {tools: {servers: files}}", 'servers: [{"name": "files"}]'),
        ("modelRouting: {profiles: {a: {providers: openai}}}", "[openai]"),
    ],
)
def test_the_list_in_an_error_has_entries_of_its_kind(models: str, list: str) -> None:
    """Those that are keys and values are shown so, and bare texts only where the key takes them."""
    (line,) = errors(models=models)
    assert f": expected a list; write {list} (got " in line


def test_header_names_are_lower_cased_and_must_differ() -> None:
    """Names are compared without regard to case."""
    assert list(route("headers: {X-Version: '1'}").headers) == ["x-version"]
    assert "a header is duplicated" in route_errors("headers: {X-A: '1', x-a: '2'}")[0]
    assert "a header name is letters" in route_errors("headers: {'x y': '1'}")[0]


def test_a_predicate_is_a_text_a_presence_or_a_regular_expression() -> None:
    """The three forms of headers and query."""
    found = route("headers: {a: x, b: {present: false}}\nquery: {c: {regex: 'v[0-9]+'}}")
    assert (found.headers["a"].exact, found.headers["b"].present, found.query["c"].regex) == ("x", False, "v[0-9]+")


@pytest.mark.parametrize(
    "predicate", ["{}", "{exact: x, regex: y}", "{regex: '('}", "{present: 1}", "[]", "2", "", "{present: }"]
)
def test_other_predicates_are_refused(predicate: str) -> None:
    """Exactly one condition, of its type, that compiles."""
    assert len(route_errors(f"headers: {{a: {predicate}}}")) == 1


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        (r"(a)\1", "see character 4, this escape is not known here"),
        ("(?=a)b", "see character 1, groups that begin with (? are not known here"),
        ("a+?", "see character 3, a quantifier after a quantifier"),
        ("(a{100}){100}", "the pattern stands for more than 250 characters"),
        ("a" * 501, "longer than 500 characters"),
    ],
)
def test_what_no_linear_engine_can_do_is_refused_with_the_reason(regex: str, reason: str) -> None:
    """An expression that Python would take, and this gateway does not, is an error that says why."""
    (problem,) = route_errors(f"headers: {{a: {{regex: '{regex}'}}}}")
    assert reason in str(problem)


@pytest.mark.parametrize("key", ["path", "rewrite", "strip_prefix", "headers", "query", "target", "host", "id"])
def test_line_ends_and_nul_are_refused_wherever_they_could_reach_a_request(key: str) -> None:
    """No value can inject a header or cut a path."""
    for escape in ("\\r\\n", "\\n", "\\0", "\\x7f"):
        text = f'"/x{escape}y"'
        assert len(route_errors(f"{key}: {{a: {text}}}" if key in ("headers", "query") else f"{key}: {text}")) == 1


def test_the_name_of_a_query_parameter_is_checked_too() -> None:
    """Control characters are refused in keys as well."""
    assert len(route_errors('query: {"a\\nb": x}')) == 1


@pytest.mark.parametrize(
    "path", ["x", "", "/{", "/}", "/{a}{b", "/{}", "/{1a}", "/{a b}", "/{a}/{a}", "/{{a}}", "/{a*}", "*"]
)
def test_paths_that_are_no_patterns_are_refused(path: str) -> None:
    """A path begins with a slash, and its captures are named once and well."""
    assert len(route_errors(f"path: '{path}'")) == 1


@pytest.mark.parametrize(
    ("path", "rewrite"),
    [("/*", "/$1"), ("/{a}/*", "/$2/$1"), ("/{a}/*", "/{a}/$2"), ("/a", "/b"), ("/a", "/$x"), ("/a", "/cost$")],
)
def test_a_rewrite_may_use_what_the_path_captures(path: str, rewrite: str) -> None:
    """`*` and {name} are numbered together, in order."""
    assert route(f"path: '{path}'\nrewrite: '{rewrite}'").rewrite == rewrite


@pytest.mark.parametrize(
    ("path", "rewrite", "message"),
    [
        ("/a", "/$1", "the path captures nothing: add * or {name} to it, no $1"),
        ("/*", "/$2", "the path has only $1, no $2"),
        ("/{a}/*", "/$3", "the path has only $1 to $2, no $3"),
        ("/*", "/$0", "the path has only $1, no $0"),
        ("/*", "/$" + "9" * 5000, "the path has only $1, no $9"),
        ("/{a}", "/{b}", "the path has no capture of this name; correct one of them: {b}"),
        ("/{a}", "/*", 'a rewrite has no "*"'),
        ("/{a}", "/x?y={a}", "a rewrite is only a path"),
        ("/{a}", "x/{a}", 'a rewrite starts with "/"; write /x/{a}'),
        ("/{a}", "/{a", "a { or } is without its partner"),
    ],
)
def test_a_rewrite_of_what_is_not_captured_names_it(path: str, rewrite: str, message: str) -> None:
    """The message says what is missing and what there is."""
    (line,) = route_errors(f"path: '{path}'\nrewrite: '{rewrite}'")
    assert message in line


def test_strip_prefix_and_rewrite_exclude_each_other() -> None:
    """Both together are an error."""
    assert route("strip_prefix: /x").strip_prefix == "/x"
    assert len(route_errors("strip_prefix: x")) == 1
    assert "exclude each other" in route_errors("strip_prefix: /x\nrewrite: /$1")[0]


@pytest.mark.parametrize(("written", "kept"), [("/api", "/api"), ("/", ""), ("''", ""), ("/a/b", "/a/b")])
def test_a_base_path_begins_with_a_slash_and_does_not_end_with_one(written: str, kept: str) -> None:
    """ "/" is the same as none."""
    assert parsed(f"base_path: {written}\nroutes: [{{path: /x, target: 'a:1'}}]\n").routes.base_path == kept


@pytest.mark.parametrize("written", ["/api/", "api", "//api", "'/*'", "/{a}", "/a?b", "null"])
def test_other_base_paths_are_refused(written: str) -> None:
    """The message shows the right form."""
    (line,) = errors(f"base_path: {written}\nroutes: [{{path: /x, target: 'a:1'}}]\n")
    assert "base_path: " in line


def test_trusted_proxies_are_networks_or_addresses() -> None:
    """An address is a network of one."""
    found = parsed(auth="trusted_proxies: [10.0.0.0/8, 10.1.2.3, '::1', 'fd00::/8']\n").auth.trusted_proxies
    assert found == tuple(map(ip_network, ("10.0.0.0/8", "10.1.2.3/32", "::1/128", "fd00::/8")))


def test_ipv4_networks_within_ipv6_are_ipv4_networks() -> None:
    """As addresses within IPv6 are IPv4 addresses."""
    found = parsed(auth="trusted_proxies: ['::ffff:10.0.0.0/104', '::ffff:10.1.2.3']\n").auth.trusted_proxies
    assert found == tuple(map(ip_network, ("10.0.0.0/8", "10.1.2.3/32")))


def test_a_network_has_no_zone() -> None:
    """The addresses of clients have none, so that it would never hold."""
    assert errors(auth="trusted_proxies: ['fe80::1%eth0', 10.0.0.0/8]\n") == [
        "auth.yaml:1:19: trusted_proxies[0]: addresses of clients have no zone; remove what begins with %"
        ' (got "fe80::1%eth0")',
    ]


def test_the_error_for_a_network_with_host_bits_names_the_right_one() -> None:
    """10.1.2.3/8 was meant as 10.0.0.0/8, or not: the reader decides."""
    assert errors(auth="trusted_proxies:\n- 10.1.2.3/8\n- nonsense\n- 10\n") == [
        "auth.yaml:2:3: trusted_proxies[0]: the address has bits set beyond the prefix length;"
        ' the network is 10.0.0.0/8 (got "10.1.2.3/8")',
        "auth.yaml:3:3: trusted_proxies[1]: expected a network such as 10.0.0.0/8, or an address such as 10.1.2.3"
        ' or ::1 (got "nonsense")',
        "auth.yaml:4:3: trusted_proxies[2]: expected a network such as 10.0.0.0/8, or an address such as 10.1.2.3"
        " or ::1 (got 10)",
    ]


@pytest.mark.parametrize(
    ("path", "identifier"),
    [
        ("/v1/process-design/*", "v1-process-design"),
        ("/", "root"),
        ("/*", "root"),
        ("/users/{id}/posts", "users-id-posts"),
        ("/straße", "stra-e"),
    ],
)
def test_a_derived_id_is_readable(path: str, identifier: str) -> None:
    """A route without an id is named after its path."""
    assert slug(path) == identifier


NAMES = ["Content-Length", "content_length", "Transfer-Encoding", "Transfer.Encoding", "Connection", "TE", "Keep-Alive"]
NAMES += ["Host", "Upgrade", "Expect", "Trailer", "Proxy-Authorization", "X-Forwarded-For", "X_Forwarded_Proto"]
NAMES += [
    "Sec-WebSocket-Key",
    "Sec_WebSocket_Protocol",
    "X-Script-Name",
    "X-Original-URI",
    "X-Accel-Redirect",
    "Max-Forwards",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("middleware.yaml", "request_id: {{header: {name}}}"),
        ("auth.yaml", "identity_headers: {{consumer: {name}}}"),
        ("auth.yaml", "schemes: {{a: {{api_key: {{header: {name}}}}}}}"),
        ("auth.yaml", "schemes: {{a: {{mtls: {{source: client-cert, header: {name}}}}}}}"),
        ("auth.yaml", "schemes: {{a: {{forward_auth: {{url: 'http://a/', identity: {{tenant: {name}}}}}}}}}"),
    ],
)
def test_no_setting_gives_a_header_of_http_another_meaning(file: str, text: str, name: str) -> None:
    """What frames or routes a message cannot carry an id, a key or a name as well, however it is spelt."""
    files = {"routes.yaml": "- {path: /x, target: 'b:80'}", file: text.format(name=name)}
    with pytest.raises(ConfigError) as caught:
        parse({key: value.encode() for key, value in files.items()}, {}, base=Path())
    (problem,) = caught.value.problems
    assert "is reserved" in str(problem)


@pytest.mark.parametrize("name", ["Content-Length", "transfer_encoding", "Connection", "Trailer"])
def test_nothing_is_counted_by_how_a_message_is_framed(name: str) -> None:
    """A key of a limit cannot be a header that belongs to the connection."""
    files = {
        "routes.yaml": "- {path: /x, target: 'b:80'}",
        "middleware.yaml": f"rate_limits: {{a: {{key: ['header:{name}'], limits: [1/s]}}}}",
    }
    with pytest.raises(ConfigError, match="how a message is framed"):
        parse({key: value.encode() for key, value in files.items()}, {}, base=Path())


def test_an_id_that_clients_choose_cannot_name_who_calls() -> None:
    """The header of the request id is none of the identity headers."""
    files = {"routes.yaml": "- {path: /x, target: 'b:80'}", "middleware.yaml": "request_id: {header: X_Consumer_Name}"}
    with pytest.raises(ConfigError, match="identity_headers"):
        parse({key: value.encode() for key, value in files.items()}, {}, base=Path())
