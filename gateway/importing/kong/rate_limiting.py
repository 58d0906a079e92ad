"""The plugins of Kong that limit request rates."""

from __future__ import annotations

from gateway.importing.description import Description, Settings, marked
from gateway.importing.kong.effects import Effect
from gateway.importing.tree import Item
from gateway.importing.variables import filled_in

_WINDOWS = {"second": "s", "minute": "m", "hour": "h"}
_SIZES = {1: "s", 60: "m", 3600: "h", 86400: "24h"}


def windows_of(config: Item) -> list[str]:
    """Limits of a rate-limiting plugin that are for less than a day."""
    limits = [f"{number:.15g}/{unit}" for key, unit in _WINDOWS.items() if (number := config.number(key))]
    amounts, sizes = config.texts("limit"), config.texts("window_size")
    for amount, size in zip(amounts, sizes, strict=False):
        if amount.isdigit() and size.isdigit():
            limits.append(f"{amount}/{_SIZES.get(int(size), size + 's')}")
    return limits


def rate_limiting(config: Item, effect: Effect, description: Description) -> None:
    """A limit that all have."""
    by = config.text("limit_by") or config.text("identifier") or "consumer"
    header = config.text("header_name")
    if by == "header" and header:
        key = [f"header:{header}"]
    elif by in ("consumer", "credential", "consumer-group"):
        key = ["consumer"]
    elif by == "service":
        config.differs("requests are counted for each route, not for the service with all of its routes", "limit_by")
        key = ["route"]
    elif by in ("ip", "path"):
        if by != "ip":
            config.differs(f"requests are counted by address instead of by {by}", "limit_by")
        key = ["address"]
    else:
        effect.item.differs(f"requests are counted by consumer instead of by {by}")
        key = ["consumer"]
    name = f"limit-{effect.item.line}"
    if limits := windows_of(config):
        store = store_of(config, description)
        effect.policy(description, "rate_limits", name, {"key": key, "limits": limits} | store)
    for unit, number in quotas_of(config).items():
        effect.policy(description, "quotas", f"{name}-{unit}", {"key": key, "limit": number, "window": unit})
    config.ignore_default("hide_client_headers", False)
    config.ignore_default("error_code", 429)
    config.ignore_default("error_message", "API rate limit exceeded")
    config.ignore_keys("sync_rate", "namespace", "dictionary_name", "redis_ssl_verify", "redis_server_name")
    config.ignore_keys("redis_timeout", "redis", "window_type")
    config.differs(
        "a limit is counted evenly over time (GCRA), not from the beginning of each minute; the answer is a 429"
    )


def quotas_of(config: Item) -> dict[str, int]:
    """Limits of such a plugin for a day and for a month."""
    if config.get("year") is not None:
        config.unsaid("there is no quota for a year; say it for a month", "year")
    return {unit: int(number) for unit in ("day", "month") if (number := config.number(unit)) is not None}


def store_of(config: Item, description: Description) -> Settings:
    """Where it counts, and what holds while that does not answer."""
    policy = config.text("policy") or config.text("strategy") or "local"
    if policy == "cluster":
        key = "policy" if config.get("policy") is not None else "strategy"
        config.differs("each gateway counts by itself; with `store: redis` several count together", key)
    if policy != "redis":
        return {}
    below = config.get("redis")

    def named(key: str) -> Item | None:
        return (below.get(key) if below is not None else None) or config.get(f"redis_{key}")

    host, port, database, user = (
        filled_in(named(key), description) or usual
        for key, usual in (("host", "localhost"), ("port", "6379"), ("database", "0"), ("username", ""))
    )
    ssl, secret = named("ssl"), named("password")
    scheme = "rediss" if ssl is not None and ssl.value in (True, "true") else "redis"
    password = description.secret("REDIS_PASSWORD", secret.place) if secret is not None else ""
    whose = f"{user}:{password}@" if password else f"{user}@" if user else ""
    settings: Settings = {"url": marked(f"{scheme}://{whose}{host}:{port}" + f"/{database}" * (database != "0"))}
    if description.middleware.setdefault("redis", settings) != settings:
        config.differs("one Redis counts for all limits: the first of the file")
    if config.get("fault_tolerant") is None:
        return {"store": "redis"}
    return {"store": "redis", "on_failure": "open" if config.flag("fault_tolerant") else "closed"}
