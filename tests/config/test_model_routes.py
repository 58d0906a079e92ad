import pytest

from gateway.config import checks
from gateway.config.models import Configuration, RouteConfig

from .support import errors, parsed

MODELS = "providers: {openai: {keys: k}}\n"
AUTH = "schemes: {keys: {api_key: }, others: {api_key: {header: X-Other}}}\ndefault: keys\n"
OWN = "- {path: /a, target: 'a:80'}\n"


def served(routes: str = OWN, models: str = MODELS, auth: str = AUTH) -> Configuration:
    return parsed(routes, models=models, auth=auth)


def route_of(configuration: Configuration, identifier: str) -> RouteConfig:
    return next(route for route in configuration.routes.routes if route.id == identifier)


def warned(configuration: Configuration) -> list[str]:
    return [str(problem) for problem in checks.run(checks.WARNINGS, configuration, "warning")]


def test_models_have_their_paths_by_themselves() -> None:
    """Behind the written routes, under the default authentication."""
    configuration = served()
    assert [route.id for route in configuration.routes.routes] == ["a", "models", "models-probe"]
    route = route_of(configuration, "models")
    assert route.target == "models"
    assert route.auth is None
    assert {"/v1/chat/completions/*", "/v1/messages", "/v1beta/models/*"} <= set(route.all_paths)
    assert [route.id for route in parsed(OWN).routes.routes] == ["a"]


def test_a_file_without_providers_has_no_paths() -> None:
    """There is nothing that they could lead to."""
    assert [route.id for route in served(models="gateway: {bind: x}\n").routes.routes] == ["a"]


@pytest.mark.parametrize("routes", ["", "routes: []\n", "routes:\n", "[]\n", "base_path: /\n"])
def test_models_need_no_other_routes(routes: str) -> None:
    """Beside them, routes.yaml may have none; without them, it must have one."""
    assert [route.id for route in served(routes).routes.routes] == ["models", "models-probe"]
    assert errors(routes)
    assert "neither providers nor mcp" in errors(routes, models="gateway: {bind: x}\n")[0]


def test_whether_anything_is_there_may_be_asked_by_anyone() -> None:
    """Claude Code asks so before it sends a key."""
    route = route_of(served(), "models-probe")
    assert (route.methods, route.all_paths, route.auth) == (("HEAD",), ("/",), ())


def test_a_written_route_replaces_them() -> None:
    """With what it says of prefix, host and authentication."""
    configuration = served("- {path: /llm/*, strip_prefix: /llm, host: a.example, auth: [others], target: models}\n")
    (route,) = configuration.routes.routes
    assert (route.id, route.auth) == ("llm", ("others",))


def test_models_are_waited_for() -> None:
    """As long as SDKs wait, or as long as the file says in all; what a route says itself counts."""
    route = route_of(served(), "models")
    assert route.timeout is not None
    assert (route.timeout.response_header, route.timeout.idle, route.timeout.total) == (600, 600, None)
    route = route_of(served(models=MODELS + "gateway: {requestTimeoutMs: 1500}\n"), "models")
    assert route.timeout is not None
    assert route.timeout.total == 1.5
    assert (route.timeout.response_header, route.timeout.idle) == (1.5, 1.5)
    own = "- {path: /llm/*, timeout: {idle: 1s}, target: models}\n"
    (route,) = served(own, MODELS + "gateway: {requestTimeoutMs: 1500}\n").routes.routes
    assert route.timeout is not None
    assert (route.timeout.idle, route.timeout.total, route.max_body) == (1, 1.5, 32 * 1024**2)


def test_models_are_in_no_cache_of_responses() -> None:
    """Not even the list of models, which depends on who asks."""
    configuration = parsed(OWN, models=MODELS, auth=AUTH, middleware="cache: {}\n")
    route = route_of(configuration, "models")
    assert route.cache is not None
    assert not route.cache.enabled


def test_defaults_hold_for_them() -> None:
    """Who may call, above all; not what only forwarding knows."""
    routes = "defaults: {auth: [others], host: a.example, target: 'b:80'}\nroutes:\n- path: /a\n"
    route = route_of(served(routes), "models")
    assert (route.auth, route.host, route.target) == (("others",), ("a.example",), "models")


def test_an_id_that_is_taken_is_not_taken_twice() -> None:
    """A written route keeps it."""
    ids = [route.id for route in served("- {path: /models, target: 'a:80'}\n").routes.routes]
    assert ids == ["models", "models-2", "models-probe"]


def test_paid_keys_are_open_to_no_one_by_accident() -> None:
    """Without a default there is an error, unless a route says that it is meant."""
    message = (
        "anyone could use the models: auth.yaml has no default; add one, or write a route with target: models and "
        "auth: [SCHEME], or with auth: [] if that is meant"
    )
    assert errors(OWN, models=MODELS) == [f"models.yaml:1:1: providers: {message}"]
    seed = "modelRouting: {profiles: {a: {preferProviders: [openai]}}}\n"
    assert errors(OWN, models=seed) == [f"models.yaml:1:1: {message}"]
    assert "auth: [] to the route if that is meant" in errors("- {path: /llm/*, target: models}\n", models=MODELS)[0]
    assert parsed("- {path: /llm/*, auth: [], target: models}\n", models=MODELS).routes.routes[0].auth == ()
    defaults = "defaults: {auth: []}\nroutes:\n"
    assert "defaults of routes.yaml has auth: []; write a route" in errors(defaults + OWN, models=MODELS, auth=AUTH)[0]
    open_route = defaults + "- {path: /llm/*, target: models}\n"
    assert "auth: [] to the route if that is meant" in errors(open_route, models=MODELS, auth=AUTH)[0]


@pytest.mark.parametrize("target", ["models", "mcp", "mcp.tools"])
def test_a_target_needs_what_it_leads_to(target: str) -> None:
    """Without models.yaml, or without the endpoint, it is an unknown service."""
    (line,) = errors(f"- {{path: /llm/*, target: {target}}}\n", auth=AUTH)
    assert line.startswith("routes.yaml:1:18: routes[0].target: ")
    assert "or a service" in line


def test_a_service_of_this_name_is_another_thing() -> None:
    """It is an error with models.yaml, and as ever without it."""
    routes = "services: {models: {endpoints: ['a:1']}}\nroutes:\n- {path: /a, target: models}\n"
    assert parsed(routes).routes.routes[0].target == "models"
    assert errors(routes, models=MODELS, auth=AUTH) == [
        "routes.yaml:1:12: services.models: with models.yaml, the target models is what that file describes; "
        "rename this service"
    ]


def test_overlaps_are_listed() -> None:
    """Written routes go first, whatever is more specific; which of them do is said."""
    routes = (
        "- {path: /v1/*, target: 'a:80'}\n"
        "- {path: '/v1/models/{id}', methods: [PUT], target: 'a:80'}\n"
        "- {path: /v1/responses/mine, target: 'a:80'}\n"
        "- {path: /other, target: 'a:80'}\n"
    )
    first, second = (line for line in warned(served(routes)) if "models.yaml describes" in line)
    assert first.startswith(
        "routes.yaml:1:4: routes[0].path: it takes requests that would go to what models.yaml describes: "
        "/v1/chat/completions/*, /v1/responses/*, /v1/completions and 12 other paths; "
    )
    assert second.startswith("routes.yaml:3:4: routes[2].path: it takes requests")
    assert "/v1/responses/*;" in second
    assert not [line for line in warned(served()) if "models.yaml describes" in line]


def test_what_is_about_backends_has_no_effect() -> None:
    """models.yaml has other words for it."""
    routes = "- {path: /llm/*, retry: {attempts: 2}, preserve_host: true, target: models}\n"
    found = [line.split(": ")[1] for line in warned(served(routes)) if line.startswith("routes.yaml")]
    assert found == ["routes[0].retry", "routes[0].preserve_host"]


MCP = "mcp: {tools: {servers: [{name: files, url: 'http://a/mcp'}], path: /mcp}}\n"


def test_mcp_endpoints_have_their_paths_too() -> None:
    """With what they say of authorization, which anyone may read."""
    configuration = served(models=MCP)
    route = route_of(configuration, "mcp")
    assert (route.all_paths, route.target, route.auth) == (("/mcp",), "mcp", None)
    metadata = route_of(configuration, "mcp-metadata")
    assert metadata.all_paths == ("/.well-known/oauth-protected-resource/mcp",)
    assert (metadata.target, metadata.auth) == ("mcp", ())
    assert "anyone could use the MCP servers" in errors(OWN, models=MCP)[0]


def test_of_several_mcp_endpoints_each_has_its_target() -> None:
    """One of them may have a route of its own."""
    two = MCP.replace("path: /mcp}", "path: /mcp}, more: {servers: [{name: b, url: 'http://b/mcp'}], path: /more}")
    configuration = served("- {path: /x, target: mcp.more}\n", models=two)
    assert [(route.id, route.target) for route in configuration.routes.routes] == [
        ("x", "mcp.more"),
        ("mcp.tools", "mcp.tools"),
        ("mcp-metadata.tools", "mcp.tools"),
    ]
    assert "mcp.tools, mcp.more" in errors("- {path: /x, target: mcp}\n", models=two, auth=AUTH)[0]
