import json
from pathlib import Path

import pytest

from gateway.config.load import parse
from gateway.config.models.llm.file import ModelsFile
from gateway.config.secrets import KnownSecrets

from ..support import ROUTE, errors, parsed

SEED = """\
{
  "modelRouting": {
    "default": "fast",
    "profiles": {
      "fast": { "maxContextTokens": 32000, "preferProviders": ["anthropic"] },
      "heavy": { "maxContextTokens": 200000, "preferProviders": ["anthropic"] }
    },
    "rules": [
      { "when": { "header": { "name": "X-Route-Profile", "equals": "heavy" } }, "use": "heavy" }
    ]
  },
  "gateway": {
    "bind": "127.0.0.1:18789",
    "requestTimeoutMs": 120000
  }
}
"""


def models_of(text: str, **environment: str) -> ModelsFile:
    models = parsed(models=text, auth=AUTH, environment=environment).models
    assert models is not None
    return models


AUTH = "schemes: {keys: {api_key: }}\ndefault: keys\n"


def wrong(text: str) -> list[str]:
    return errors(models=text, auth=AUTH)


def test_the_sketch_loads_as_it_stands() -> None:
    """Profiles, rules and the time limit have their meaning; a well-known provider needs no entry."""
    models = models_of(SEED)
    routing = models.model_routing
    assert routing.default == "fast"
    assert routing.profiles["heavy"].max_context_tokens == 200_000
    (rule,) = routing.rules
    assert rule.use == "heavy"
    assert rule.when.header[0].name == "X-Route-Profile"
    assert rule.when.header[0].equals == "heavy"
    assert models.gateway.request_timeout_ms == 120_000
    assert list(models.in_force) == ["anthropic"]
    provider = models.in_force["anthropic"]
    assert (provider.speaks, provider.origin) == ("anthropic", "https://api.anthropic.com")


def test_without_the_file_there_are_no_models() -> None:
    """Neither where it is missing nor where all of it is commented out."""
    assert parsed().models is None
    assert parsed(models="# providers:\n").models is None


def test_a_configuration_without_the_file_has_the_digest_that_it_had() -> None:
    """A new release is no new configuration; the file itself is one."""
    assert parsed().digest != parsed(models="# nothing\n").digest
    assert parsed().digest == "6e6532d16bca"


def test_both_spellings_are_one_key() -> None:
    """snake_case says the same, but not twice."""
    snake = "model_routing: {default: a, profiles: {a: {prefer_providers: [openai]}}}"
    camel = "modelRouting: {default: a, profiles: {a: {preferProviders: [openai]}}}"
    assert models_of(snake) == models_of(camel)
    assert wrong("on_disconnect: drain\nonDisconnect: drain\n") == [
        'models.yaml:2:1: onDisconnect: "on_disconnect" is the same key in another spelling; remove one of them'
    ]


def test_a_provider_that_lost_its_indentation_is_recognised() -> None:
    """The remedy is another one than for an unknown key."""
    (line,) = wrong("providers:\nopenai: {keys: a}\n")
    assert line.startswith("models.yaml:2:1: openai: unknown key")
    assert line.endswith("; if it belongs to providers, indent it")


def test_names_that_people_choose_keep_their_spelling() -> None:
    """A provider or alias in camelCase is not a key."""
    models = models_of("providers: {myOwn: {protocol: openai, baseUrl: 'http://a/v1'}}\naliases: {maxBody: {myOwn: x}}")
    assert list(models.providers) == ["myOwn"]
    assert list(models.aliases) == ["maxBody"]


def test_errors_name_a_key_as_it_is_written() -> None:
    """With its line."""
    assert wrong("modelRouting:\n  profiles:\n    a:\n      maxContextTokens: many\n") == [
        'models.yaml:4:7: modelRouting.profiles.a.maxContextTokens: expected a whole number (got "many")'
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("providers: {a: {protocol: opnai}}", "expected"),
        ("providers: {openai: {base_url: 'http://a', service: b}}", "exclude each other"),
        ("providers: {openai: {base_url: 'http://a/x?b'}}", "no query"),
        ("providers: {openai: {service: x, health: {path: /}}}", "move it there"),
        ("providers: {'a b': {protocol: openai}}", "letters, digits"),
        ("modelRouting: {profiles: {a: {providers: [openai], preferProviders: [openai]}}}", "exclude each other"),
        ("modelRouting: {rules: [{when: {header: {name: X, equals: a, prefix: b}}, use: a}]}", "only one of"),
        ("modelRouting: {rules: [{when: {estimatedTokens: {}}, use: a}]}", "gt or lt"),
        ("modelRouting: {rules: [{when: {estimatedTokens: {gt: 5, lt: 6}}, use: a}]}", "no number is between"),
        ("budgets: {b: {limits: [{window: day}]}}", "is missing; add one of them, such as tokens: 2000000"),
        ("budgets: {b: {limits: 1000}}", 'write limits: [{"usd": "50", "window": "month"}]'),
        ("budgets: {b: {limits: [{tokens: 5, usd: 5, window: day}]}}", "exactly one of"),
        ("budgets: {b: {limits: [{tokens: 5, window: day}, {tokens: 6, window: day}]}}", "same window"),
        ("budgets: {b: {limits: [{tokens: 5, window: fortnight}]}}", "expected minute, hour"),
        ("budgets: {b: {limits: [{tokens: 5, window: 500ms}]}}", "whole seconds"),
        ("budgets: {b: {limits: [{tokens: '5', window: day}]}}", "expected a whole number"),
        ("budgets: {b: {limits: [{usd: '5.0000001', window: day}]}}", "six digits"),
        ("budgets: {b: {limits: [{usd: 0, window: day}]}}", "more than 0"),
        ("budgets: {b: {limits: [{usd: true, window: day}]}}", "expected dollars"),
        ("budgets: {b: {limits: [{usd: .nan, window: day}]}}", "expected dollars"),
        ("budgets: {b: {key: [user], limits: [{usd: 1, window: day}]}}", "expected consumer"),
        (
            "budgets: {b: {key: [team], limits: [{usd: 1, window: day}]}}",
            "route, model, provider, profile, header:Name",
        ),
        (
            "aliases: {quick: openai/gpt-5}",
            "aliases.quick: expected the name of the model for each provider; write {openai",
        ),
        ("aliases: {quick: {opnai: gpt-5}}", 'did you mean "openai"? (got "opnai")'),
        ("modelRouting: {rules: [{when: {header: {x-tier: gold}}, use: a}]}", "write {name: x-tier, equals: gold}"),
        (
            "modelRouting: {rules: [{when: {header: {name: x, value: a}}, use: a}]}",
            'unknown key "value"; remove it. Known',
        ),
        ("modelRouting: {rules: [{when: {header: x-tier}, use: a}]}", "write {name: x-tier}"),
        (
            "modelRouting: {profiles: {a: {providers: [openai]}}, rules: [{tenant: blue, use: a}]}",
            "belongs in models.yaml, as model_routing.rules[].when.tenant",
        ),
        ("model_list: []", "it is a word of LiteLLM, which is here: providers in models.yaml"),
        ("providers: {openai: {api_key: a}}", "it is a word of LiteLLM, which is here: keys: [${NAME}]"),
        (
            "budgets: {a: {consumers: [b], key: [tenant], limits: [{usd: 1, window: day}]}}",
            "for some callers alone a route",
        ),
        ("guardrails: {g: {policy: NoCards}}", "a class is written"),
        ("guardrails: {g: {policy: 'a:B', on: [inputs]}}", "expected"),
    ],
)
def test_what_means_nothing_is_refused(text: str, complaint: str) -> None:
    """One error, at its line, with its remedy."""
    (line,) = wrong(text)
    assert line.startswith("models.yaml:1:")
    assert complaint in line


@pytest.mark.parametrize(
    ("written", "micros"), [("'50'", 50_000_000), ("50", 50_000_000), ("0.25", 250_000), ("1e-6", 1), ("'0.000001'", 1)]
)
def test_dollars_are_texts_or_numbers(written: str, micros: int) -> None:
    """Counted in millionths, without rounding."""
    models = models_of(f"budgets: {{b: {{limits: [{{usd: {written}, window: month}}]}}}}")
    assert models.budgets["b"].limits[0].usd == micros


def test_windows_are_of_the_calendar_or_durations() -> None:
    """A duration is in seconds."""
    limits = [f"{{tokens: 2000000, window: {each}}}" for each in ("minute", "hour", "day", "week", "month", "30m")]
    models = models_of(f"budgets: {{b: {{limits: [{', '.join(limits)}]}}}}")
    assert [limit.window for limit in models.budgets["b"].limits] == ["minute", "hour", "day", "week", "month", 1800]
    assert models.budgets["b"].limits[0].tokens == 2_000_000


@pytest.mark.parametrize(
    ("provider", "path", "sent"),
    [
        ("{protocol: openai, base_url: 'http://a'}", "/v1/chat/completions", "/v1/chat/completions"),
        ("{protocol: openai, base_url: 'http://a/'}", "/v1/chat/completions", "/v1/chat/completions"),
        ("{protocol: openai, base_url: 'http://a/v1'}", "/v1/chat/completions", "/v1/chat/completions"),
        ("{protocol: openai, base_url: 'http://a/openai/v1/'}", "/v1/models", "/openai/v1/models"),
        ("{protocol: openai, base_url: 'http://a/v1beta/openai'}", "/v1/responses/x", "/v1beta/openai/responses/x"),
        ("{protocol: anthropic, base_url: 'http://a/anthropic'}", "/v1/messages", "/anthropic/v1/messages"),
        ("{protocol: anthropic, base_url: 'http://a/x/v1'}", "/v1/messages", "/x/v1/messages"),
        ("{protocol: gemini, base_url: 'http://a/v1beta'}", "/v1beta/models/x:y", "/v1beta/models/x:y"),
        ("{protocol: gemini, base_url: 'http://a/g/v1beta'}", "/v1/models/x:y", "/g/v1/models/x:y"),
    ],
)
def test_a_base_url_is_what_the_sdk_takes(provider: str, path: str, sent: str) -> None:
    """The version stands in it for one protocol, and not for the others; both ways are understood for those."""
    assert models_of(f"providers: {{p: {provider}}}").in_force["p"].path_of(path) == sent


def test_well_known_providers_need_only_their_keys() -> None:
    """What they say themselves counts."""
    models = models_of(
        "providers: {openai: {keys: '${K}'}, anthropic: {base_url: 'http://own'}, google: {models: [gemini-2]}}", K="k"
    )
    found = models.in_force
    assert found["openai"].origin == "https://api.openai.com"
    assert "gpt-*" in found["openai"].models
    assert (found["anthropic"].origin, found["anthropic"].models) == ("http://own", ("*",))
    assert (found["google"].speaks, found["google"].models) == ("gemini", ("gemini-2",))


def test_keys_are_never_shown() -> None:
    """Neither in errors nor in what is written of the configuration, however they got into the file."""
    files = {"routes.yaml": ROUTE.encode(), "auth.yaml": AUTH.encode()}
    secrets = KnownSecrets()
    text = "providers: {openai: {keys: [sk-in-the-clear, '${ODD}', '${file:key}']}}"
    environment = {"ODD": "sk-of-the-environment"}
    base = Path(__file__).parent
    with pytest.raises(Exception, match="cannot be used"):
        parse({**files, "models.yaml": text.encode()}, environment, base=base, secrets=secrets)
    assert secrets.hide("sk-in-the-clear") == "(hidden)"
    configuration = parse(
        {**files, "models.yaml": text.replace(", '${file:key}'", "").encode()}, environment, base=base, secrets=secrets
    )
    assert secrets.hide("sk-of-the-environment") == "(hidden)"
    assert configuration.models is not None
    assert "sk-" not in configuration.models.model_dump_json() + repr(configuration.models)
    for wrong_text in ("providers: {openai: sk-abcdef}", "providers: {openai: {keys: {a: sk-abcdef}}}"):
        assert "sk-abcdef" not in "".join(wrong(wrong_text))
    assert "abc def" not in "".join(wrong("providers: {openai: {keys: 'abc def'}}"))


def test_json_of_programs_is_read() -> None:
    """With tabs, with pairs of escapes for what is beyond 16 bits, and with what only looks like such a pair."""
    tenants = ["\U0001f600\U0001f601", "\\ud83d\\ude00", "a"]
    sketch = json.loads(SEED)
    sketch["modelRouting"]["rules"][0]["when"] = {"tenant": tenants}
    for text in (json.dumps(sketch), json.dumps(sketch, indent="\t"), json.dumps(sketch, ensure_ascii=False)):
        assert models_of(text).model_routing.rules[0].when.tenant == tuple(tenants)
