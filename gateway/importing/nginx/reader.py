"""The file as a whole: servers by host, and their locations in the order in which nginx asks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as File

from gateway.importing.description import Description, Path, Route
from gateway.importing.nginx import backend_tls, upstreams
from gateway.importing.nginx.directives import Directive, parse
from gateway.importing.nginx.routes import Server, routes_of
from gateway.importing.nginx.settings import Shared
from gateway.importing.patterns import Pattern
from gateway.importing.report import WHOLE, Report
from gateway.importing.values import network

PROCESS = (
    "user", "worker_processes", "worker_rlimit_nofile", "worker_cpu_affinity", "pid", "events", "load_module", "daemon",
    "error_log", "master_process", "timer_resolution", "env", "pcre_jit", "thread_pool",
)  # fmt: skip
NOTHING = (
    "access_log", "aio", "client_body_buffer_size", "client_body_temp_path", "client_header_buffer_size",
    "client_body_in_file_only", "connection_pool_size", "default_type", "directio", "gzip_buffers", "gzip_comp_level",
    "gzip_disable", "gzip_http_version", "gzip_proxied", "gzip_static", "gzip_vary", "brotli_comp_level", "http2",
    "http2_max_concurrent_streams", "ignore_invalid_headers", "keepalive_requests",
    "log_format", "log_not_found", "lingering_close", "map_hash_bucket_size", "map_hash_max_size",
    "open_file_cache", "open_file_cache_errors", "open_file_cache_min_uses", "open_file_cache_valid", "output_buffers",
    "postpone_output", "proxy_buffer_size", "proxy_buffering", "proxy_buffers", "proxy_busy_buffers_size",
    "proxy_cache_path", "proxy_headers_hash_bucket_size", "proxy_headers_hash_max_size", "proxy_http_version",
    "proxy_ignore_client_abort", "proxy_max_temp_file_size", "proxy_pass_header",
    "proxy_request_buffering", "proxy_socket_keepalive", "proxy_temp_file_write_size", "proxy_temp_path",
    "proxy_cache_background_update", "proxy_ssl_server_name", "proxy_ssl_protocols", "proxy_ssl_session_reuse",
    "proxy_ssl_ciphers", "recursive_error_pages", "request_pool_size", "reset_timedout_connection", "resolver",
    "resolver_timeout", "rewrite_log", "sendfile", "sendfile_max_chunk", "server_name_in_redirect", "port_in_redirect",
    "absolute_redirect", "server_names_hash_bucket_size", "server_names_hash_max_size", "server_tokens", "tcp_nodelay",
    "tcp_nopush", "types", "types_hash_bucket_size", "types_hash_max_size", "variables_hash_bucket_size",
    "variables_hash_max_size", "vhost_traffic_status_zone", "if_modified_since", "etag", "chunked_transfer_encoding",
    "mime.types", "proxy_intercept_errors", "status_zone",
)  # fmt: skip
_UNLESS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "charset": (("off",), "Content-Type is the backend's; a rule of `headers` can set it for every response"),
    "large_client_header_buffers": ((), "see `limits.head` and `limits.url` of middleware.yaml"),
    "merge_slashes": (("on",), "see `merge_slashes` of routes.yaml"),
    "proxy_pass_request_body": (("on",), "bodies pass as they are"),
    "proxy_redirect": (("default", "off"), "places of the backend itself are rewritten: see `rewrite_back` of routes"),
    "proxy_set_body": ((), "bodies pass as they are"),
    "proxy_ssl_password_file": ((), "`tls.key_file` of a service has no password: openssl pkey decrypts it"),
    "underscores_in_headers": (("off",), "see `limits.underscore_headers` of middleware.yaml"),
}
"""Directives that mean nothing to requests unless their argument is another one than these; and what to do then."""

_TLS = "TLS ends in front of the gateway (deploy/nginx): this stays there"


def read_nginx(path: File, report: Report) -> Description:
    """The description of an nginx.conf, or of a file of its `conf.d`."""
    description = Description(report)
    report.encoded_slashes()
    root = parse(path, report)
    for directive in root.all(*PROCESS):
        directive.ignore()
    for directive in root.all("stream", "mail"):
        directive.unsaid("only HTTP is forwarded")
    http = root.first("http") or root
    zones = http.all("limit_req_zone")
    shared = Shared(description, {zone.options.get("zone", "").partition(":")[0]: zone for zone in zones})
    upstreams.read(http, description)
    _proxies(root, description)
    for directive in http.all("map", "geo", "split_clients"):
        if directive.argument == "$http_upgrade":
            directive.ignore()
            directive.said("WebSockets are forwarded without being asked for")
        else:
            directive.unsaid("there are no custom variables; see predicates of routes, and `split`")
    servers = _servers(http)
    for server in servers:
        _agents(server.directive, description)
        server.directive.said(f"host {', '.join(server.hosts) or 'any'}")
        found = routes_of(server, shared)
        if _is_local(server.directive) and not all(_is_local(other.directive) for other in servers):
            server.directive.differs("it listens on the loopback only: its routes refuse clients from elsewhere")
            for route in found:
                if "target" in route.settings:
                    route.authorize.append({"when": 'client in ["127.0.0.0/8", "::1"]'})
        for condition in server.directive.all("if"):
            if condition.became == "":
                condition.unsaid("conditions are not translated; see predicates of routes, `authorize` and `blocklist`")
        description.routes += found
        if len(servers) > 1 and server.hosts and found:
            description.routes.append(_refuse_all(server))
    _time_limits(description)
    _no_effect(root, http)
    root.rest()
    return description


def _time_limits(description: Description) -> None:
    if any("target" in route.settings for route in description.routes):
        description.middleware["timeouts"] = {"connect": "60s", "idle": "60s"}
        text = "timeouts.connect and .idle 60s: nginx's own, where no proxy_..._timeout is written"
        description.report.said(WHOLE, text)


def _is_local(server: Directive) -> bool:
    """Whether a server listens where only programs of the same machine are."""
    listens = [listen.argument for listen in server.block if listen.name == "listen"]
    return bool(listens) and all(re.match(r"127\.|localhost(:|$)|\[::1\]|unix:", text) for text in listens)


def _proxies(root: Directive, description: Description) -> None:
    """Whose word on the client's address is taken, of all levels."""
    found = []
    for directive in root.walk():
        if directive.name == "set_real_ip_from" and not directive.argument.startswith("unix"):
            directive.said("trusted_proxies of auth.yaml")
            found.append(network(directive.argument))
        elif directive.name in ("real_ip_header", "real_ip_recursive"):
            directive.said("trusted_proxies of auth.yaml: X-Forwarded-For and Forwarded are read")
    if found:
        description.auth["trusted_proxies"] = list(dict.fromkeys(found))


_WORDS = re.compile(r"\(?[\w /.-]+(\|[\w /.-]+)*\)?")


def _agents(server: Directive, description: Description) -> None:
    """User agents that a server turns away."""
    for condition in server.all("if"):
        words = condition.arguments
        answers = [below for below in condition.block if below.name == "return" and below.argument in ("403", "444")]
        plain = len(words) == 3 and words[0] == "$http_user_agent" and _WORDS.fullmatch(words[2])
        if not answers or not plain:
            continue
        blocklist = description.middleware.setdefault("blocklist", {"entries": []})
        for word in words[2].strip("()").split("|"):
            blocklist["entries"].append({"user_agent": f"*{word}*", "reason": "as nginx had it"})
        condition.ignore()
        condition.said("blocklist by user_agent")
        condition.differs("the blocklist is for all routes")


def _no_effect(root: Directive, http: Directive) -> None:
    """Mark directives about nginx itself, and about TLS."""
    for directive in root.walk():
        if directive.became is not None:
            continue
        if directive.name.startswith("ssl_") or directive.name in ("ssl", "ssl_certificate"):
            directive.unsaid(_TLS)
        elif directive.name in backend_tls.NAMES:
            directive.unsaid(backend_tls.UNUSED)
        elif directive.name in NOTHING or directive.name in PROCESS:
            directive.ignore()
            if directive.name == "types":
                directive.block = []  # a hundred lines, of which each says the same
        elif directive.name in _UNLESS:
            usual, remedy = _UNLESS[directive.name]
            if directive.argument in usual:
                directive.ignore()
            else:
                directive.unsaid(remedy)
        elif directive.name == "error_page":
            directive.unsaid(
                "pages for errors are not sent; see `fallback` of routes for what comes in place of a backend"
            )
        elif directive.name in ("keepalive_timeout", "client_header_timeout", "client_body_timeout", "send_timeout"):
            directive.unsaid("clients have time limits of their own: `limits` of middleware.yaml")


def _servers(http: Directive) -> list[Server]:
    """Servers with the hosts that ours must name: none for the one that is the default."""
    found: list[Server] = []
    directives = http.all("server")
    fallback = _default(directives)
    for directive in directives:
        first = directive is fallback
        redirect = _only_to_https(directive)
        if redirect is not None:
            redirect.unsaid("it sends clients to https: TLS ends in front of the gateway; let that send them there")
            directive.ignore()
            directive.block = [below for below in directive.block if below is redirect]
            continue
        for listen in directive.all("listen"):
            port, _ = _port(listen)
            if port in ("80", "443"):
                listen.said("the port of `gateway serve`")
            else:
                listen.differs(f"port {port} is not a matter of routes: it is taken on the port of `gateway serve`")
        server = _server(directive, default=first)
        if server.hosts or first:
            found.append(server)
        else:
            line = fallback.place.line if fallback else 0
            remedy = "give it a server_name, or import it by itself, for a gateway of its own"
            directive.unsaid(
                f"no host distinguishes it from the server of line {line}, and ports do not count: {remedy}"
            )
    return found


def _default(directives: list[Directive]) -> Directive | None:
    """The server for hosts that no other names: of the defaults of all ports, one without names, at a usual port."""
    forwarding = [directive for directive in directives if _only_to_https(directive) is None]
    chosen = {port: d for d in forwarding for port, default in _listens(d) if default}
    for directive in forwarding:
        for port, _ in _listens(directive):
            chosen.setdefault(port, directive)
    usual = ("443", "80")
    ranked = sorted(
        chosen.items(),
        key=lambda pair: (bool(_names(pair[1])), pair[0] not in usual, pair[0] == "80", directives.index(pair[1])),
    )
    return ranked[0][1] if ranked else None


def _names(directive: Directive) -> list[str]:
    """The names that distinguish a server from others."""
    names = [name for below in directive.block if below.name == "server_name" for name in below.arguments]
    return [name for name in names if name not in ("_", '""', "", "localhost") and not name.startswith("~")]


def _listens(directive: Directive) -> list[tuple[str, bool]]:
    return [_port(listen) for listen in directive.block if listen.name == "listen"] or [("80", False)]


def _port(listen: Directive) -> tuple[str, bool]:
    port = listen.argument.rpartition(":")[2]
    return port if port.isdigit() else "80", "default_server" in listen.arguments


def _only_to_https(directive: Directive) -> Directive | None:
    """The `return 301 https://...` of a server that does nothing else, for its own host."""
    returns = [below for below in directive.walk() if below.name in ("return", "rewrite")]
    forwards = any(below.name.endswith("_pass") for below in directive.walk())
    secure = any("ssl" in listen.arguments for listen in directive.block if listen.name == "listen")
    if forwards or secure:
        return None
    for below in returns:
        if any(a.startswith(("https://$host", "https://$server_name", "https://$http_host")) for a in below.arguments):
            return below
    return None


def _server(directive: Directive, *, default: bool) -> Server:
    hosts = []
    rank = 5
    for names in directive.all("server_name"):
        names.said("host of routes")
        for name in names.arguments:
            if name in ("_", '""', "", "localhost") and default:
                continue
            if name.startswith("~"):
                names.unsaid("a host is exact, or has `*.` at its front")
            elif name.endswith(".*"):
                names.unsaid("a wildcard of ours is at the front of a host only")
            elif name.startswith("."):
                hosts += [name[1:], "*" + name]
            elif name not in ("_", '""', ""):
                hosts.append(name)
    rank = 1 if any("*" in host for host in hosts) else 0
    if default and hosts:
        names = directive.all("server_name")[0]
        names.differs("it is the default server: its routes are for every host that no other server names")
    return Server(directive, () if default else tuple(hosts), (9 if default else rank,))


def _refuse_all(server: Server) -> Route:
    """Requests that no location of a server takes do not go to the default server."""
    settings = {"respond": {"status": 404}}
    path = Path(Pattern((), rest=True, beneath=True), (*server.rank, 8, 0))
    name, place = f"{server.name}-nothing-else", server.directive.place
    return Route(name, place, [path], hosts=server.hosts, settings=settings, leftover=True)
