"""An error does not hide those of other files, sections and routes, and nothing is said that only follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.check import Found, examine
from tests.cli.support import gateway

SHORT = "{issuer: 'https://i.example', audiences: [x], secret: short, algorithms: [HS256]}"
ROUTING = "modelRouting: {profiles: {a: {providers: [openai]}}, default: a}\n"
MISSING = "{issuer: 'https://j.example', audiences: [x], key_file: none.pem, algorithms: [RS256]}"


def found(directory: Path, **files: str) -> Found:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return examine(directory, {})


def places(directory: Path, **files: str) -> list[str]:
    return sorted(f"{each.file}: {each.where}" for each in found(directory, **files).problems)


def test_errors_of_all_stages_are_reported_together(tmp_path: Path) -> None:
    """A variable that is not set, a short secret, an unknown key, a wrong capture, names and files that are not there,
    and a path that means nothing, in one run."""
    assert places(
        tmp_path,
        routes="services:\n"
        "  one: {endpoints: ['${NO_SUCH_VARIABLE}']}\n"
        "  two: {endpoints: ['127.0.0.1:1'], tls: {ca: none.pem}, protocol: https}\n"
        "routes:\n"
        "- {path: '/g/**', target: two}\n"
        "- {path: '/h/*', target: two, rewrite: /x/$3}\n"
        "- {path: '/i/*', target: two, rewrit: x}\n"
        "- {path: '/k/*', target: two, auth: [nowhere]}\n"
        "- {path: '/l/*', target: two, breaker: nothing}\n",
        middleware="limits: {head: much}\n",
        auth=f"schemes:\n  s: {{jwt: {{issuers: [{SHORT}]}}}}\n  t: {{jwt: {{issuers: [{MISSING}]}}}}\n"
        "default: [s, t]\n",
    ) == [
        "auth.yaml: schemes.s.jwt.issuers[0]",
        "auth.yaml: schemes.t.jwt.issuers[0].key_file",
        "middleware.yaml: limits.head",
        "routes.yaml: routes[0]",
        "routes.yaml: routes[1].rewrite",
        "routes.yaml: routes[2].rewrit",
        "routes.yaml: routes[3].auth[0]",
        "routes.yaml: routes[4].breaker",
        "routes.yaml: services.one.endpoints[0]",
        "routes.yaml: services.two.tls.ca",
    ]


def test_a_missing_key_file_shows_beside_a_missing_variable(tmp_path: Path) -> None:
    """The one is an error of a value, the other of what is made of it."""
    assert places(
        tmp_path,
        routes="- {path: /a, target: '${NO_SUCH_VARIABLE}'}\n",
        auth=f"schemes:\n  t: {{jwt: {{issuers: [{MISSING}]}}}}\n",
    ) == ["auth.yaml: schemes.t.jwt.issuers[0].key_file", "routes.yaml: routes[0].target"]


def test_unknown_names_show_beside_an_unknown_key(tmp_path: Path) -> None:
    """Of profiles, providers, schemes and routes; also in the entry that has the unknown key."""
    assert places(
        tmp_path,
        routes="- {path: /a, target: '127.0.0.1:1', auth: [nowhere], rewrit: x}\n",
        middleware="rate_limits: {x: {routes: [b], limits: [1/s], key: [address]}}\n",
        models="providers: {openai: {keys: [k], timeot: 1s}}\n"
        "modelRouting: {default: p, profiles: {q: {providers: [r]}}}\n",
    ) == [
        "middleware.yaml: rate_limits.x.routes[0]",
        "models.yaml: modelRouting.default",
        "models.yaml: modelRouting.profiles.q.providers[0]",
        "models.yaml: providers.openai.timeot",
        "routes.yaml: routes[0].auth[0]",
        "routes.yaml: routes[0].rewrit",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth": "schemes: {s: {jwt: {issuers: [" + SHORT + "]}}}\ndefault: [s]\n"},
        {"auth": "schemes: {s: {api_key: {}}}\ndefault: {s: 1}\n"},
        {"auth": "schemes: {s: {api_key: 7}}\ndefault: [s]\n"},
        {"middleware": "redis: {url: 7}\nbreakers: {calm: {minimum: 2}}\n"},
        {"middleware": "redis: {url: 'redis://127.0.0.1:1'}\nbreakers: {calm: {minimum: many}}\n"},
        {"routes": "- {id: one, path: no, target: '127.0.0.1:1', breaker: calm}\n"},
        {"routes": "- {path: /one, target: '127.0.0.1:1', breaker: calm, retry: 7}\n"},
        {"models": "providers: {openai: {keys: 7}}\n" + ROUTING},
        {"models": "providers: {openai: {keys: [k]}}\nmodelRouting: {profiles: {a: {allow: 7}}, default: a}\n"},
    ],
)
def test_one_mistake_is_one_error(tmp_path: Path, wrong: dict[str, str]) -> None:
    """What refers to the part that has the error is not blamed, nor what would be wrong without that part."""
    right = {
        "routes": "- {id: one, path: /a, target: '127.0.0.1:1', breaker: calm, auth: [s]}\n",
        "middleware": "redis: {url: 'redis://127.0.0.1:1'}\nbreakers: {calm: {minimum: 2}}\n"
        "rate_limits: {x: {routes: [one], limits: [1/s], key: [consumer]}}\n",
        "auth": "schemes: {s: {api_key: {}}}\ndefault: [s]\n",
        "models": "providers: {openai: {keys: [k]}}\n" + ROUTING,
    }
    assert {each.severity for each in found(tmp_path, **right).problems} == {"warning"}
    assert len(places(tmp_path, **right | wrong)) == 1


def test_check_says_that_more_may_follow(tmp_path: Path) -> None:
    """Behind the number of errors; not behind warnings, with which everything was looked at."""
    (tmp_path / "routes.yaml").write_text("- {path: /a, target: '127.0.0.1:1', rewrit: x}\n")
    refused = gateway("check", config=tmp_path)
    last = "1 error, 0 warnings: this would not be served; more may show once these are corrected"
    assert refused.stderr.splitlines()[-1] == last
    (tmp_path / "routes.yaml").write_text("- {path: /a, target: '127.0.0.1:1'}\n")
    assert "more may" not in (ended := gateway("check", config=tmp_path)).stderr + ended.stdout
