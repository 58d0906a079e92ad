"""routes.yaml, and the route files beside it: which requests go where.

What groups and defaults hand down has been put into the routes before they come here (`gateway.config.route_files`).
Everything is checked here that one value or one route can show; what concerns several routes at once (ids that are
duplicated, names of services) is in `gateway.config.checks`.
"""

import operator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_serializer, field_validator, model_validator

from gateway.config.models.auth.authorization import Authorize
from gateway.config.models.auth.scheme_keys import SchemeNames
from gateway.config.models.base import Late, Model, Section
from gateway.config.models.breakers import BreakerOfRoute
from gateway.config.models.cache import CacheOfRoute
from gateway.config.models.header_rules import OF_QUERY, HeaderValue, Settable, check_words
from gateway.config.models.predicates import HeaderPredicates, ValuePredicate
from gateway.config.models.redirect import RedirectConfig, RedirectOfRoute, split_location
from gateway.config.models.resilience import Fallback, Hedge, Mirror
from gateway.config.models.respond import RespondOfRoute
from gateway.config.models.retries import Retry
from gateway.config.models.services import ServiceConfig
from gateway.config.models.splits import SplitEntry
from gateway.config.models.sticky import StickySplit
from gateway.config.models.timeouts import TimeoutsOfRoute
from gateway.config.models.trace import TraceOfRoute
from gateway.config.values import addresses
from gateway.config.values.kinds import Kind, Several, SomeOf, Text, Unset, as_list, or_empty, refuse
from gateway.config.values.paths import (
    BasePath,
    GroupPrefix,
    PathPattern,
    PathPrefix,
    RewriteTemplate,
    RouteId,
    captures,
    check_rewrite,
    slug,
)
from gateway.config.values.quantities import Size

Hosts = Annotated[
    SomeOf[addresses.HostPattern],
    Kind("host, or list of them"),
    BeforeValidator(as_list, json_schema_input_type=str | SomeOf[addresses.HostPattern]),
]


ANSWERS = ("target", "redirect", "respond")
"""The keys of a route that say what becomes of its requests; each route has one of them."""

FORWARDING = frozenset(
    {"rewrite", "strip_prefix", "preserve_host", "timeout", "retry", "breaker", "split", "mirror", "fallback", "hedge"}
    | {"cache", "set", "sticky", "rewrite_back"}
)
"""Keys without meaning for a route that the gateway itself answers."""


class RoutePaths(Model):
    """The key that distinguishes a route from others."""

    id: RouteId = Field(
        "",
        description="Name of the route in logs, metrics and errors, unique in the file. "
        "Unset: made of the path (`/v1/users/*` is `v1-users`).",
    )
    path: PathPattern = Field(
        "",
        description="Path to match: literal, with `{name}` for one segment or part of one, and `*` likewise; "
        "`{name:regular expression}` for what wholly fits one; `*` as the last segment matches all the rest, or "
        "nothing (`/a/*` takes `/a`, too). Every route has this or `paths`.",
        examples=["/v1/users/*"],
    )
    paths: SomeOf[PathPattern] = Field(
        (), description="Several paths, each as `path`. Captures of the rewrite must be in each of them."
    )

    @field_validator("paths")
    @classmethod
    def _differ(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("path"):
            raise refuse("path and paths exclude each other; write all of them in paths")
        if len(set(value)) < len(value):
            raise refuse("a path is duplicated; remove one")
        return value


class RouteKeys(Model):
    """Keys that groups and defaults pass on to routes."""

    host: Unset[Hosts] = Field(
        None,
        description="Host or hosts to match: exact, or `*.example.com` for every name below it. Unset: every host.",
    )
    methods: Unset[SomeOf[addresses.Method]] = Field(
        None,
        description="Methods to match. GET answers HEAD too. Unset: every method that IANA has registered; others only "
        "reach a route that names them. CONNECT and TRACE are never forwarded.",
    )
    headers: HeaderPredicates = Field(
        {}, description="Headers that must match, by name: a text (the exact value), or a predicate."
    )
    query: dict[Text, ValuePredicate] = Field(
        {}, description="Query parameters that must match, by name: a text (the exact value), or a predicate."
    )
    target: addresses.TargetText = Field(
        "",
        description="Where requests go: the name of a service, `host:port`, `http://host[:port]`, "
        "`https://host[:port]`, `asgi:package.module:attribute` (an application in this process), or, with "
        "models.yaml, `models` or `mcp` (see there). Every route has this, `redirect` or `respond`.",
        examples=["users:8080"],
    )
    redirect: Unset[RedirectOfRoute] = Field(
        None, description="Answer with another address instead of forwarding: a path or URL, or keys below."
    )
    respond: Unset[RespondOfRoute] = Field(
        None,
        description="Answer with a fixed response instead of forwarding: a status, or keys below. The policies of "
        "the route apply, as for a backend's response.",
    )
    rewrite: Unset[RewriteTemplate] = Field(
        None,
        description="Path that the backend sees: `$1`, `$2` are what `*` and `{name}` matched, in order; `{name}` "
        "by name. Unset: the path as it came, without `base_path` and dot segments.",
    )
    strip_prefix: Unset[PathPrefix] = Field(
        None, description="Prefix removed from the path before it is sent. Not together with `rewrite`."
    )
    set: dict[Settable, HeaderValue] = Field(
        {},
        exclude_if=operator.not_,  # a field with a serializer of its own is shown with its default, too
        description="Values to set in the request to the backend: headers, and as `query.NAME` query parameters. "
        "A value may have variables: see Values from requests.",
        examples=[{"X-Org": "{claims.org}"}],
    )
    rewrite_back: Unset[bool] = Field(
        None,
        description="Bring the places that responses name (`Location`, `Content-Location`, `Refresh`, `Path` and "
        "`Domain` of cookies) and the `Destination` of WebDAV into the form that the other side knows: see "
        "Applications behind a prefix. Unset: where there is `strip_prefix`.",
    )
    preserve_host: bool = Field(False, description="Send the client's Host header instead of the target's.")
    timeout: Unset[TimeoutsOfRoute] = Field(
        None, description="Timeouts of this route. A bare duration is the same as `total`."
    )
    retry: Unset[Late[Retry]] = Field(None, description="Retries.")
    breaker: Unset[BreakerOfRoute] = Field(None, description="When a target is left alone for a while.")
    split: SomeOf[Late[SplitEntry]] = Field(
        (),
        description="Where else requests go. The first entry whose `when` holds gets the request; the weights of all "
        "divide the others, client by client, and where none has a weight, those go to `target`.",
    )
    sticky: Unset[Late[StickySplit]] = Field(None, description="Clients stay with the service that `split` gave them.")
    mirror: Unset[Late[Mirror]] = Field(None, description="A service that gets copies of requests.")
    fallback: Unset[Late[Fallback]] = Field(
        None, description="The response to clients without an answer of the backend."
    )
    hedge: Unset[Late[Hedge]] = Field(None, description="A second attempt beside a slow first one. Unset: none.")
    priority: Literal["high", "normal", "low"] = Field(
        "high",
        description="Load shedding (503) while the gateway is overloaded: `low` from 100 ms of lag of its event loop "
        "on, `normal` from 400 ms on, `high` never.",
    )
    allow_encoded_slashes: bool = Field(
        False, description="Let `%2F` and `%5C` in the path through, as they are. Off: such a request is a 400."
    )
    merge_slashes: bool = Field(
        False, description="Send one slash where the client wrote several. Off: they are sent as they came."
    )
    auth: Unset[SchemeNames] = Field(
        None,
        description="Schemes of auth.yaml that the route accepts, asked in this order; `[]`: the route is open. "
        "Unset: `default` of auth.yaml.",
    )
    authorize: SomeOf[Late[Authorize]] = Field(
        (),
        description="Required attributes of callers, and conditions. All entries apply. Empty: every authenticated "
        "caller may pass.",
    )
    cache: Unset[CacheOfRoute] = Field(
        None, description="Whether responses are stored and used again, and which. Unset: `cache` of middleware.yaml."
    )
    trace: Unset[TraceOfRoute] = Field(
        None, description="How many of the traces that begin here are recorded. Unset: `trace` of middleware.yaml."
    )
    max_body: Unset[Size] = Field(None, description="Largest request body. Unset: `limits.body` of middleware.yaml.")

    @field_validator("rewrite")
    @classmethod
    def _captures_exist(cls, value: str, info: ValidationInfo) -> str:
        return check_rewrite(value, _paths(info.data))

    @field_validator("redirect")
    @classmethod
    def _leads_somewhere(cls, value: RedirectConfig, info: ValidationInfo) -> RedirectConfig:
        if info.data.get("target"):
            raise refuse("target and redirect exclude each other; remove one of them")
        check_rewrite(split_location(value.to)[1], _paths(info.data))
        return value

    @field_validator("set", mode="before")
    @classmethod
    def _set_once(cls, value: Any) -> Any:
        if isinstance(value, dict):
            names = {name if name.startswith(OF_QUERY) else name.lower() for name in map(str, value)}
            if len(names) < len(value):
                raise refuse("a header is duplicated; upper and lower case are the same name, remove one")
        return value

    @field_validator("set")
    @classmethod
    def _variables_exist(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        captured = [frozenset(captures(path)) for path in _paths(info.data)]
        if captured:  # those of groups and defaults are known with the routes that get them
            check_words(value.values(), frozenset.intersection(*captured))
        return value

    @field_serializer("set", when_used="json")
    def _hidden(self, values: dict[str, str]) -> dict[str, str]:
        """A backend's password is not for those who may see the configuration in force."""
        return dict.fromkeys(values, "**********")

    @field_validator("strip_prefix")
    @classmethod
    def _not_with_rewrite(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("rewrite") is not None:
            raise refuse("strip_prefix and rewrite exclude each other; remove one of them")
        return value

    @field_validator("respond")
    @classmethod
    def _goes_nowhere(cls, value: Any, info: ValidationInfo) -> Any:
        for other in ("target", "redirect"):
            if info.data.get(other):
                raise refuse(f"{other} and respond exclude each other; remove one of them")
        return value


class RouteConfig(RouteKeys, RoutePaths):
    """One route: which requests it takes, and where they go."""

    @model_validator(mode="after")
    def _has_one_path(self) -> "RouteConfig":
        if self.redirect is not None and (self.rewrite is not None or self.strip_prefix is not None):
            raise refuse("a redirect has its path in redirect; remove rewrite and strip_prefix")
        if self.respond is not None and (self.rewrite is not None or self.strip_prefix is not None):
            raise refuse("the gateway itself answers this route; remove rewrite and strip_prefix")
        return self

    @property
    def all_paths(self) -> tuple[str, ...]:
        """Every path to match, at least one."""
        return self.paths or (self.path,)

    @property
    def set_headers(self) -> dict[str, str]:
        """The headers that it sets, by name."""
        return {name: value for name, value in self.set.items() if not name.startswith(OF_QUERY)}

    @property
    def set_parameters(self) -> dict[str, str]:
        """The query parameters that it sets, by name."""
        return {name.removeprefix(OF_QUERY): value for name, value in self.set.items() if name.startswith(OF_QUERY)}

    @property
    def restores_places(self) -> bool:
        """Whether what responses say of places is brought into the client's form."""
        return self.strip_prefix is not None if self.rewrite_back is None else self.rewrite_back

    @property
    def answered_here(self) -> str:
        """How the gateway itself answers: the key that says so; empty where a backend is asked."""
        return "redirect" if self.redirect is not None else "respond" if self.respond is not None else ""


class RouteDefaults(RouteKeys, Section):
    """Any keys of `routes[]` but `id`, `path` and `paths`, for all routes of all files. See Groups and defaults."""


class GroupHead(Model):
    """The keys of a group itself."""

    id: RouteId = Field(
        "",
        description="Name of the group, of which there is no other group or route. Rules of middleware.yaml may name "
        "it in `routes`, for all of its routes.",
    )
    prefix: GroupPrefix = Field(
        "", description="The prefix of the paths of its routes: `/shop` and `path: /orders` are `/shop/orders`."
    )


class RouteGroup(RouteKeys, GroupHead):
    """Routes with something in common: a group has any keys of `routes[]` but `path` and `paths`, and hands them down
    to its routes. See Groups and defaults."""

    routes: Several[RouteConfig] = Field(
        description="Its routes. Captures count from the beginning of the prefix.",
        examples=[[{"path": "/orders/*"}]],
    )


def _paths(data: dict[str, Any]) -> tuple[str, ...]:
    """The paths of a route that is being read, as far as they are right."""
    path: str = data.get("path", "")
    return data.get("paths") or ((path,) if path else ())


class RoutesFile(Model):
    """Which requests go where. A bare list of routes is the same as `routes:`. Further files beside it,
    `routes.*.yaml`, may have `services`, `routes` and `groups`, too."""

    base_path: BasePath = Field(
        "/api",
        description="Prefix that requests may carry before every route's path. The default is what nginx in front "
        "keeps, so that `/api/v1/users` and `/v1/users` are the same; `/` for none.",
    )
    accept_rewritten: bool = Field(
        False,
        description="Let a path that is already in a route's rewritten form go to its target, unchanged. Rules about "
        "paths see the path that would have been rewritten to it; routes whose rewrite cannot be turned around, "
        "because it leaves out or repeats what a wildcard matched, take no such path.",
    )
    services: Annotated[
        dict[addresses.ServiceName, Late[ServiceConfig]],
        BeforeValidator(or_empty({}), json_schema_input_type=dict[str, Late[ServiceConfig]] | None),
    ] = Field({}, description="Backends of several endpoints, by name.")
    defaults: Late[RouteDefaults] = Field(
        RouteDefaults.unset(), description="Keys that routes have unless they say otherwise."
    )
    groups: SomeOf[Late[RouteGroup]] = Field((), description="Routes with a prefix, a target or other keys in common.")
    routes: SomeOf[RouteConfig] = Field(
        description="The routes: at least one, here, in a group or in another file.",
        examples=[[{"path": "/v1/*", "target": "users:8080"}]],
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_list(cls, value: Any) -> Any:
        return {"routes": value} if isinstance(value, list) else value

    @field_validator("routes")
    @classmethod
    def _name(cls, routes: tuple[RouteConfig, ...], info: ValidationInfo) -> tuple[RouteConfig, ...]:
        """Give every route an id; those that the files give are never taken by a derived one."""
        groups: tuple[RouteGroup, ...] = info.data.get("groups", ())
        taken = {route.id for route in routes} | {group.id for group in groups}
        used: dict[str, int] = {}
        named = []
        for route in routes:
            if not route.id:
                identifier = stem = slug(route.all_paths[0])
                while identifier in taken:
                    used[stem] = used.get(stem, 1) + 1
                    identifier = f"{stem}-{used[stem]}"
                taken.add(identifier)
                route = route.model_copy(update={"id": identifier})  # noqa: PLW2901
            named.append(route)
        return tuple(named)


class RoutesBesideModels(RoutesFile):
    """The same beside a models.yaml, which has routes by itself: there need be no others."""

    routes: Annotated[Several[RouteConfig], BeforeValidator(or_empty(()))] = Field((), description="The routes.")
