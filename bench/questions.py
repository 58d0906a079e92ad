"""More than a key and a limit: tokens, browsers, many keys, and everything that watches backends and traffic."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench import envoy, haproxy
from bench.chain import CONSUMER_HEADER, KEY_HEADER, KEYS, Chains
from bench.load import Headers, Request
from bench.programs import BenchError, Program, get
from bench.proxies import PREFIX, REWRITTEN, SMALL, Workshop

PATH = f"{PREFIX}/small"
TOKENS = 1000
ADDRESSES = 20_000
ISSUER = "https://issuer.example"
AUDIENCE = "bench"

_BROWSER: Headers = (
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Accept-Language", "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"),
    ("Cache-Control", "no-cache"),
    ("Cookie", "session=3f0c8f4b1f6e4f0fb4a7c5a9d8e2b1c0; theme=dark; consent=necessary"),
    ("Referer", "https://app.example.com/orders/overview?page=2&sort=date"),
    ("Sec-CH-UA", '"Chromium";v="142", "Not_A Brand";v="99"'),
    ("Sec-CH-UA-Mobile", "?0"),
    ("Sec-CH-UA-Platform", '"Linux"'),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36"),
)
"""With the address, fourteen; the key comes beside them."""


def browsers() -> Request:
    """The headers of a browser behind a load balancer, of so many addresses, each with one of the consumers."""
    keys = list(KEYS.values())
    variants = tuple(
        (("X-Forwarded-For", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"), (KEY_HEADER, _one(keys, number)))
        for number in range(ADDRESSES)
    )
    return Request("14 browser headers", PATH, len(SMALL), headers=_BROWSER, variants=variants)


def numbered_keys(count: int) -> Mapping[str, str]:
    """So many keys by consumer."""
    return {f"consumer-{number}": sha256(b"key %d" % number).hexdigest()[:40] for number in range(count)}


def of_keys(keys: Mapping[str, str], count: int) -> Request:
    """Requests with each of the keys in turn.

    Their bytes are kept for so many of them, also where there are fewer keys: what sends them shares its cache with the
    gateway, and should take as much of it whatever the keys are.
    """
    in_turn = islice(cycle(keys.values()), count)
    return Request(f"{len(keys):,} keys", PATH, len(SMALL), variants=tuple(((KEY_HEADER, key),) for key in in_turn))


@dataclass(frozen=True)
class Tokens:
    """Signed tokens of one issuer, for so many consumers, and the proxies that verify them."""

    workshop: Workshop

    def prepared(self) -> tuple[Request, list[Program]]:
        """The request, which has each token in turn, and the proxies."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600}
        tokens = [
            jwt.encode({**claims, "sub": f"consumer-{number}"}, private, "RS256", {"kid": "bench"})
            for number in range(TOKENS)
        ]
        variants = tuple((("Authorization", f"Bearer {token}"),) for token in tokens)
        public = private.public_key()
        file = self.workshop.directory / "issuer.pem"
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        file.write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
        key_set = {
            "keys": [{**jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True), "kid": "bench", "alg": "RS256"}]
        }
        return Request("JWT", PATH, len(SMALL), variants=variants), self._programs(file, json.dumps(key_set))

    def _programs(self, file: Path, key_set: str) -> list[Program]:
        token = envoy.token(ISSUER, AUDIENCE, key_set, CONSUMER_HEADER, 2 * TOKENS)
        ways = [("gateway", False), *([("gateway, interpreted", True)] if self.workshop.compiled else [])]
        return [
            *self.workshop.haproxy_program("jwt-haproxy", rules=haproxy.jwt(str(file), CONSUMER_HEADER)),
            *self.workshop.envoy_program("jwt-envoy", http_filters=[token]),
            *(self._gateway(name, file, interpreted=interpreted) for name, interpreted in ways),
        ]

    def _gateway(self, name: str, file: Path, *, interpreted: bool) -> Program:
        files = self.workshop.gateway_files(name)
        issuer = {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["RS256"], "key_file": str(file)}
        auth = {"schemes": {"tokens": {"jwt": {"issuers": [issuer]}}}, "default": ["tokens"]}
        (files / "auth.yaml").write_text(json.dumps(auth))
        (files / "middleware.yaml").write_text("access_log:\n  output: off\n")
        return self.workshop.gateway_program(name, files, interpreted=interpreted)


def refuses_others(program: Program) -> None:
    """Raises BenchError unless a proxy refuses what has no token, or none of the issuer."""
    other = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "x"}, "a secret of thirty-two characters")
    for headers in ((), (("Authorization", f"Bearer {other}"),)):
        status, _ = get(program.port, PATH, headers)
        if status not in (401, 403):
            raise BenchError(f"{program.name} answers a request without a right token with {status}")


def everything(workshop: Workshop, collector: int) -> list[Program]:
    """The whole chain, with health checks, outlier detection, retries, a breaker, and 1% of the traces reported."""
    chains = Chains(workshop)
    retry = {"retry_on": "connect-failure,reset", "num_retries": 2}
    watched: dict[str, Any] = {
        "retry": retry,
        "cluster": envoy.watched_cluster(f"{REWRITTEN}/small"),
        "collector": collector,
        "tracing": envoy.tracing(1, "collector", collector),
    }
    health = {"path": f"{REWRITTEN}/small", "interval": "10s"}
    service = {"endpoints": [f"127.0.0.1:{workshop.backend}"], "health": health}
    route = {"path": f"{PREFIX}/*", "target": "bench", "rewrite": f"{REWRITTEN}/$1", "retry": {}, "breaker": "short"}
    routes = json.dumps({"services": {"bench": service}, "routes": [route]})
    ways = [("gateway", False), *([("gateway, interpreted", True)] if workshop.compiled else [])]
    return [
        *chains.envoy(**watched),
        *(chains.gateway(name, interpreted=way, collector=collector, routes=routes) for name, way in ways),
    ]


def _one(values: Sequence[str], number: int) -> str:
    return values[number * 7 % len(values)]
