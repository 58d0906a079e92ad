"""Traefik: its configurations. It has no API keys (Basic authentication stands for them) and makes no request ids."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

Config = dict[str, Any]


def static(port: int, dynamic: Path, log: Path | None = None, collector: int | None = None) -> Config:
    """What it is started with. `log`: a line of JSON for each request, with a trace of which nothing is reported."""
    config: Config = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": {"bench": {"address": f"127.0.0.1:{port}", "forwardedHeaders": {"insecure": True}}},
        "providers": {"file": {"filename": str(dynamic), "watch": False}},
        "log": {"level": "ERROR"},
    }
    if log is not None:
        config["accessLog"] = {"filePath": str(log), "format": "json"}
        config["tracing"] = {"sampleRate": 0, "otlp": {"http": {"endpoint": f"http://127.0.0.1:{collector}/v1/traces"}}}
    return config


def dynamic(backend: int, prefix: str, rewritten: str, middlewares: Config | None = None) -> Config:
    """A proxy with a prefix rewrite. `middlewares` come before that."""
    rewrite = {"replacePathRegex": {"regex": f"^{prefix}/(.*)", "replacement": f"{rewritten}/$1"}}
    all_of_them = {**(middlewares or {}), "rewrite": rewrite}
    router = {"rule": f"PathPrefix(`{prefix}/`)", "service": "backend", "middlewares": list(all_of_them)}
    balancer = {
        "servers": [{"url": f"http://127.0.0.1:{backend}"}],
        "serversTransport": "kept",
        "responseForwarding": {"flushInterval": "100ms"},
    }
    return {
        "http": {
            "routers": {"bench": router},
            "middlewares": all_of_them,
            "services": {"backend": {"loadBalancer": balancer}},
            "serversTransports": {"kept": {"maxIdleConnsPerHost": 128}},
        }
    }


def chain(consumer_header: str, keys: Mapping[str, str], per_second: int) -> Config:
    """A user with a password, and a limit."""
    users = [f"{name}:{{SHA}}{b64encode(sha1(key.encode()).digest()).decode()}" for name, key in keys.items()]
    limit = {"average": per_second, "burst": 1000, "sourceCriterion": {"requestHeaderName": consumer_header}}
    return {
        "authentication": {"basicAuth": {"users": users, "headerField": consumer_header, "removeHeader": True}},
        "limit": {"rateLimit": limit},
    }


def credential(consumer: str, key: str) -> tuple[str, str]:
    """The header of a user."""
    return "Authorization", "Basic " + b64encode(f"{consumer}:{key}".encode()).decode()
