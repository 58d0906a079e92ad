"""What the three files may say, as pydantic models. Everything is checked here that one value or one route can show;
what concerns several routes at once (ids, names of services) is checked in `references`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from gateway.config import addresses, paths
from gateway.config.document import Document
from gateway.config.problems import Path
from gateway.config.quantities import (
    Duration,
    DurationOrZero,
    Kind,
    Several,
    Size,
    SomeOf,
    Text,
    Unset,
    as_list,
    or_empty,
    refuse,
    shorthand,
)


class Model(BaseModel):
    """Frozen, without unknown keys and without conversions: a text that looks like a number is still a text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Section(Model):
    """A group of keys that may be left empty, as when all of them are commented out."""

    model_config = ConfigDict(json_schema_extra={"type": ["object", "null"]})

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, value: Any) -> Any:
        return {} if value is None else value


class RouteTimeouts(Model):
    """Timeouts of one route. What is not set here is taken from `timeouts` of middleware.yaml."""

    connect: Unset[Duration] = Field(None, description="To establish a connection to the backend, TLS included.")
    response_header: Unset[Duration] = Field(
        None, description="From the end of the request to the head of the response."
    )
    idle: Unset[Duration] = Field(None, description="Without a byte in either direction while a body is on its way.")
    total: Unset[Duration] = Field(None, description="For the whole exchange. Not for WebSockets.")


class Timeouts(Section):
    """Timeouts of every route that does not say otherwise."""

    connect: Duration = Field(5, description="To establish a connection to the backend, TLS included.")
    response_header: Duration = Field(60, description="From the end of the request to the head of the response.")
    idle: Unset[Duration] = Field(
        None,
        description="Without a byte in either direction while a body is on its way. "
        "Unset: 300s, and none for event streams.",
    )
    total: Unset[Duration] = Field(None, description="For the whole exchange. Unset: no limit. Not for WebSockets.")

    def overridden_by(self, route: RouteTimeouts | None) -> "Timeouts":
        """These timeouts, with those that `route` sets in their place."""
        return self if route is None else self.model_copy(update=route.model_dump(exclude_none=True))


class Predicate(Model):
    """What a header or query parameter must be. Exactly one of the three; a bare text is the same as `exact`."""

    exact: Unset[Text] = Field(None, description="The value, character by character.")
    present: Unset[bool] = Field(None, description="true: it is there, whatever its value; false: it is not there.")
    regex: Unset[Text] = Field(None, description="A regular expression (Python's syntax) for the whole value.")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        try:
            re.compile(regex)
        except (re.error, OverflowError, RecursionError) as error:
            raise refuse("this is not a regular expression in Python's syntax", f" ({error})") from None
        return regex

    @model_validator(mode="after")
    def _is_one(self) -> "Predicate":
        if sum(value is not None for value in (self.exact, self.present, self.regex)) != 1:
            raise refuse("exactly one of exact, present and regex is needed")
        return self


ValuePredicate = Annotated[
    Predicate,
    Kind("text, or keys below"),
    BeforeValidator(shorthand("exact"), json_schema_input_type=str | Predicate),
]
TimeoutsOfRoute = Annotated[
    RouteTimeouts,
    Kind("duration, or keys below"),
    BeforeValidator(shorthand("total"), json_schema_input_type=Duration | RouteTimeouts),
]
Hosts = Annotated[
    SomeOf[addresses.HostPattern],
    Kind("host, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | SomeOf[addresses.HostPattern]),
]


class RouteConfig(Model):
    """One route: which requests it takes, and where they go."""

    id: paths.RouteId = Field(
        "",
        description="Name of the route in logs, metrics and errors, unique in the file. "
        "Unset: made of the path (`/v1/users/*` is `v1-users`).",
    )
    path: paths.PathPattern = Field(
        description="Path to match: literal, with `{name}` for one segment or part of one, and `*` likewise; "
        "`*` as the last segment matches all the rest.",
        examples=["/v1/users/*"],
    )
    host: Unset[Hosts] = Field(
        None,
        description="Host or hosts to match: exact, or `*.example.com` for every name below it. Unset: every host.",
    )
    methods: Unset[SomeOf[addresses.Method]] = Field(
        None, description="Methods to match. GET answers HEAD too. Unset: every method."
    )
    headers: dict[addresses.HeaderName, ValuePredicate] = Field(
        {}, description="Headers that must match, by name: a text (the exact value), or a predicate."
    )
    query: dict[Text, ValuePredicate] = Field(
        {}, description="Query parameters that must match, by name: a text (the exact value), or a predicate."
    )
    target: addresses.TargetText = Field(
        description="Where requests go: the name of a service, `host:port`, `http://host[:port]`, "
        "`https://host[:port]`, or `asgi:package.module:attribute` (an application in this process).",
        examples=["users:8080"],
    )
    rewrite: Unset[paths.RewriteTemplate] = Field(
        None,
        description="Path that the backend sees: `$1`, `$2` are what `*` and `{name}` matched, in order; `{name}` "
        "by name. Unset: the path as it came, without `base_path`.",
    )
    strip_prefix: Unset[paths.PathPrefix] = Field(
        None, description="Prefix removed from the path before it is sent. Not together with `rewrite`."
    )
    preserve_host: bool = Field(False, description="Send the client's Host header instead of the target's.")
    timeout: Unset[TimeoutsOfRoute] = Field(
        None, description="Timeouts of this route. A bare duration is the same as `total`."
    )
    allow_encoded_slashes: bool = Field(
        False, description="Let `%2F` and `%5C` in the path through, as they are. Off: such a request is a 400."
    )
    max_body: Unset[Size] = Field(None, description="Largest request body. Unset: `limits.body` of middleware.yaml.")

    @field_validator("headers", mode="before")
    @classmethod
    def _names_differ(cls, value: Any) -> Any:
        if isinstance(value, dict) and len({str(name).lower() for name in value}) < len(value):
            raise refuse("a header is there twice; upper and lower case are the same name, remove one")
        return value

    @field_validator("rewrite")
    @classmethod
    def _captures_exist(cls, value: str, info: ValidationInfo) -> str:
        return paths.check_rewrite(value, info.data.get("path"))

    @field_validator("strip_prefix")
    @classmethod
    def _not_with_rewrite(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("rewrite") is not None:
            raise refuse("strip_prefix and rewrite exclude each other; remove one of them")
        return value


class EndpointConfig(Model):
    """One address of a service. A bare text is the same as `address`."""

    address: addresses.AddressText = Field(
        description="`host:port`; an IPv6 address as `[::1]:80`.", examples=["10.0.0.1:8080"]
    )
    weight: int = Field(1, ge=1, le=1000, description="Share of the traffic, relative to the other endpoints.")


Endpoint = Annotated[
    EndpointConfig,
    Kind("host:port, or keys below"),
    BeforeValidator(shorthand("address"), json_schema_input_type=addresses.AddressText | EndpointConfig),
]


class Tls(Section):
    """How the certificates of an https service are verified."""

    ca: Unset[Text] = Field(
        None,
        description="File with the certificates to trust (PEM), relative to the configuration directory. "
        "Unset: those of the system.",
    )
    server_name: Unset[addresses.HostName] = Field(
        None, description="Name that the certificate must carry. Unset: the host of the endpoint."
    )
    verify: bool = Field(True, description="Verify the certificate. Off only for experiments: anybody can pretend.")


class Connections(Section):
    """Connections to each endpoint of a service."""

    max: int = Field(512, ge=1, le=65535, description="Connections to one endpoint at a time.")
    pending: int = Field(
        1024, ge=0, le=1_000_000, description="Requests that wait for a connection; those beyond it are a 503."
    )
    idle: int = Field(128, ge=0, le=65535, description="Connections kept open for reuse.")
    idle_timeout: Duration = Field(60, description="How long an unused connection is kept.")


class ServiceConfig(Model):
    """A backend of several endpoints, which routes name as their target."""

    endpoints: SomeOf[Endpoint] = Field(description="The addresses, at least one.", examples=[["10.0.0.1:8080"]])
    protocol: addresses.Protocol = Field("http", description="How the endpoints are spoken to.")
    tls: Tls = Field(Tls(), description="Verification of certificates, for `protocol: https`.")
    connections: Connections = Field(Connections(), description="Limits of connections to each endpoint.")

    @field_validator("tls")
    @classmethod
    def _is_https(cls, value: Tls, info: ValidationInfo) -> Tls:
        if value.model_fields_set and info.data.get("protocol") == "http":
            raise refuse('"tls" has an effect only with "protocol: https"; add that, or remove "tls"')
        return value


class RoutesFile(Model):
    """Which requests go where. A bare list of routes is the same as `routes:`."""

    base_path: paths.BasePath = Field(
        "", description="Prefix that requests may carry before every route's path, such as `/api`."
    )
    accept_rewritten: bool = Field(
        False, description="Let a path that is already in a route's rewritten form go to its target, unchanged."
    )
    services: Annotated[
        dict[addresses.ServiceName, ServiceConfig],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, ServiceConfig] | None),
    ] = Field({}, description="Backends of several endpoints, by name.")
    routes: SomeOf[RouteConfig] = Field(
        description="The routes, at least one.", examples=[[{"path": "/v1/*", "target": "users:8080"}]]
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"routes": value} if isinstance(value, list) else value

    @field_validator("routes")
    @classmethod
    def _name(cls, routes: tuple[RouteConfig, ...]) -> tuple[RouteConfig, ...]:
        """Give every route an id; those that the file gives are never taken by a derived one."""
        taken = {route.id for route in routes}
        used: dict[str, int] = {}
        named = []
        for route in routes:
            named.append(route if route.id else route.model_copy(update={"id": _free_id(route.path, taken, used)}))
        return tuple(named)


def _free_id(path: str, taken: set[str], used: dict[str, int]) -> str:
    stem = paths.slug(path)
    identifier = stem
    while identifier in taken:
        used[stem] = used.get(stem, 1) + 1
        identifier = f"{stem}-{used[stem]}"
    taken.add(identifier)
    return identifier


class Limits(Section):
    """What clients may cost."""

    connections: int = Field(10000, ge=1, le=10_000_000, description="Client connections at a time.")
    header_timeout: Duration = Field(10, description="To receive the head of a request; later is a 408.")
    keep_alive: Duration = Field(75, description="How long an unused client connection is kept.")
    stall: Duration = Field(
        60, description="Without progress of a client that neither sends the body it announced nor reads its response."
    )
    head: Size = Field(32 * 1024, description="All headers of a request; more is a 431.")
    url: Size = Field(8 * 1024, description="The request line's target; more is a 414.")
    headers: int = Field(100, ge=1, le=10_000, description="Headers of a request; more is a 431.")
    body: Size = Field(4 * 1024**3, description="Body of a request; more is a 413.")


class AccessLog(Section):
    """The access log: one line for each request."""

    output: Text = Field("stdout", description="`stdout`, `stderr`, `off`, or the path of a file.")
    format: Literal["json", "console"] = Field("json", description="`json` for machines, `console` for people.")


class Drain(Section):
    """What happens after SIGTERM."""

    window: DurationOrZero = Field(
        5, description="How long new requests are still served, for a load balancer that learns of the end late."
    )
    deadline: Duration = Field(30, description="When the process ends, whatever is still in flight.")


class WebSocket(Section):
    """WebSocket connections."""

    max_message: Size = Field(16 * 1024**2, description="Largest message, in either direction.")
    ping_interval: Duration = Field(30, description="Between two pings that keep a connection open and prove it alive.")


class MiddlewareFile(Section):
    """What clients may cost, how long things may take, and what is logged. The file is optional, as is all in it."""

    limits: Limits = Field(Limits(), description="What clients may cost.")
    timeouts: Timeouts = Field(Timeouts(), description="Timeouts of every route that does not say otherwise.")
    access_log: AccessLog = Field(AccessLog(), description="One line for each request.")
    drain: Drain = Field(Drain(), description="What happens after SIGTERM.")
    websocket: WebSocket = Field(WebSocket(), description="WebSocket connections.")


class AuthFile(Section):
    """Who is believed. The file is optional, as is all in it."""

    trusted_proxies: Annotated[
        Several[addresses.Network],
        BeforeValidator(or_empty([]), json_schema_input_type=list[addresses.Network] | None),
    ] = Field(
        (),
        description="Networks (CIDR) or addresses of proxies whose `X-Forwarded-*` and `Forwarded` are believed.",
    )


FILES: Mapping[str, type[Model]] = {"routes.yaml": RoutesFile, "middleware.yaml": MiddlewareFile, "auth.yaml": AuthFile}
"""The files of a configuration directory, in the order in which their errors are told."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The three files, read as one. `digest` tells two contents of the files apart (12 hexadecimal digits of SHA-256);
    it says nothing of the variables and secret files that they refer to."""

    routes: RoutesFile
    middleware: MiddlewareFile
    auth: AuthFile
    digest: str
    documents: Mapping[str, Document] = field(repr=False, compare=False)

    def locate(self, file: str, path: Path) -> tuple[int, int]:
        """Line and column (from 1) of what `path` leads to, or of the nearest thing above it that is in the file."""
        place = self.documents[file].find(path) if file in self.documents else None
        return (place.line, place.column) if place else (1, 1)
