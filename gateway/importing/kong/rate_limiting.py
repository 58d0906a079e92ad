"""The plugins of Kong that limit how often somebody may call."""

from __future__ import annotations

from gateway.importing.description import Description, Settings
from gateway.importing.kong.effects import Effect
from gateway.importing.tree import Item

_WINDOWS = {"second": "s", "minute": "m", "hour": "h"}
_SIZES = {1: "s", 60: "m", 3600: "h", 86400: "24h"}


def windows_of(config: Item) -> list[str]:
    """Limits of a rate-limiting plugin that are for less than a day."""
    limits = [f"{number:g}/{unit}" for key, unit in _WINDOWS.items() if (number := config.number(key))]
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
    elif by in ("ip", "service", "path"):
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
    config.ignore_keys(
        "hide_client_headers", "error_code", "error_message", "sync_rate", "namespace", "dictionary_name"
    )
    config.ignore_keys("redis_ssl", "redis_ssl_verify", "redis_server_name", "redis_host", "redis_password")
    config.ignore_keys("redis_port", "redis_timeout", "redis_username", "redis_database", "redis", "window_type")
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
    if config.text("policy", "local") != "redis" and config.text("strategy") != "redis":
        return {}
    below = config.get("redis")
    host = config.text("redis_host") or (below.text("host") if below is not None else "") or "localhost"
    port = int((below.number("port") if below is not None else None) or config.number("redis_port") or 6379)
    secure = config.flag("redis_ssl") or (below is not None and below.flag("ssl"))
    scheme = "rediss" if secure else "redis"
    settings: Settings = {"url": f"{scheme}://{host}:{port}"}
    secret = config.get("redis_password") or (below.get("password") if below is not None else None)
    if secret is not None:
        reference = description.secret("REDIS_PASSWORD", secret.place)
        settings["url"] = type(reference)(f"{scheme}://:{reference}@{host}:{port}")
    description.middleware["redis"] = settings
    if config.get("fault_tolerant") is None:
        return {"store": "redis"}
    return {"store": "redis", "on_failure": "open" if config.flag("fault_tolerant") else "closed"}
