"""The texts of the files. A line behind a `#` is valid when the `#` is removed: a test removes them all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.config.models.auth.authorization import NOT_TRANSLATED
from gateway.starter.openapi import Described

_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9/_.~{}:-]*[A-Za-z0-9/_.~}-]|/")

_ROUTES = """\
# Where requests go. The most specific route wins: `gateway explain GET /x` says which one and why.
# A gateway that runs takes this file up by itself; `gateway check` says beforehand what is wrong with it.

# No prefix in front of all paths. With /api, the paths /api/x and /x would be the same.
base_path: /

"""

_MORE_ROUTES = """
# What else a route may have: docs/configuration.md has all of it.
#- path: /reports/{name}
#  host: reports.example.com           # only for this host
#  methods: [GET, POST]                # others are answered 405
#  target: workers                     # a service, below
#  rewrite: /v1/reports/{name}         # the path that the backend sees
#  timeout: 30s                        # for all of a request, else 504
#  retry: {attempts: 2}                # after failures that may be retried
#  auth: []                            # schemes of auth.yaml that it accepts; none: it is open

# Services have several endpoints. `health` asks each of them every few seconds.
#services:
#  workers:
#    endpoints: ["127.0.0.1:8081", "127.0.0.1:8082"]
#    health: {path: /health}
"""

MIDDLEWARE = """\
# What holds for every request. Nothing is needed here: all keys have defaults (docs/configuration.md).

# At most so many requests of each address; with `mode: shadow` it is only counted and shown, by `gateway last`.
#rate_limits:
#  per-address: {key: [address], limits: [100/s], mode: shadow}

# Pages of other origins that may call from a browser.
#cors:
#  pages: {origins: ["https://app.example.com"]}

# Headers that backends get from here.
#headers:
#  to-backends: {request: {set: {X-Gateway: "yes"}}}

#access_log:
#  format: console                     # for people; json for machines

# What outlives a restart. Made when it is needed.
state_directory: ${GATEWAY_STATE:-state}
"""

_AUTH = """\
# Who may call, and which proxies are trusted.

# Proxies in front whose X-Forwarded-* headers count. Loopback is an nginx on this machine: add your load balancer.
trusted_proxies:
- 127.0.0.0/8
- ::1/128

# API keys. `gateway keys new --consumer acme` makes one, and prints what belongs below.
#default: [keys]                       # for every route that does not say otherwise
#schemes:
#  keys: {api_key: {header: HEADER}}
#consumers:
#- name: acme
#  keys:
#  - hash: sha256:0000000000000000000000000000000000000000000000000000000000000000
"""


_TO_MODELS = """\
- path: /*                             # `*` is all the rest; /a/* takes /a, too
  id: models
  target: models                       # what models.yaml describes, at the paths that SDKs ask for
"""

_MODELS = """\
# Which models there are, and whose keys pay for them. Clients send their own keys of auth.yaml, as their SDKs do.
# Begin offline with `gateway demo models`: docs/models.md. All keys: docs/configuration.md.

providers:
  openai:
    keys: ["${OPENAI_API_KEY:-not-set}"]
  anthropic:
    keys: ["${ANTHROPIC_API_KEY:-not-set}"]
#  local:
#    protocol: openai                    # what it speaks: openai, anthropic or gemini
#    base_url: http://127.0.0.1:8080/v1
#    models: [small]                     # only these; `GET /v1/models` lists them
#    translate: [messages]               # what clients of another protocol may ask it, too

# Names for clients, and what they are called by each provider.
#aliases:
#  small-chat: {openai: gpt-5-mini, local: small}

# Profiles choose among providers; rules choose a profile.
#model_routing:
#  default: fast
#  profiles:
#    fast: {max_context_tokens: 32000, prefer_providers: [openai, anthropic], overflow: heavy}
#    heavy: {max_context_tokens: 200000, prefer_providers: [anthropic]}
#  rules:
#  - {when: {header: {name: X-Route-Profile, equals: heavy}}, use: heavy}

# What each consumer may use. A request that might need more than is left is refused before it is sent.
#budgets:
#  per-consumer: {key: [consumer], limits: [{tokens: 2000000, window: day}, {usd: "50", window: month}]}
"""


def models_files() -> Mapping[str, str]:
    """The files of a gateway for models, by their names."""
    auth = _AUTH.replace("api_key: {header: HEADER}", "api_key: {}")
    for line in ("default: [keys]", "schemes:", "  keys: {api_key"):
        auth = auth.replace(f"#{line}", line)
    return {
        "routes.yaml": _ROUTES + "routes:\n" + _TO_MODELS,
        "middleware.yaml": MIDDLEWARE,
        "auth.yaml": auth,
        "models.yaml": _MODELS,
    }


def files(target: str, routes: Sequence[Described], prefix: str, key_header: str) -> Mapping[str, str]:
    """The files by their names. `prefix` stands before each path that the backend sees; without `routes`, all
    requests go there."""
    lines = [*(_described(routes, target, prefix) if routes else _everything(target, prefix))]
    return {
        "routes.yaml": _ROUTES + "routes:\n" + "\n".join(lines) + "\n" + _MORE_ROUTES,
        "middleware.yaml": MIDDLEWARE,
        "auth.yaml": _AUTH.replace("HEADER", key_header or "X-API-Key"),
    }


def _everything(target: str, prefix: str) -> Iterator[str]:
    yield "- path: /*                             # `*` is all the rest; /a/* takes /a, too"
    yield "  id: everything"
    yield f"  target: {_scalar(target)}"
    if prefix:
        yield f"  rewrite: {_scalar(prefix + '/$1')}"


def _described(routes: Sequence[Described], target: str, prefix: str) -> Iterator[str]:
    for route in routes:
        yield f"- path: {_scalar(route.path)}" + (f"  # {route.summary}" if route.summary else "")
        yield f"  methods: [{', '.join(route.methods)}]"
        yield f"  target: {_scalar(target)}"
        if prefix:
            yield f"  rewrite: {_scalar(prefix + re.sub(r':[^{}]*}', '}', route.path))}"
        if route.needs_credential:
            yield "  #auth: [keys]                        # the description demands a credential: see auth.yaml"
            yield "  authorize:                           # until then every request is refused: remove this"
            yield f"  - when: {NOT_TRANSLATED}"


def _scalar(text: str) -> str:
    """A text as YAML has it; quoted where it might be read as something else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text.replace("${", "$${"))
