"""Pages of other origins that may call, and cannot show for whom."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.models import Configuration, SchemeConfig
from gateway.config.models.cors import Cors
from gateway.config.problems import Fault

_AUTHORIZATION = "authorization"
_OF_MODELS = ("models", "mcp")  # which look for keys in other places, too


def without_credentials(configuration: Configuration) -> Iterator[Fault]:
    """Rules whose pages can send none of the credentials that a route takes: browsers keep each such call back."""
    auth, rules, seen = configuration.auth, configuration.middleware.cors, set[str]()
    for route in configuration.routes.routes:
        name = next((each for each, rule in rules.items() if rule.applies_to(route.id)), None)
        schemes = [auth.schemes[each] for each in (auth.default if route.auth is None else route.auth)]
        if name is None or name in seen or not schemes or auth.mode == "shadow":
            continue
        if not route.answered_here and route.target in _OF_MODELS:
            continue
        missing = [header for scheme in schemes if (header := _missing(scheme, rules[name])) is not None]
        if len(missing) == len(schemes):
            seen.add(name)
            wanted = " or ".join(dict.fromkeys(missing))
            message = (
                f'pages cannot send {wanted}, which route "{route.id}" needs: browsers ask first, and headers does not '
                f"list it; write headers: [{missing[0]}], with all others that they send"
            )
            yield Fault(("cors", name), message)


def _missing(scheme: SchemeConfig, rule: Cors) -> str | None:
    """The header that pages would have to be allowed to send for it; None where they can show a credential."""
    if (key := scheme.api_key) is not None:
        elsewhere = key.query is not None or (key.cookie is not None and rule.credentials)
        return None if elsewhere or key.header is None else _unlisted(key.header, rule)
    if (token := scheme.jwt or scheme.introspection) is not None:
        places = token.from_
        elsewhere = places.query is not None or (places.cookie is not None and rule.credentials)
        if elsewhere or (places.header is not None and _unlisted(places.header, rule) is None):
            return None
        return _unlisted(_AUTHORIZATION, rule)
    if scheme.basic is not None:
        return None if rule.credentials else _unlisted(_AUTHORIZATION, rule)
    return None


def _unlisted(header: str, rule: Cors) -> str | None:
    listed = {name.lower() for name in rule.headers}
    if header.lower() in listed or ("*" in listed and header.lower() != _AUTHORIZATION):
        return None
    return header
