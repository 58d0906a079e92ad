"""What is wrong with MCP servers of models.yaml, or probably not meant."""

import pytest

from gateway.config import checks

from ..support import errors, parsed

AUTH = "schemes: {keys: {api_key: }}\ndefault: keys\n"
ROUTES = "services: {llama: {endpoints: ['a:1']}}\nroutes:\n- {path: /a, target: 'a:80'}\n"
URL = "name: a, url: 'http://h/mcp'"


def servers(*each: str) -> str:
    return f"mcp: {{t: {{servers: [{', '.join(f'{{{one}}}' for one in each)}]}}}}\n"


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        (
            servers("name: a, service: lama"),
            "service: services of routes.yaml has no entry of this name; define it, or",
        ),
        (servers(f"{URL}, breaker: lng"), "breaker: breakers of middleware.yaml has no entry of this name"),
        (servers(f"{URL}, tools: {{x: {{limit: {{limits: [1/s], store: redis}}}}}}"), "the store is redis, and"),
        (servers(f"{URL}, tools: {{x: {{limit: {{limits: [1/s], routes: [a]}}}}}}"), "routes and costs are for limits"),
        (servers("name: a"), "either url or service is needed"),
        (servers(f"{URL}, service: llama"), "either url or service is needed"),
        (servers(f"{URL}, path: /x"), "path is for a service"),
        (servers("name: a, url: 'http://h/mcp?x=1'"), "the url of a server has no query"),
        (servers("name: a__b, url: 'http://h/mcp'"), "the name of a server has no __"),
        (servers("name: a b, url: 'http://h/mcp'"), "such a name is letters, digits"),
        (servers("name: a, url: 'ftp://h/mcp'"), "expected a URL that begins with"),
        (servers("name: a, url: 'http://h:0/mcp'"), "the port is a whole number"),
        (servers(URL, "name: A, url: 'http://g/mcp'"), "two servers have the same name"),
        (servers(URL, "name: a_b, url: 'http://g'", "name: A_b, url: 'http://g'"), "two servers have the same name"),
        (servers(f"{URL}, headers: {{Mcp-Session-Id: x}}"), "a header is set by the gateway itself"),
        (servers(f'{URL}, headers: {{A: "x\\ny"}}'), "the value of a header is visible ASCII"),
        ("mcp: {t: {servers: []}}", "the list is empty"),
        (servers(URL).replace("servers:", "secret: short, servers:"), "secret is at least 16 characters"),
        (servers(URL).replace("servers:", "path: mcp, servers:"), 'a base path begins with "/"'),
    ],
)
def test_server_that_cannot_be_used(models: str, complaint: str) -> None:
    """The place is named, and what to do."""
    (line,) = errors(ROUTES, models=models, auth=AUTH)
    assert line.startswith("models.yaml:1:")
    assert complaint in line


@pytest.mark.parametrize(
    ("models", "complaint"),
    [
        (servers(f"{URL}, headers: {{Authorization: Bearer x}}"), "the value is in plain text"),
        (servers(f"{URL}, headers: {{Authorization: 'Bearer ${{K}}'}}"), None),
        (servers(f"{URL}, allow: [read_*], tools: {{write: {{timeout: 1s}}}}"), "this tool may not be called"),
        (servers(f"{URL}, deny: [W*], tools: {{write: {{timeout: 1s}}}}"), "this tool may not be called"),
        (servers(f"{URL}, allow: [read_*], tools: {{read_a: {{timeout: 1s}}, '*': {{timeout: 2s}}}}"), None),
        (servers(f"{URL}, allow: []"), "no tool of this server may be called"),
        (servers(f"{URL}, deny: ['*']"), "no tool of this server may be called"),
    ],
)
def test_what_is_probably_not_meant(models: str, complaint: str | None) -> None:
    """It is a warning, which says what to do."""
    configuration = parsed(ROUTES, models=models, auth=AUTH, environment={"K": "key"})
    problems = checks.run(checks.WARNINGS, configuration, "warning")
    lines = [str(problem) for problem in problems if problem.file == "models.yaml"]
    assert [complaint in line for line in lines if complaint is not None] == ([True] if complaint else [])
    assert bool(lines) == (complaint is not None)
