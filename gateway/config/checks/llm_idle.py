"""models.yaml: what is probably not meant, although it can be served."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.algorithms.globs import Glob
from gateway.config.models import Configuration
from gateway.config.problems import Fault, Path, suggest
from gateway.config.yaml.document import Scalar

if TYPE_CHECKING:
    from gateway.config.models.llm.file import ModelsFile
    from gateway.config.models.llm.routing import When

_ENDPOINTS = ("/completions", "/responses", "/embeddings", "/messages", "/models")
_OF_ENVIRONMENT = "os.environ/"  # as LiteLLM writes it
_NOBODY = "auth.yaml has no consumer of this name; correct it"
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400, "month": 28 * 86400}


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """All of them."""
    if (models := configuration.models) is not None:
        if models.gateway.bind is not None:
            message = "this has no effect: the gateway listens as --host and --port of serve say; remove it"
            yield Fault(("gateway", "bind"), message)
        yield from _providers(configuration, models)
        yield from _aliases(models)
        yield from _rules(configuration, models)
        yield from _profiles(models)
        yield from _let_in(configuration, models)
        yield from _never_asked(models)
        yield from _budgets(models)
        yield from _never_apply(configuration, models)
        yield from _others(configuration, models)


def _providers(configuration: Configuration, models: ModelsFile) -> Iterator[Fault]:
    for name, provider in models.in_force.items():
        place = ("providers", name) if name in models.providers else ("model_routing",)
        if name not in models.providers:
            variable = f"{name.upper()}_API_KEY"
            message = f"{name} has no keys, and refuses requests without one; write providers: {{{name}: {{keys: "
            yield Fault(place, f'{message}["${{{variable}}}"]}}}}', show_value=False)
        elif not provider.keys and provider.origin.startswith("https:"):
            added = f'keys: ["${{{name.upper().replace("-", "_")}_API_KEY}}"]'
            yield Fault(place, f"it has no keys: requests are sent to it without one; add {added}", show_value=False)
        if provider.base_url is not None and urlsplit(provider.base_url).path.rstrip("/").endswith(_ENDPOINTS):
            message = "it ends with the path of an API, which is added to it; leave that out"
            yield Fault((*place, "base_url"), message)
        service = configuration.routes.services.get(provider.service or "")
        if service is not None and service.endpoints and not any(each.weight for each in service.endpoints):
            message = f"every endpoint of {provider.service} has the weight 0, and gets no requests; give one a weight"
            yield Fault((*place, "service"), message, show_value=False)
        document = configuration.documents["models.yaml"]
        for number, key in enumerate(provider.keys):
            path = (*place, "keys", number)
            found = document.find(path).node
            if isinstance(found, Scalar) and not found.expanded and key.get_secret_value():
                written = key.get_secret_value()
                meant = written.removeprefix(_OF_ENVIRONMENT) if written.startswith(_OF_ENVIRONMENT) else "NAME"
                message = f"the key is in plain text; write ${{file:...}} or ${{{meant}}}"
                yield Fault(path, message, show_value=False)
            if key in provider.keys[:number]:
                yield Fault(path, "this key is there already; remove one of them", show_value=False)
        if provider.keys and provider.origin.startswith("http:") and not _is_near(provider.origin):
            yield Fault((*place, "base_url"), "its keys are sent over http, where others can read them; use https")
        if not provider.weight and all(each.weight == 0 for each in models.in_force.values()):
            yield Fault((*place, "weight"), "the weight of every provider is 0; give one of them a weight")


def _is_near(origin: str) -> bool:
    """Whether it is this machine, or in a private network."""
    host = urlsplit(origin).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


def _aliases(models: ModelsFile) -> Iterator[Fault]:
    every: list[tuple[Path, Mapping[str, Mapping[str, str]]]] = [(("aliases",), models.aliases)]
    for name, profile in models.model_routing.profiles.items():
        every.append((("model_routing", "profiles", name, "aliases"), profile.aliases))
    offered = {name: [Glob(each) for each in provider.models] for name, provider in models.in_force.items()}
    for place, aliases in every:
        for alias, names in aliases.items():
            if not names:
                yield Fault((*place, alias), "it is an alias of no model, so that requests for it get a 404; remove it")
            for provider, model in names.items():
                if not any(glob.matches(model.lower()) for glob in offered.get(provider, ())):
                    message = f"models of {provider} has no such name; correct it, or add it there"
                    yield Fault((*place, alias, provider), f"{message} (got {model})", show_value=False)
                if circle := _circle(aliases, alias, provider):
                    message = f"aliases are looked up once, and these lead round in a circle: {' -> '.join(circle)}"
                    yield Fault((*place, alias, provider), f"{message}; name a model of {provider}", show_value=False)


def _circle(aliases: Mapping[str, Mapping[str, str]], alias: str, provider: str) -> list[str]:
    """The way from an alias over others back to it, said of one of them; empty where there is none. (An alias may well
    stand for the model of its own name.)"""
    way, following = [alias], aliases[alias].get(provider, "")
    while following in aliases and following not in way:
        way.append(following)
        following = aliases[following].get(provider, "")
    return [*way, alias] if following == alias == min(way) and len(way) > 1 else []


def _rules(configuration: Configuration, models: ModelsFile) -> Iterator[Fault]:
    rules = models.model_routing.rules
    ids = [route.id for route in configuration.routes.routes if route.target == "models"]
    known = _names(models)
    for number, rule in enumerate(rules):
        place = ("model_routing", "rules", number)
        open_to_all = [
            earlier
            for earlier, other in enumerate(rules[:number])
            if models.model_routing.profiles[other.use].allow.everybody and _covers(other.when, rule.when)
        ]
        if open_to_all:
            message = f"it never fires: rules[{open_to_all[0]}], before it, takes all of its requests; exchange them"
            yield Fault(place, message, show_value=False)
        elif why := _impossible(configuration, rule.when, ids, known):
            yield Fault((*place, "when", why[0]), f"it never fires: {why[1]}", show_value=False)


def _covers(one: When, other: When) -> bool:
    """Whether all that `one` asks for is asked for by `other`, too: then it takes all of its requests."""
    for name in type(one).model_fields:
        wanted, given = getattr(one, name), getattr(other, name)
        if wanted in ((), None) or wanted == given:
            continue
        if name in ("header", "claim"):
            if not set(map(repr, wanted)) <= set(map(repr, given)):
                return False
        elif not isinstance(wanted, tuple) or not given or not set(given) <= set(wanted):
            return False
    return True


def models_of_consumers(configuration: Configuration) -> Iterator[Fault]:
    """Models of consumers in auth.yaml that there are not."""
    models = configuration.models
    known = _names(models) if models is not None and models.in_force else None
    for number, consumer in enumerate(configuration.auth.consumers):
        place = ("consumers", number, "models")
        if consumer.models is not None and known is None:
            yield Fault(place, "this has no effect: models.yaml has no providers; remove it", show_value=False)
            continue
        for index, pattern in enumerate(consumer.models or ()):
            if not any(_meet(pattern, name) for name in known or ()):
                yield Fault((*place, index), _no_such_model(pattern, known or ()))


def _impossible(configuration: Configuration, when: When, ids: list[str], known: set[str]) -> tuple[str, str] | None:
    """Conditions that no request can fulfil, and why."""
    if when.route and not any(Glob(glob).matches(each.lower()) for glob in when.route for each in ids):
        return "route", f"the routes to models are {', '.join(ids)}; correct the id"
    if when.model and not any(_meet(pattern, name) for pattern in when.model for name in known):
        return "model", _no_such_model(when.model[0], known)
    kinds = {scheme.kind for scheme in configuration.auth.schemes.values()}
    if when.claim and not kinds & {"jwt", "introspection"}:
        return "claim", "auth.yaml has no scheme by which tokens with claims come; add one, or remove it"
    if when.consumer and all(_is_nobody(configuration, name) for name in when.consumer):
        return "consumer", _NOBODY
    return None


def _is_nobody(configuration: Configuration, consumer: str) -> bool:
    """Whether no caller can be the consumer of this name. (Tokens name consumers that are in no file.)"""
    kinds = {scheme.kind for scheme in configuration.auth.schemes.values()}
    return kinds <= {"api_key", "http_signature"} and all(
        each.name != consumer for each in configuration.auth.consumers
    )


def _let_in(configuration: Configuration, models: ModelsFile) -> Iterator[Fault]:
    """Consumers for whom a profile is, and who are nobody."""
    for name, profile in models.model_routing.profiles.items():
        for number, consumer in enumerate(profile.allow.consumers):
            if _is_nobody(configuration, consumer):
                yield Fault(("model_routing", "profiles", name, "allow", "consumers", number), _NOBODY)


def _no_such_model(pattern: str, known: Collection[str]) -> str:
    likely = suggest(pattern, sorted(name for name in known if "*" not in name))
    remedy = f'did you mean "{likely}"?' if likely else "correct it"
    return f"no provider offers such a model, and there is no alias of this name; {remedy}"


def _meet(pattern: str, name: str) -> bool:
    """Whether a text may fit both patterns, as far as that is easily said."""
    if "*" not in name:
        return Glob(pattern).matches(name.lower())
    if "*" not in pattern:
        return Glob(name).matches(pattern.lower())
    ours, theirs = pattern.lower().partition("*")[0], name.lower().partition("*")[0]
    return ours.startswith(theirs) or theirs.startswith(ours)


def _profiles(models: ModelsFile) -> Iterator[Fault]:
    routing = models.model_routing
    used = {routing.default, *(rule.use for rule in routing.rules)}
    used |= {profile.overflow for profile in routing.profiles.values()}
    for name, profile in routing.profiles.items():
        place = ("model_routing", "profiles", name)
        if name not in used:
            message = "no rule uses it, it is not the default, and nothing overflows into it; use it, or remove it"
            yield Fault(place, message, show_value=False)
        larger = routing.profiles[profile.overflow] if profile.overflow is not None else None
        if larger is not None and profile.max_context_tokens is None:
            message = "this has no effect without max_context_tokens but where a provider refuses; add that"
            yield Fault((*place, "overflow"), message, show_value=False)
        elif larger is not None and (larger.max_context_tokens or 10**16) <= (profile.max_context_tokens or 0):
            message = (
                f"{profile.overflow} takes no more than this profile does, so that nothing fits; name a larger one"
            )
            yield Fault((*place, "overflow"), message, show_value=False)
        elif (profile.max_output_tokens or 0) >= (profile.max_context_tokens or 10**16):
            message = "it is not less than max_context_tokens, which is for input and output together; lower it"
            yield Fault((*place, "max_output_tokens"), message)
        if profile.providers and all(choice.weight == 0 for choice in profile.providers):
            yield Fault((*place, "providers"), "all weights are 0; give one of them a weight", show_value=False)


def _never_asked(models: ModelsFile) -> Iterator[Fault]:
    """Providers that no profile in use asks, as each of them names others as its only ones."""
    routing = models.model_routing
    used = list(dict.fromkeys([routing.default, *(rule.use for rule in routing.rules)]))
    for each in used:  # grows by what they overflow into
        profile = routing.profiles.get(each or "")
        if profile is not None and profile.overflow is not None and profile.overflow not in used:
            used.append(profile.overflow)
    found = [routing.profiles.get(each or "") for each in used]
    asked = {choice.name for profile in found if profile is not None for choice in profile.providers}
    for name in models.providers if all(profile is not None and profile.providers for profile in found) else ():
        if name not in asked:
            message = "no profile asks it: each that is used has other providers only; add it to one, or remove it"
            yield Fault(("providers", name), message, show_value=False)


def _budgets(models: ModelsFile) -> Iterator[Fault]:
    for name, budget in models.budgets.items():
        for unit in ("tokens", "usd", "requests"):
            found = [(number, limit) for number, limit in enumerate(budget.limits) if getattr(limit, unit) is not None]
            for number, limit in found:
                seconds = limit.window if isinstance(limit.window, int) else _SECONDS[limit.window]
                for _, other in found:
                    longer = other.window if isinstance(other.window, int) else _SECONDS[other.window]
                    if longer > seconds and getattr(other, unit) <= getattr(limit, unit):
                        message = "this has no effect: another limit is for a longer time, and no more; remove one"
                        yield Fault(("budgets", name, "limits", number), message, show_value=False)
                        break


def _never_apply(configuration: Configuration, models: ModelsFile) -> Iterator[Fault]:
    """Rules for routes and models that there are not."""
    ids = [route.id for route in configuration.routes.routes if route.target == "models"]
    known = _names(models)
    for section, rules in (("budgets", models.budgets), ("tool_quotas", models.tool_quotas)):
        for name, rule in rules.items():
            if ids and not any(rule.applies_to(each) for each in ids):
                message = f"it applies to no request: the routes to models are {', '.join(ids)}; correct it"
                yield Fault((section, name, "routes"), message, show_value=False)
    for name, budget in models.budgets.items():
        if not any(_meet(pattern, each) for pattern in budget.models for each in known):
            message = f"it applies to no request: {_no_such_model(budget.models[0], known)}"
            yield Fault(("budgets", name, "models"), message, show_value=False)


def _names(models: ModelsFile) -> set[str]:
    """Names and patterns of all that clients can ask for."""
    profiles = models.model_routing.profiles.values()
    aliases = {*models.aliases, *(name for profile in profiles for name in profile.aliases)}
    return aliases | {name for provider in models.in_force.values() for name in provider.models}


def _guardrails(models: ModelsFile) -> Iterator[Fault]:
    used = {name for profile in models.model_routing.profiles.values() for name in profile.guardrails}
    for name, guardrail in models.guardrails.items():
        if name not in used:
            message = "no profile names it, so that it looks at nothing; add it to guardrails of a profile"
            yield Fault(("guardrails", name), message, show_value=False)
        if ("output" in guardrail.on) != ("stream" in guardrail.on):
            seen, unseen = ("whole", "streamed") if "output" in guardrail.on else ("streamed", "whole")
            missing = "stream" if seen == "whole" else "output"
            message = f"it looks at {seen} answers only, and clients may ask for {unseen} ones; add {missing}"
            yield Fault(("guardrails", name, "on"), message, show_value=False)
    if used and models.model_routing.default is None:
        message = "there is no default profile, so that no guardrail checks requests without a rule; add a default"
        yield Fault(("model_routing",), message, show_value=False)


def _others(configuration: Configuration, models: ModelsFile) -> Iterator[Fault]:
    yield from _guardrails(models)
    if "drains" in models.model_fields_set and models.on_disconnect != "drain":
        yield Fault(("drains",), "this has no effect without on_disconnect: drain; add that, or remove it")
    storing = [each for each in models.in_force.values() if each.protocol == "openai"]
    if models.list_stored and (len(storing) != 1 or len(storing[0].keys) > 1):
        message = (
            "stored chat completions are listed with one provider of OpenAI's protocol and one key only, and of files "
            "those of one key; leave it out, or leave out the others"
        )
        yield Fault(("list_stored",), message, show_value=False)
    if models.prices.assume is not None and models.prices.unknown != "assume":
        yield Fault(("prices", "assume"), "this has no effect without unknown: assume; add that", show_value=False)
    if not models.guardrails and "redacted" in (models.content.mode, *models.content.routes.values()):
        message = "without guardrails nothing is redacted, so that hashes are logged; write hash, or add guardrails"
        yield Fault(("content",), message, show_value=False)
    ids = {route.id for route in configuration.routes.routes if route.target == "models"}
    for route in models.content.routes:
        if route not in ids:
            message = f"no route to models has this id, but {', '.join(sorted(ids))}; correct it"
            yield Fault(("content", "routes", route), message, show_value=False)
    if not models.in_force and not models.mcp:
        yield Fault((), "there are no models without a provider; add providers", show_value=False)
    if models.in_force and configuration.auth.mode == "shadow":
        message = (
            "anyone can use the keys of the providers while auth.yaml says mode: shadow; write mode: enforce there"
        )
        yield Fault(("providers",), message, show_value=False)
    names = configuration.auth.default
    if models.in_force and any(configuration.auth.schemes[name].kind == "anonymous" for name in names):
        open_ = [each.id for each in configuration.routes.routes if each.target == "models" and each.auth is None]
        if open_:
            message = "default of auth.yaml lets anonymous callers in, who use the keys of the providers, too; write a "
            yield Fault(("providers",), f"{message}route with target: models and auth: [SCHEME]", show_value=False)
