"""What several keys of models.yaml together show to be wrong, or probably not meant."""

import pytest

from gateway.config import checks

from ..models.test_llm import SEED
from ..support import errors, parsed

AUTH = "schemes: {keys: {api_key: }}\ndefault: keys\n"
ROUTES = (
    "services: {llama: {endpoints: ['a:1']}, drained: {endpoints: [{address: 'a:1', weight: 0}]}}\n"
    "routes:\n- {path: /a, target: 'a:80'}\n"
)
TWO = "modelRouting: {default: a, profiles: {a: {%s}, b: {%s}}, rules: [{use: b, when: {tools: true}}]}\n"
ANY = "providers: {any: {protocol: openai, base_url: 'http://10.0.0.1/v1', keys: '${K}'}}\n"
SMALL = "providers:\n  local: {protocol: openai, service: llama, models: [small]}\n"
OTHER = "  other: {protocol: openai, service: llama, models: [small, large]}\n"
OPENAI = "providers: {openai: {keys: '${K}'}}\n"


def refused(models: str) -> list[str]:
    return errors(ROUTES, models=models, auth=AUTH)


def warned(models: str, auth: str = AUTH, routes: str = ROUTES) -> list[str]:
    configuration = parsed(routes, models=models, auth=auth, environment={"K": "key"})
    problems = checks.run(checks.WARNINGS, configuration, "warning")
    return [str(problem) for problem in problems if problem.file == "models.yaml"]


@pytest.mark.parametrize(
    ("models", "place", "complaint"),
    [
        ("modelRouting: {default: fsat, profiles: {fast: {}}}", "modelRouting.default", 'did you mean "fast"?'),
        ("modelRouting: {rules: [{use: x}]}", "modelRouting.rules[0].use", "profiles has no entry"),
        ("modelRouting: {profiles: {a: {overflow: b}}}", "modelRouting.profiles.a.overflow", "profiles has no entry"),
        (
            "modelRouting: {profiles: {a: {preferProviders: [antropic]}}}",
            "modelRouting.profiles.a.preferProviders[0]",
            'did you mean "anthropic"?',
        ),
        (
            "modelRouting: {profiles: {a: {providers: [{name: mistral}]}}}",
            "modelRouting.profiles.a.providers[0]",
            "none of openai, anthropic, google",
        ),
        (
            "modelRouting: {profiles: {a: {providers: [openai, openai]}}}",
            "modelRouting.profiles.a.providers[1]",
            "there already",
        ),
        ("modelRouting: {profiles: {a: {guardrails: [x]}}}", "modelRouting.profiles.a.guardrails[0]", "no entry"),
        ("aliases: {small: {mine: x}}", "aliases.small.mine", "providers has no entry"),
        ("providers: {mine: {base_url: 'http://a'}}", "providers.mine", "the protocol is missing"),
        ("providers: {mine: {protocol: openai}}", "providers.mine", "base_url or service is missing"),
        ("providers: {mine: {protocol: openai, service: lama}}", "providers.mine.service", 'did you mean "llama"?'),
        ("providers: {openai: {breaker: slow}}", "providers.openai.breaker", "breakers of middleware.yaml"),
        ("providers: {openai: {translate: [chat]}}", "providers.openai.translate[0]", "messages or responses"),
        ("providers: {google: {translate: [chat]}}", "providers.google.translate[0]", "remove it"),
        ("budgets: {b: {store: redis, limits: [{usd: 1, window: day}]}}", "budgets.b.store", "no redis"),
        ("tool_quotas: {b: {store: redis, limit: 1, window: day}}", "tool_quotas.b.store", "no redis"),
        (
            "modelRouting: {profiles: {a: {overflow: b}, b: {overflow: c}, c: {overflow: a}}}",
            "modelRouting.profiles.a.overflow",
            "a -> b -> c -> a",
        ),
        ("modelRouting: {profiles: {a: {overflow: a}}}", "modelRouting.profiles.a.overflow", "a -> a"),
    ],
)
def test_names_must_lead_somewhere(models: str, place: str, complaint: str) -> None:
    """One error at the line of the name, as it is written, with its remedy."""
    (line,) = refused(models)
    assert line.startswith("models.yaml:1:")
    assert f": {place}: " in line
    assert complaint in line


def test_a_budget_is_not_written_over_the_configuration() -> None:
    """Its file is one of the state directory, and none that is read."""
    (line,) = refused(
        OPENAI.replace("'${K}'", "k") + "budgets: {b: {file: ../auth.yaml, limits: [{usd: 1, window: day}]}}"
    )
    assert "this file cannot be written: it is auth.yaml" in line


def test_two_mcp_endpoints_need_two_paths() -> None:
    """One of them could not be reached."""
    servers = "servers: [{name: a, url: 'http://a/mcp'}]"
    (line,) = refused(f"mcp: {{a: {{{servers}}}, b: {{{servers}}}}}\n")
    assert "mcp.b.path: a has this path, too" in line or "mcp.b: a has this path, too" in line


def test_the_sketch_is_served_with_two_warnings() -> None:
    """Where it listens is said elsewhere, and a provider without keys answers no one."""
    bind, keys = warned(SEED)
    assert bind.startswith("models.yaml:13:5: gateway.bind: this has no effect")
    assert "anthropic has no keys" in keys
    assert "${ANTHROPIC_API_KEY}" in keys


@pytest.mark.parametrize(
    ("models", "place", "complaint"),
    [
        (OPENAI + "gateway: {bind: 'a:1'}", "gateway.bind", "no effect"),
        ("providers: {openai: {keys: [sk-in-the-clear]}}", "providers.openai.keys[0]", "is in plain text"),
        ("providers: {openai: {keys: [os.environ/OPENAI_KEY]}}", "providers.openai.keys[0]", "or ${OPENAI_KEY}"),
        ("providers: {openai: {keys: ['${K}', '${K}']}}", "providers.openai.keys[1]", "there already"),
        ("providers: {openai: {}}", "providers.openai", "no keys"),
        (
            "providers: {openai: {keys: '${K}', base_url: 'http://llm.example.com'}}",
            "providers.openai.base_url",
            "use https",
        ),
        ("providers: {openai: {keys: '${K}', weight: 0}}", "providers.openai.weight", "every provider is 0"),
        (OPENAI + "aliases: {small: {openai: claude-3}}", "aliases.small.openai", "models of openai has no such name"),
        (OPENAI + "aliases: {small: {}}", "aliases.small", "is an alias of no model"),
        (
            ANY + "aliases: {d: {any: d}, a: {any: b}, b: {any: c}, c: {any: a}}",
            "aliases.a.any",
            "in a circle: a -> b -> c -> a; name a model of any",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a}, {use: a, when: {stream: true}}]}",
            "modelRouting.rules[1]",
            "rules[0], before it",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {tenant: [a, b]}},"
            " {use: a, when: {tenant: a, stream: true}}]}",
            "modelRouting.rules[1]",
            "rules[0], before it",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {route: modles}}]}",
            "modelRouting.rules[0].when.route",
            "models, models-probe",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {model: claude-3}}]}",
            "modelRouting.rules[0].when.model",
            "no provider offers",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {claim: {name: x}}}]}",
            "modelRouting.rules[0].when.claim",
            "no scheme",
        ),
        (
            OPENAI + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {consumer: x}}]}",
            "modelRouting.rules[0].when.consumer",
            "no consumer",
        ),
        (OPENAI + "modelRouting: {profiles: {a: {}}}", "modelRouting.profiles.a", "no rule uses it"),
        (
            OPENAI + "modelRouting: {profiles: {a: {allow: {consumers: [x]}}, b: {}}, rules: [{use: a}, {use: b}]}",
            "modelRouting.profiles.a.allow.consumers[0]",
            "no consumer",
        ),
        (OPENAI + TWO % ("overflow: b", ""), "modelRouting.profiles.a.overflow", "max_context_tokens"),
        (
            OPENAI + TWO % ("overflow: b, maxContextTokens: 9", "maxContextTokens: 8"),
            "modelRouting.profiles.a.overflow",
            "takes no more",
        ),
        (
            OPENAI + TWO % ("maxOutputTokens: 9, maxContextTokens: 9", ""),
            "modelRouting.profiles.a.maxOutputTokens",
            "lower it",
        ),
        (
            OPENAI + "budgets: {b: {limits: [{tokens: 9, window: day}, {tokens: 8, window: month}]}}",
            "budgets.b.limits[0]",
            "no effect",
        ),
        (
            OPENAI + "budgets: {b: {routes: [modles], limits: [{tokens: 9, window: day}]}}",
            "budgets.b.routes",
            "the routes to models are models",
        ),
        (
            OPENAI + "budgets: {b: {models: [claude-*], limits: [{tokens: 9, window: day}]}}",
            "budgets.b.models",
            "no provider offers",
        ),
        (
            SMALL + "budgets: {b: {models: [smal], limits: [{tokens: 9, window: day}]}}",
            "budgets.b.models",
            'did you mean "small"?',
        ),
        (
            SMALL + "modelRouting: {profiles: {a: {}}, rules: [{use: a, when: {model: smal}}]}",
            "modelRouting.rules[0].when.model",
            'did you mean "small"?',
        ),
        (
            SMALL + OTHER + "modelRouting: {default: a, profiles: {a: {providers: [local]}}}",
            "providers.other",
            "no profile asks it",
        ),
        (
            "providers: {openai: {keys: '${K}', base_url: 'https://a/v1/chat/completions'}}",
            "providers.openai.base_url",
            "path of an API",
        ),
        ("providers: {a: {protocol: openai, service: drained}}", "providers.a.service", "has the weight 0"),
        (OPENAI + "guardrails: {g: {policy: 'a:B'}}", "guardrails.g", "no profile names it"),
        (
            OPENAI + "guardrails: {g: {policy: 'a:B', on: output}}\n"
            "modelRouting: {default: a, profiles: {a: {guardrails: [g]}}}",
            "guardrails.g.on",
            "add stream",
        ),
        (
            OPENAI + "guardrails: {g: {policy: 'a:B'}}\n"
            "modelRouting: {profiles: {a: {guardrails: [g]}}, rules: [{when: {tools: true}, use: a}]}",
            "modelRouting",
            "no default profile",
        ),
        (OPENAI.replace("'${K}'", "['${K}', '${K}2']") + "list_stored: true", "list_stored", "one key only"),
        (OPENAI + "drains: 5", "drains", "on_disconnect"),
        (OPENAI + "prices: {assume: {input: 1, output: 2}}", "prices.assume", "unknown: assume"),
        (OPENAI + "content: {routes: {x: full}}", "content.routes.x", "no route to models"),
        (OPENAI + "content: redacted", "content", "without guardrails nothing is redacted"),
    ],
)
def test_what_is_probably_not_meant_is_said(models: str, place: str, complaint: str) -> None:
    """At its line, and what to do."""
    (line,) = warned(models)
    assert f": {place}: " in line
    assert complaint in line
    assert "sk-in" not in line


@pytest.mark.parametrize(
    "models",
    [
        OPENAI,
        "providers: {local: {protocol: openai, service: llama, models: [small]}}\naliases: {a: {local: small}}",
        "providers: {local: {protocol: openai, base_url: 'http://10.0.0.1/v1', keys: '${K}'}}",
        OPENAI + TWO % ("overflow: b, maxContextTokens: 8, maxOutputTokens: 4", "maxContextTokens: 9"),
        OPENAI + "modelRouting: {profiles: {a: {allow: {groups: [x]}}, b: {}}, rules: [{use: a}, {use: b}]}",
        OPENAI + "budgets: {b: {limits: [{tokens: 9, window: day}, {tokens: 80, window: month}]}}",
        SMALL + OTHER + "modelRouting: {default: a, profiles: {a: {preferProviders: [local]}}}",
        SMALL + OTHER + "modelRouting: {default: a, profiles: {a: {providers: [local], overflow: b, "
        "maxContextTokens: 8}, b: {providers: [other]}}}",
    ],
)
def test_what_is_right_has_no_warnings(models: str) -> None:
    """Nothing is said of it."""
    assert warned(models) == []


@pytest.mark.parametrize(
    ("models", "complaint"),
    [("providers: {openai: {models: [gpt-4o], keys: '${K}'}}", "no provider offers such a model"), ("", "no effect")],
)
def test_models_of_consumers_that_there_are_not_are_said(models: str, complaint: str) -> None:
    """A name that is misspelt would keep the consumer from the model."""
    auth = AUTH + "consumers: [{name: ann, models: [gpt-4, 'gpt*']}]\n"
    configuration = parsed("- {path: /a, target: 'a:80'}\n", models=models, auth=auth, environment={"K": "key"})
    found = [str(each) for each in checks.run(checks.WARNINGS, configuration, "warning") if each.file == "auth.yaml"]
    assert [complaint in line for line in found if ": consumers[0].models" in line] == [True]


def test_anonymous_callers_are_said() -> None:
    """A default that lets everyone in opens the paid keys, too."""
    auth = "schemes: {keys: {api_key: }, public: {anonymous: }}\ndefault: [keys, public]\n"
    (line,) = warned(OPENAI, auth)
    assert "lets anonymous callers in" in line
    (line,) = warned(OPENAI, AUTH + "mode: shadow\n")
    assert "mode: shadow" in line
    own = ROUTES + "- {path: /llm/*, target: models, auth: [keys]}\n"
    assert warned(OPENAI, auth, own) == []
