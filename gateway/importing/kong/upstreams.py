"""Upstreams of Kong, with their targets and health checks, as services."""

from __future__ import annotations

from gateway.importing.description import Description, Settings, identifier
from gateway.importing.tree import Item
from gateway.importing.variables import filled_in

_HASHES = {"header": "hash_on_header", "cookie": "hash_on_cookie", "query_arg": "hash_on_query_arg"}
_BALANCE = {"least-connections": "least_request", "latency": "peak_ewma", "round-robin": "round_robin"}

_CHECKED = {"http_path": "path", "timeout": "timeout"}
_HEALTHY = {"interval": "interval", "successes": "healthy_after", "http_statuses": "status"}
_UNHEALTHY = {"interval": "interval"} | dict.fromkeys(("http_failures", "tcp_failures", "timeouts"), "unhealthy_after")
"""Keys of checks, and what is written for them."""


def read(root: Item, description: Description) -> None:
    """Add the services that upstreams stand for."""
    for item in root.items("upstreams"):
        name = item.text("name")
        item.ignore_keys("id", "tags", "slots", "created_at", "updated_at", "_comment")
        targets = item.items("targets")
        for target in root.items("targets"):
            owner = target.get("upstream")
            if name == ("" if owner is None else owner.own_text or owner.text("name")):
                targets.append(target)
        weights = [int(target.number("weight", 100) or 0) for target in targets]
        scale = max(1.0, max(weights, default=1) / 1000)
        endpoints: list[Settings | str] = []
        for target, weight in zip(targets, weights, strict=True):
            address = filled_in(target.get("target"), description)
            target.ignore_keys("id", "tags", "created_at", "updated_at", "upstream", "failover")
            if ":" not in address:
                address = type(address)(f"{address}:8000")
            alike = len(set(weights)) == 1
            endpoints.append(address if alike else {"address": address, "weight": round(weight / scale)})
        if not endpoints:
            item.unsaid("it has no targets, so that there is no service")
            continue
        settings: Settings = {"endpoints": endpoints}
        if balance := _balance(item):
            settings["balance"] = balance
        if health := _health(item, f"services.{identifier(name)}.health"):
            settings["health"] = health
        item.ignore_default("host_header")
        item.ignore_default("use_srv_name", False)
        description.services[identifier(name)] = settings
        description.upstreams[name] = identifier(name)
        service = f"services.{identifier(name)}"
        item.said(service)
        item.said(f"{service}.endpoints", "targets")
        if balance:
            for key in ("algorithm", *_HASHES.values()):
                item.said(f"{service}.balance", key)


def _balance(item: Item) -> Settings | str | None:
    kind = item.text("hash_on", "none")
    algorithm = item.text("algorithm", "round-robin" if kind == "none" else "consistent-hashing")
    for key in ("hash_fallback", "hash_fallback_header", "hash_fallback_query_arg", "hash_fallback_uri_capture"):
        item.ignore_default(key, "none", None)
    item.ignore_keys("hash_on_cookie_path")
    if kind in _HASHES:
        name = item.text(_HASHES[kind])
        return {"consistent_hash": {"query" if kind == "query_arg" else kind: name}}
    if kind == "ip":
        return {"consistent_hash": {"client": True}}
    if kind != "none":
        item.unsaid(f"requests are not spread by {kind} here; in turn instead", "hash_on")
    return _BALANCE.get(algorithm)


def _health(item: Item, ours: str) -> Settings | None:
    checks = item.get("healthchecks")
    if checks is None:
        return None
    checks.ignore_keys("threshold")
    if (passive := checks.get("passive")) is not None:
        passive.differs("passive checks are always on, with thresholds of their own (`outliers`)")
        passive.ignore()
    active = checks.get("active")
    if active is None:
        return None
    healthy, unhealthy = active.get("healthy"), active.get("unhealthy")
    interval = max(_number(healthy, "interval"), _number(unhealthy, "interval"))
    if interval <= 0:
        active.ignore()
        return None
    settings: Settings = (
        {"tcp": True} if active.text("type", "http") == "tcp" else {"path": active.text("http_path", "/")}
    )
    settings["interval"] = f"{interval:.15g}s"
    if (timeout := active.number("timeout")) is not None:
        settings["timeout"] = f"{timeout:.15g}s"
    if count := int(_number(healthy, "successes")):
        settings["healthy_after"] = min(count, 100)
    failures = [int(_number(unhealthy, key)) for key in ("http_failures", "tcp_failures", "timeouts")]
    if counts := [count for count in failures if count]:
        settings["unhealthy_after"] = min(*counts, 100) if len(counts) > 1 else min(counts[0], 100)
    if healthy is not None and (statuses := healthy.texts("http_statuses")) and "tcp" not in settings:
        settings["status"] = [int(status) for status in statuses if status.isdecimal()]
    for below, keys in ((active, _CHECKED), (healthy, _HEALTHY), (unhealthy, _UNHEALTHY)):
        for key, written in keys.items():
            if below is not None and written in settings:
                below.said(f"{ours}.{written}", key)
    if unhealthy is not None:
        unhealthy.ignore_keys("http_statuses")
    active.ignore_keys("concurrency", "https_verify_certificate", "https_sni", "headers")
    return settings


def _number(item: Item | None, key: str) -> float:
    return 0 if item is None else item.number(key, 0) or 0
