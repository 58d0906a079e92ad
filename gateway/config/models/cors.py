"""middleware.yaml: which pages of other origins may call (the CORS protocol of the Fetch standard)."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.config.models.policy import ForRoutes
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, SomeOf, refuse
from gateway.config.values.quantities import DurationOrZero

_ORIGIN: Final = r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@]*?)(?::([0-9]+|\*))?(/?)"
_DEFAULT_PORTS = {"http": "80", "https": "443"}


def parse_origin(text: str) -> str:
    """An origin as browsers send it, with at most one `*.` at the front of its host and a `*` for its port."""
    if text == "*":
        return text
    match = re.fullmatch(_ORIGIN, text, re.ASCII)
    if match is None:
        raise refuse(
            'an origin is scheme://host or scheme://host:port, such as https://app.example.com; or "*" for any'
        )
    scheme, host, port, slash = match.groups()
    if slash:
        raise refuse('an origin has no path, not even "/"; remove it')
    if port == _DEFAULT_PORTS.get(scheme.lower()):
        raise refuse("browsers leave out the port that the scheme implies; remove it")
    prefix = "*." if host.startswith("*.") else ""
    if "*" in host.removeprefix("*."):
        raise refuse("the wildcard of an origin is the whole first part of its host: https://*.example.com")
    return f"{scheme.lower()}://{prefix}{addresses.parse_host_name(host.removeprefix('*.'))}" + (
        f":{port}" if port else ""
    )


def _header_or_any(text: str) -> str:
    return text if text == "*" else addresses.parse_header_name(text)


Origin = Annotated[str, Kind("origin"), AfterValidator(parse_origin)]
HeaderOrAny = Annotated[str, Kind("header name, or `*`"), AfterValidator(_header_or_any)]


class Cors(ForRoutes):
    """Which pages of other origins may call from a browser (CORS). Preflight requests are answered here: they need no
    credentials, and no route for OPTIONS. The backend's own `Access-Control-*` headers are replaced. A request of
    another origin is not refused, but its page cannot read the response. Where several are for one route, the first
    in the file counts."""

    origins: SomeOf[Origin] = Field(
        description="Origins that may call: exact, `https://*.example.com` for every name below it, "
        "`http://localhost:*` for every port, or `*` for all.",
        examples=[["https://app.example.com"]],
    )
    methods: Several[addresses.Method] = Field(
        (),
        description="Methods that they may use. None given: those of the route, or GET, HEAD, POST, PUT, PATCH and "
        "DELETE.",
    )
    headers: Several[HeaderOrAny] = Field(
        (),
        description="Request headers that they may send: also that of a key, `Authorization` of a token, and "
        "`Content-Type` of JSON. `*`: all, except for Authorization.",
    )
    expose: Several[HeaderOrAny] = Field((), description="Response headers that they may read, beyond the basic ones.")
    credentials: bool = Field(
        False, description="Let browsers send cookies and client certificates along. Not together with any `*`."
    )
    max_age: DurationOrZero = Field(600, description="How long a browser may remember the answer to a preflight.")

    @field_validator("credentials")
    @classmethod
    def _are_not_for_all(cls, credentials: bool, info: ValidationInfo) -> bool:
        for key in ("origins", "headers", "expose"):
            if credentials and "*" in info.data.get(key, ()):
                raise refuse(
                    f'credentials are not allowed for every origin, and {key} has "*"; list what is meant there'
                )
        return credentials
