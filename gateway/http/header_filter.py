"""Which of a client's header names reach the backend: none by which it could pass for a proxy, or for the gateway.

What a name is to a CGI-like backend counts, too: those read an underscore, and some read any other mark, as the hyphen.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from gateway.http.fields import ENDS_HERE, FORWARDING_FIELDS

WRITTEN_HERE: Final = FORWARDING_FIELDS | {
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
    b"x-forwarded-proto",
}
"""Fields that the gateway writes itself, whatever a client sent under these names."""

ADDRESSES: Final = frozenset(
    b"""
    x-client-ip x-cluster-client-ip x-remote-ip x-remote-addr x-originating-ip x-proxyuser-ip x-azure-clientip
    x-azure-socketip client-ip true-client-ip proxy-client-ip fastly-client-ip fly-client-ip cf-connecting-ip
    cf-connecting-ipv6 cf-pseudo-ipv4 forwarded-for x-forward-for
    """.split()
)
"""Fields in which proxies put the client's address."""

CALLERS: Final = frozenset(
    b"""
    client-cert client-cert-chain x-client-cert x-client-verify x-client-dn x-tls-client-cert
    remote-user remote-name remote-email remote-groups x-remote-user x-remote-group x-remote-groups
    x-webauth-user x-authenticated-user x-authenticated-userid x-goog-iap-jwt-assertion x-forwarded-client-cert
    x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-preferred-username x-forwarded-access-token
    """.split()
)
CALLER_PREFIXES: Final = (
    b"ssl-client-",
    b"x-auth-request-",
    b"x-authentik-",
    b"x-pomerium-",
    b"tailscale-user-",
    b"cf-access-",
    b"x-amzn-mtls-",
    b"x-amzn-oidc-",
    b"x-goog-authenticated-user-",
    b"x-ms-client-principal",
)
"""By what proxies in front of the gateway say who calls."""

_OTHERS: Final = frozenset(
    b"""
    x-forwarded forwarded-host forwarded-proto x-forward-host x-forward-proto
    fly-forwarded-proto cloudfront-forwarded-proto
    front-end-https x-https x-ssl fastly-ssl x-scheme x-proto x-url-scheme x-host x-http-host-override
    x-script-name script-name x-path-prefix x-base-path x-ingress-path x-request-uri x-waws-unencoded-url
    x-replaced-path x-traefik-prefix
    x-http-method x-http-method-override x-method-override
    cf-visitor x-sendfile x-sendfile-type
    """.split()
)
FROM_PROXIES: Final = ADDRESSES | CALLERS | _OTHERS
"""Headers by which frameworks and servers learn where a request came from, and which a proxy is expected to write."""

PREFIXES_FROM_PROXIES: Final = (
    b"x-forwarded-",
    b"x-original-",
    b"x-rewrite-",
    b"x-accel-",
    b"x-envoy-",
    b"x-ssl-",
    b"x-arr-",
    b"wl-proxy-",
    b"x-middleware-",
    b"x-appengine-",
    *CALLER_PREFIXES,
)

_MARK: Final = re.compile(rb"[^a-z0-9-]")
_KNOWN: Final = 1024  # names whose fate is remembered
_MAX_NAME: Final = 64  # bytes of such a name


def is_of_proxies(name: bytes) -> bool:
    """Whether only a trusted proxy may send this name; any mark is read as a hyphen."""
    plain = _MARK.sub(b"-", name)
    return plain in FROM_PROXIES or plain in WRITTEN_HERE or plain.startswith(PREFIXES_FROM_PROXIES)


class HeaderFilter:
    """Decides by name. `known` has what was decided: look there first, and then ask `passes`."""

    __slots__ = ("_allowed", "_trusted", "known", "underscores")

    def __init__(self, *, trusted: bool = False, underscores: bool = False, allowed: Collection[str] = ()) -> None:
        self._trusted = trusted  # the peer is a trusted proxy
        self.underscores = underscores  # whether a name may have one
        self._allowed = frozenset([name.encode() for name in allowed])  # that any client may send
        self.known: dict[bytes, bool] = {}

    def passes(self, name: bytes) -> bool:
        """Whether a line of this name goes to the backend. `name` is in lower case."""
        verdict = self._decide(name)
        if len(name) <= _MAX_NAME:
            if len(self.known) >= _KNOWN:
                self.known.clear()
            self.known[name] = verdict
        return verdict

    def _decide(self, name: bytes) -> bool:
        plain = _MARK.sub(b"-", name)
        if plain in ENDS_HERE or plain in WRITTEN_HERE or plain != name.replace(b"_", b"-"):
            return False
        if b"_" in name and not self.underscores:
            return False
        return self._trusted or plain in self._allowed or not is_of_proxies(plain)


STRANGERS: Final = HeaderFilter()
"""For exchanges that no configuration says anything else of."""
