"""Groups, defaults, and the route files of several teams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.check import check
from gateway.config.checks import WARNINGS, run
from gateway.config.files import read_files
from gateway.config.load import load, parse
from gateway.config.models import Configuration, RouteConfig
from gateway.config.problems import ConfigError

GROUPED = """\
defaults:
  auth: [keys]
  timeout: 3s
  authorize: [{scopes: [read]}]
services: {shop: {endpoints: [10.0.0.1:80]}, other: {endpoints: [10.0.0.2:80]}}
groups:
- id: shop
  prefix: /shop/{tenant}
  target: shop
  strip_prefix: /shop
  authorize: [{groups: [staff]}]
  retry: {attempts: 2}
  routes:
  - path: /orders/{id}
    methods: [GET]
  - {id: cart, paths: [/cart, /basket/*], authorize: [{scopes: [cart]}], timeout: 1s}
  - {path: /old/*, redirect: /shop/$1/orders/$2, auth: []}
  - {path: "", rewrite: "/{tenant}/start", target: other}
routes:
- {path: /plain, target: other, host: a.example}
"""
AUTH = "schemes: {keys: {api_key: {header: X-API-Key}}}\n"


def read(files: Mapping[str, str]) -> Configuration:
    texts = {"auth.yaml": AUTH} | dict(files)
    return parse({name: text.encode() for name, text in texts.items()}, {"ENV": "10.0.0.3:80"}, base=Path("/nowhere"))


def problems_of(files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(files)
    return [str(problem) for problem in caught.value.problems]


def route(configuration: Configuration, name: str) -> RouteConfig:
    return next(each for each in configuration.routes.routes if each.id == name)


def test_a_route_beats_its_group_which_beats_the_defaults() -> None:
    """Key by key; `authorize` adds up; a route that the gateway answers gets nothing that is about backends."""
    made = read({"routes.yaml": GROUPED})
    assert [each.id for each in made.routes.routes] == [
        "shop-tenant-orders-id",
        "cart",
        "shop-tenant-old",
        "shop-tenant",
        "plain",
    ]
    orders, cart, old, start, plain = made.routes.routes
    assert (orders.path, orders.target, orders.strip_prefix, orders.auth) == (
        "/shop/{tenant}/orders/{id}",
        "shop",
        "/shop",
        ("keys",),
    )
    assert cart.all_paths == ("/shop/{tenant}/cart", "/shop/{tenant}/basket/*")
    assert [(each.scopes, each.groups) for each in cart.authorize] == [
        (("read",), None),
        (None, ("staff",)),
        (("cart",), None),
    ]
    assert [each.timeout and each.timeout.total for each in (orders, cart, plain)] == [3, 1, 3]
    assert (old.auth, old.target, old.strip_prefix, old.retry, old.timeout) == ((), "", None, None, None)
    assert old.redirect is not None
    assert (start.path, start.target, start.rewrite, start.strip_prefix) == (
        "/shop/{tenant}",
        "other",
        "/{tenant}/start",
        None,
    )
    assert (plain.target, plain.retry, len(plain.authorize)) == ("other", None, 1)
    assert made.group_of("cart") == "shop"
    assert made.group_of("plain") is None


def test_a_path_without_a_value_is_not_the_prefix() -> None:
    """What a template has rendered to nothing is an error, as everywhere; `""` is the prefix itself."""
    text = "groups: [{prefix: /a, target: 'a:1', routes: [{path: }]}]\n"
    assert problems_of({"routes.yaml": text}) == [
        "routes.yaml:1:48: groups[0].routes[0].path: expected a text (got nothing)"
    ]


def test_a_prefix_is_no_pattern_with_a_rest() -> None:
    """As which other gateways write it."""
    text = "groups: [{prefix: /a/*, target: 'a:1', routes: [{path: /b}]}]\n"
    (found,) = problems_of({"routes.yaml": text})
    assert found.startswith("routes.yaml:1:11: groups[0].prefix: ")
    assert "write /a" in found


def test_what_cannot_be_compiled_is_reported_in_its_file(tmp_path: Path) -> None:
    """A pattern, and an application that cannot be imported."""
    (tmp_path / "routes.yaml").write_text("- {path: /x, target: 'a:1'}\n")
    (tmp_path / "routes.b.yaml").write_text("\ngroups: [{prefix: /g, routes: [{path: '/{a}{b}', target: 'a:1'}]}]\n")
    (found,) = check(tmp_path, {})
    assert str(found).startswith('routes.b.yaml:2:32: groups[0].routes[0]: path "/g/{a}{b}" has two wildcards')
    (tmp_path / "routes.b.yaml").write_text("\n- {path: /y, target: 'asgi:there.is_none:app'}\n")
    (found,) = check(tmp_path, {})
    assert str(found).startswith("routes.b.yaml:2:14: routes[0].target: asgi:there.is_none:app cannot be used")


def test_there_may_be_a_hundred_files(tmp_path: Path) -> None:
    """More of them are an error, whatever is in them."""
    (tmp_path / "routes.yaml").write_text("- {path: /x, target: 'a:1'}\n")
    for number in range(101):
        (tmp_path / f"routes.{number}.yaml").write_text("")
    with pytest.raises(ConfigError, match="more than 100 files"):
        load(tmp_path)


def test_a_file_without_groups_is_read_as_before() -> None:
    """Its routes are those that it has written out, in their order."""
    written = read({"routes.yaml": "defaults:\nroutes: [{path: /a, target: 'a:1'}]\n"})
    plain = read({"routes.yaml": "- {path: /a, target: 'a:1'}\n"})
    assert written.routes.routes == plain.routes.routes


def test_an_error_is_reported_once_at_its_place() -> None:
    """In the group or the defaults, not for each route that gets it; and a route's own mistakes at the route."""
    text = """\
defaults: {timeout: never, id: x}
groups:
- {prefix: shop, target: shopp, tmeout: a, routes: [{path: /a}, {path: b}, {path: /c, rewrite: /$1}]}
- {id: two}
- three
services: {shop: {endpoints: ['a:1']}}
routes: [{path: /d, target: shop}, {path: /e, target: shop}]
"""
    assert problems_of({"routes.yaml": text}) == [
        "routes.yaml:1:12: defaults.timeout: expected a duration such as 250ms, 5s, 1m, 1h or 1d, or a number of "
        'seconds (got "never")',
        "routes.yaml:1:28: defaults.id: unknown key here; it belongs in routes.yaml, as routes[].id",
        'routes.yaml:3:4: groups[0].prefix: a path starts with "/"; write /shop (got "shop")',
        "routes.yaml:3:18: groups[0].target: services has no entry of this name; define it, or write host:port;"
        ' did you mean "shop"? (got "shopp")',
        'routes.yaml:3:33: groups[0].tmeout: unknown key, did you mean "timeout"?',
        'routes.yaml:3:66: groups[0].routes[1].path: a path starts with "/"; write /b (got "b")',
        "routes.yaml:3:87: groups[0].routes[2].rewrite: the rewrite refers to a capture that the path does not have;"
        ' the path captures nothing: add * or {name} to it, no $1 (got "/$1")',
        'routes.yaml:4:3: groups[1]: the key "routes" is missing; add it, such as routes: [{"path": "/orders/*"}]',
        'routes.yaml:5:3: groups[2]: expected "key: value" lines with keys such as id, prefix, host, methods, headers'
        ' (got "three")',
    ]


def test_routes_of_several_files_are_one_table() -> None:
    """routes.yaml first, then the others by name, each with services and groups; the defaults are for all of them."""
    made = read(
        {
            "routes.yaml": "base_path: /x\nservices:\ndefaults: {timeout: 9s}\nroutes: [{path: /a, target: web}]\n",
            "routes.web.yaml": "services: {web: {endpoints: ['${ENV}']}}\n"
            "routes: [{path: /b, target: web, timeout: 1s}]\n",
            "routes.shop.yaml": "- {path: /c, target: web}\n",
            "routes.empty.yaml": "# nothing yet\n",
        }
    )
    assert [(each.path, each.timeout and each.timeout.total) for each in made.routes.routes] == [
        ("/a", 9),
        ("/c", 9),
        ("/b", 1),
    ]
    assert made.routes.services["web"].endpoints[0].address == "10.0.0.3:80"
    assert made.route_files == {"routes.web.yaml", "routes.shop.yaml", "routes.empty.yaml"}
    assert made.sources == {}


def test_the_first_file_may_leave_all_routes_to_the_others() -> None:
    """An empty routes.yaml is one, as long as there is a route."""
    assert len(read({"routes.yaml": "", "routes.a.yaml": "- {path: /a, target: 'a:1'}\n"}).routes.routes) == 1
    assert "the file is empty" in problems_of({"routes.yaml": "", "routes.a.yaml": ""})[0]
    assert 'the key "routes" is missing' in problems_of({"routes.yaml": "base_path: /x", "routes.a.yaml": ""})[0]


def test_what_is_for_all_stands_in_one_file() -> None:
    """And the errors of a file name that file."""
    other = "base_path: /x\naccept_rewritten: true\ndefaults: {timeout: 1s}\nroutes: [{path: a, target: 'a:1'}]\nx: 1\n"
    found = problems_of({"routes.yaml": "- {path: /a, target: 'a:1', upstrem: 1}\n", "routes.b.yaml": other})
    assert [line.split(": ")[0:2] for line in found] == [
        ["routes.yaml:1:29", "routes[0].upstrem"],
        ["routes.b.yaml:1:1", "base_path"],
        ["routes.b.yaml:2:1", "accept_rewritten"],
        ["routes.b.yaml:3:1", "defaults"],
        ["routes.b.yaml:4:11", "routes[0].path"],
        ["routes.b.yaml:5:1", "x"],
    ]
    assert "is only valid in routes.yaml" in found[1]
    assert (
        "routes.b.yaml:1:" in problems_of({"routes.yaml": "- {path: /a, target: 'a:1'}\n", "routes.b.yaml": "[a\n"})[0]
    )


MINE = "\n- {id: mine, path: '/v1/{a}', methods: [GET, PUT], target: 'a:1'}\n"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("- {id: mine, path: /b, target: 'a:1'}", "routes[0].id: routes[0] on line 2 of routes.yaml has the same id"),
        (
            "groups: [{prefix: /v1, routes: [{path: '/{b}', methods: [PUT], target: 'b:1'}]}]",
            'groups[0].routes[0]: route "mine" has the same host, path, methods and predicates, in routes.yaml on'
            " line 2; remove one, or distinguish them",
        ),
        ("services: {s: {endpoints: ['a:1']}}", ""),
        ("- {path: '/v1/{b}', target: 'b:1'}", ""),
        ("- {path: '/v1/{b}', methods: [POST], target: 'b:1'}", ""),
        ("- {path: '/v1/{b}', methods: [GET], host: a.example, target: 'b:1'}", ""),
        ("- {path: '/v1/{b}', methods: [GET], headers: {x: y}, target: 'b:1'}", ""),
        ("- {path: '/v1/{b:[a-z]+}', methods: [GET], target: 'b:1'}", ""),
    ],
)
def test_two_files_may_not_want_the_same(other: str, message: str) -> None:
    """The same id or the same requests: both files and lines are named; whatever tells them apart is enough."""
    files = {"routes.yaml": MINE, "routes.b.yaml": other + "\n"}
    if message:
        (found,) = problems_of(files)
        assert found.startswith("routes.b.yaml:1:")
        assert message in found
    else:
        read(files)


@pytest.mark.parametrize(
    ("other", "owner"),
    [
        ("- {id: admin, path: /elsewhere, respond: 410}", "routes[0] of routes.b.yaml on line 1"),
        (
            "groups: [{id: admin, prefix: /b, routes: [{path: /c, respond: 410}]}]",
            "groups[0] of routes.b.yaml on line 1",
        ),
    ],
)
def test_a_file_takes_no_rule_of_another_ones_routes(other: str, owner: str) -> None:
    """A rule that names a route by the id that its path gives it must not be for another team's route, all of a sudden,
    which would open the first one."""
    files = {"routes.yaml": "- {path: /admin, respond: 200}\n", "routes.b.yaml": other + "\n"}
    read(files)
    rule = "ip_allow: {office: {networks: [10.0.0.0/8], routes: [admin]}}\n"
    read({"routes.yaml": files["routes.yaml"], "middleware.yaml": rule})
    (found,) = problems_of(files | {"middleware.yaml": rule})
    assert found.startswith(
        "middleware.yaml:1:54: ip_allow.office.routes[0]: routes[0] of routes.yaml on line 1, whose"
    )
    assert f"path is /admin, is called admin-2, as {owner} has this id; give both an id" in found


def test_an_id_that_another_route_takes_is_warned_of() -> None:
    """In one file it may be meant."""
    routes = "- {path: /admin, respond: 200}\n- {id: admin, path: /elsewhere, respond: 410}\n"
    made = read(
        {"routes.yaml": routes, "middleware.yaml": "ip_allow: {o: {networks: [10.0.0.0/8], routes: [admin]}}\n"}
    )
    (found,) = [str(each) for each in run(WARNINGS, made, "warning") if "ip_allow" in str(each)]
    assert "routes[0] of routes.yaml on line 1, whose path is /admin, is called admin-2" in found


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "---\n# nothing\n...\n"])
def test_a_file_that_says_nothing_has_no_routes(text: str) -> None:
    """Not even that it is empty is an error."""
    read({"routes.yaml": "- {path: /admin, respond: 200}\n", "routes.b.yaml": text})


def test_two_files_may_not_define_the_same_service_or_group() -> None:
    """The name would be ambiguous."""
    one = "services: {web: {endpoints: ['a:1']}}\ngroups: [{id: g, routes: [{path: /a, target: web}]}]\n"
    two = "services: {web: {endpoints: ['b:1']}}\ngroups: [{id: g, routes: [{path: /b, target: web}]}]\n"
    assert problems_of({"routes.yaml": one, "routes.b.yaml": two}) == [
        "routes.b.yaml:1:12: services.web: routes.yaml on line 1 has a service of this name; rename one of them",
        "routes.b.yaml:2:11: groups[0].id: groups[0] of routes.yaml on line 2 has the same id; rename one of them",
    ]
    clash = "groups: [{id: g, routes: [{id: g, path: /a, target: 'a:1'}]}]\n"
    assert problems_of({"routes.yaml": clash}) == [
        "routes.yaml:1:11: groups[0].id: a route has the same id; rename one of them"
    ]


def test_warnings_name_the_file() -> None:
    """A route of another file that no request reaches is warned of there."""
    other = "\n- {path: /b, target: 'a:1'}\n- {path: /b/../c, target: 'a:1'}\n"
    made = read({"routes.yaml": "- {path: /a, target: 'a:1', auth: []}\n", "routes.b.yaml": other})
    (found,) = [str(each) for each in run(WARNINGS, made, "warning") if "never matches" in str(each)]
    assert found.startswith("routes.b.yaml:3:4: routes[1].path: ")


def test_what_is_handed_down_is_not_blamed_where_it_has_no_effect() -> None:
    """A retry for all routes is meant for those that have a backend elsewhere; a route's own retry is checked as
    before."""
    routes = "defaults: {retry: {attempts: 2}, cache: true, auth: []}\nroutes:\n"
    routes += "- {path: /a, target: 'asgi:a:b', hedge: {}}\n- {path: /b, target: 'a:1', methods: [POST]}\n"
    found = [str(each) for each in run(WARNINGS, read({"routes.yaml": routes}), "warning")]
    assert [each.partition(": ")[0] for each in found if "effect" in each or "stored" in each] == ["routes.yaml:3:34"]


def test_rules_may_name_a_group() -> None:
    """For all of its routes, whatever their ids; a name that is neither is an error as before."""
    middleware = """
maintenance: {enabled: true, exempt_routes: [shop]}
cors: {app: {origins: [https://a.example], routes: [shop, plain]}}
rate_limits: {few: {limits: [2/h], routes: [shop], costs: {shop: 2, cart: 1}}}
"""
    made = read({"routes.yaml": GROUPED, "middleware.yaml": middleware})
    limit, cors = made.middleware.rate_limits["few"], made.middleware.cors["app"]
    assert [limit.applies_to(each.id) for each in made.routes.routes] == [True, True, True, True, False]
    assert [cors.applies_to(each.id) for each in made.routes.routes] == [True] * 5
    assert "cart" in made.middleware.maintenance.exempt_routes
    assert (limit.costs["cart"], limit.costs["shop-tenant"]) == (1, 2)


@pytest.mark.parametrize(
    ("right", "wrong", "place"),
    [
        ("routes: [shop], costs", "routes: [shp], costs", "rate_limits.few.routes[0]"),
        ("costs: {shop", "costs: {shp", "rate_limits.few.costs"),
        ("exempt_routes: [shop]", "exempt_routes: [shp]", "maintenance.exempt_routes[0]"),
    ],
)
def test_a_name_of_no_route_and_no_group_is_reported(right: str, wrong: str, place: str) -> None:
    """Wherever a rule names routes."""
    middleware = "maintenance: {enabled: true, exempt_routes: [shop]}\n"
    middleware += "rate_limits: {few: {limits: [2/h], routes: [shop], costs: {shop: 2}}}\n"
    files = {"routes.yaml": GROUPED, "middleware.yaml": middleware.replace(right, wrong)}
    if place.endswith(".routes[0]"):
        (found,) = problems_of(files)
    else:  # where it is an exception, the rule is for no less than was meant
        (found,) = [str(each) for each in run(WARNINGS, read(files), "warning") if place in str(each)]
    assert place in found
    assert 'no route has this id; did you mean "shop"?' in found


def test_a_prefix_from_the_environment_ends_in_no_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is written there."""
    text = "groups: [{prefix: '${PREFIX:-/shop/}', target: 'a:1', routes: [{path: /x}, {path: ''}, {path: '/*'}]}]"
    assert [each.path for each in read({"routes.yaml": text}).routes.routes] == ["/shop/x", "/shop", "/shop/*"]


def test_groups_may_all_be_commented_out() -> None:
    """As services may."""
    text = "services:\ngroups:\ndefaults:\nroutes: [{path: /x, target: 'a:1'}]\n"
    assert len(read({"routes.yaml": text}).routes.routes) == 1


@pytest.mark.parametrize("where", ["groups: [{groups: [], ", "groups: [{routes: [{groups: [], path: /y}], "])
def test_groups_in_groups_are_answered(where: str) -> None:
    """There are none, and it is said what to write."""
    text = where + "target: 'a:1', routes: [{path: /x}]}]\n"
    text = text.replace("}], target: 'a:1', routes: [{path: /x}]", "}], target: 'a:1'")
    (found,) = problems_of({"routes.yaml": text})
    assert "write it beside this one, with the whole prefix" in found


def test_the_files_of_a_directory(tmp_path: Path) -> None:
    """What is named like a route file is read; a name that only looks like one is reported, and an editor's file is
    not."""
    (tmp_path / "routes.yaml").write_text("- {path: /a, target: 'a:1'}\n")
    (tmp_path / "routes.b-1.x.yaml").write_text("- {path: /b, target: 'a:1'}\n")
    for name in (".routes.c.yaml.swp", "routes.d.yaml~", "#routes.e.yaml#", "routes..yaml", "myroutes.f.yaml"):
        (tmp_path / name).write_text("nonsense")
    assert sorted(read_files(tmp_path)) == ["routes.b-1.x.yaml", "routes.yaml"]
    assert [each.path for each in load(tmp_path).routes.routes] == ["/a", "/b"]
    (tmp_path / "routes.g.yml").write_text("- {path: /g, target: 'a:1'}\n")
    (tmp_path / "routes.h.yaml").symlink_to("..data/routes.h.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert [str(each) for each in caught.value.problems] == [
        "routes.h.yaml: this is a link to a file that is not there; remove it, or correct where it leads",
        "routes.g.yml: this file is not read; rename it to routes.g.yaml",
    ]
