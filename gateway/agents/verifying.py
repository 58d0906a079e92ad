"""Whether the credential of an `auth-request` holds: by the schemes of the auth.yaml beside the gateway's other files.

A key is looked up by its SHA-256, as the gateway does; of a fingerprint, the beginning of that is compared in constant
time. Nothing of a credential is kept, logged or sent on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from gateway.agents.payloads import AuthRequest
from gateway.auth.api_key import UNKNOWN, ApiKeys, holder_of, holder_of_fingerprint
from gateway.auth.jwt import Jwt
from gateway.auth.scheme import Recognised, Refused, Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.models import Configuration
from gateway.context import Context
from gateway.http import Exchange
from gateway.live import Owner

Verdict = tuple[bool, str | None]
"""Whether it holds, and whose it is, or was to be."""


class Verifier:
    """Verifies by the configuration that it was given last."""

    def __init__(self) -> None:
        self._owner = Owner()
        self._schemes: Sequence[Scheme] = ()

    async def use(self, configuration: Configuration) -> None:
        """Verify by this from now on. Raises ConfigError where files that it names are unfit."""
        plan = self._owner.plan()
        schemes = await asyncio.to_thread(lambda: schemes_of(Context(configuration, plan)))
        await self._owner.adopt(plan)
        await self._owner.release()
        auth = configuration.auth
        self._schemes = tuple(schemes[name] for name in auth.default or auth.schemes)

    async def stop(self) -> None:
        """End what the schemes keep alive."""
        await self._owner.stop()

    async def verdict(self, request: AuthRequest) -> Verdict | None:
        """None if it is unknown: of a token there is only its fingerprint."""
        if request.credential is not None:
            if request.credential.type != "api_key":
                return None
            digits = request.credential.fingerprint.removeprefix("sha256:")
            prefix = bytes.fromhex(digits[: len(digits) // 2 * 2])
            return _first(holder_of_fingerprint(each.ring, prefix) for each in self._rings())
        key = (request.api_key or "").encode("utf-8", "surrogatepass")
        found = _first(holder_of(each.ring, key) for each in self._rings())
        if found == (False, None) and key.count(b".") == 2:
            # It may be a token: a request that shows it, and nothing else, is authenticated.
            fields = {b"authorization": b"Bearer " + key}
            exchange = Exchange(
                "", "GET", "/", b"", list(fields.items()), fields, "https", "", "127.0.0.1", False, "127.0.0.1"
            )
            for scheme in self._schemes:
                token = await scheme.authenticate(exchange) if isinstance(scheme, Jwt) else None
                if isinstance(token, Recognised):
                    return True, token.identity.consumer
        return found

    def _rings(self) -> Iterable[ApiKeys]:
        return (each for each in self._schemes if isinstance(each, ApiKeys))


def _first(found: Iterable[Recognised | Refused]) -> Verdict:
    """The decision of the first that knows the key."""
    for each in found:
        if isinstance(each, Recognised):
            return True, each.identity.consumer
        if each is not UNKNOWN:
            return False, each.consumer
    return False, None
