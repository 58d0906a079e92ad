"""middleware.yaml: what clients may cost, how long things may take, and what is logged."""

from typing import Literal

from pydantic import Field, field_validator

from gateway.config.models.admin import Admin
from gateway.config.models.audit import AuditLog
from gateway.config.models.base import Section
from gateway.config.models.blocklist import Blocklist
from gateway.config.models.cors import Cors
from gateway.config.models.header_rules import HeaderRules
from gateway.config.models.limits import Quotas, RateLimits, Redis
from gateway.config.models.policy import Named
from gateway.config.models.python_policies import PythonPolicy
from gateway.config.models.rules import Compression, ContentTypes, IpAllow, Maintenance, RequestIds
from gateway.config.models.timeouts import Timeouts
from gateway.config.models.trace import Trace
from gateway.config.values import addresses
from gateway.config.values.quantities import Duration, DurationOrZero, Several, Size, Text, Unset, refuse
from gateway.http.header_filter import WRITTEN_HERE, is_of_proxies


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
    underscore_headers: Literal["drop", "pass"] = Field(
        "drop",
        description="Headers of requests with an underscore in their names, which backends in the manner of CGI take "
        "for those with a hyphen: backends do not get them (`drop`), or those that could pass for none of the "
        "gateway's own (`pass`). Names with a dot are always dropped.",
    )
    allowed_proxy_headers: Several[addresses.HeaderName] = Field(
        (),
        description="Headers that backends get from every client, though they are among those that are dropped unless "
        'one of `trusted_proxies` sends them ("What backends are told").',
        examples=["x-http-method-override"],
    )

    @field_validator("allowed_proxy_headers")
    @classmethod
    def _are_of_proxies(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name.encode() in WRITTEN_HERE:
                raise refuse(f"the gateway itself tells backends {name}; remove it")
            if not is_of_proxies(name.encode()):
                raise refuse(f"backends get {name} from every client as it is; remove it")
        return names


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


class Reload(Section):
    """New contents of the files on their way to being served.

    Policies of one's own and `asgi:` applications that are new or changed are first tried in a process of their own,
    at the start and by `gateway check`, too: one that exits, hangs or crashes is an error with its place.
    """

    timeout: Duration = Field(
        60, description="How long compiling them may take; a reload that takes longer is refused."
    )
    policy_timeout: Duration = Field(
        10,
        description="How long policies of one's own and `asgi:` applications that are new or changed may take to be "
        "imported, made and started, in the process of their own in which they are tried first.",
    )
    policy_memory: Size = Field(1024**3, description="How much memory they may take there.")


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
    reload: Reload = Field(Reload(), description="New contents of the files on their way to being served.")
    websocket: WebSocket = Field(WebSocket(), description="WebSocket connections.")
    admin: Admin = Field(Admin(), description="Who may use the admin port.")
    request_id: RequestIds = Field(RequestIds(), description="The id of every request.")
    trace: Trace = Field(Trace(), description="The trace that a request belongs to.")
    maintenance: Maintenance = Field(Maintenance(), description="Maintenance mode.")
    state_directory: Text = Field(
        "state",
        description="Directory of what outlives a restart, relative to the configuration directory. It is made when it "
        "is needed, and must be writable, and kept.",
    )
    blocklist: Blocklist = Field(Blocklist(), description="Who may not call.")
    audit_log: AuditLog = Field(AuditLog(), description="What was decided about every request, in a chain of hashes.")
    ip_allow: Named[IpAllow] = Field({}, description="Clients that may come, by address.")
    cors: Named[Cors] = Field({}, description="Pages of other origins that may call from a browser.")
    headers: Named[HeaderRules] = Field({}, description="Headers that are set, added and removed.")
    compression: Compression = Field(Compression(), description="Compression of responses.")
    content_types: Named[ContentTypes] = Field({}, description="Content types that request bodies may have.")
    redis: Unset[Redis] = Field(None, description="Redis, for what several replicas count together.")
    rate_limits: RateLimits = Field({}, description="How many requests in a time.")
    quotas: Quotas = Field({}, description="How many requests in a day or month of the calendar.")
    policies: Named[PythonPolicy] = Field({}, description="Policies of one's own, in Python, outermost first.")
    order: Several[Text] = Field(
        (),
        description="What a request passes, outermost first; `gateway check` lists the names. What it does not name "
        "takes its usual place. `policies.NAME` and `rate_limits.NAME` are for a single one of that name, such as a "
        "limit by address in front of the authentication. None given: the usual order.",
    )
