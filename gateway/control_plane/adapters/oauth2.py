"""Access tokens by client credentials (RFC 6749, section 4.4)."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from gateway.control_plane.adapters.figures import number_of
from gateway.control_plane.adapters.outbound import CallFailed, Outbound
from gateway.control_plane.settings.adapter import OAuth2

_EARLY: Final = 30.0  # seconds before its end, in which a token is not used any more
_SECONDS: Final = 300.0  # that a token holds whose server does not say it
_LONGEST: Final = 16 * 1024  # characters of a token


@dataclass(slots=True)
class AccessTokens:
    """The token that holds now. One request for all that wait for it."""

    outbound: Outbound
    settings: OAuth2
    url: str
    seconds: float
    _token: str = field(default="", repr=False)
    _until: float = 0  # monotonic
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self, refused: str = "") -> str:
        """The token, another one than `refused`. Raises CallFailed."""
        async with self._asking:
            if self._token == refused or time.monotonic() >= self._until:
                await self._ask()
            return self._token

    async def _ask(self) -> None:
        began = time.monotonic()
        secret = self.settings.client_secret.get_secret_value()
        pair = ":".join(quote(each, safe="") for each in (self.settings.client_id, secret))
        form = {"grant_type": "client_credentials", **({"scope": self.settings.scope} if self.settings.scope else {})}
        headers = {
            "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        try:
            reply = await self.outbound.send(
                "POST", self.url, self.seconds, headers=headers, body=urlencode(form).encode()
            )
        except CallFailed as error:
            if error.reason in {"invalid", "unauthorized"}:
                message = f"{error}: check authentication.clientId and clientSecret of gateway.adapter.cloud"
                raise CallFailed("unauthorized", message, code=error.code) from None
            error.perhaps_done = False  # of what the token is for
            raise
        answer = reply.document()
        token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and 0 < len(token) <= _LONGEST):
            raise CallFailed("answer", f"{reply.url} answered without an access_token", perhaps_done=False)
        if not (isinstance(kind, str) and kind.lower() == "bearer"):
            raise CallFailed("answer", f"{reply.url} answered with a token that is no bearer token", perhaps_done=False)
        holds = number_of(answer.get("expires_in"))
        self._token, self._until = token, began + max((_SECONDS if holds is None else holds) - _EARLY, 1)
