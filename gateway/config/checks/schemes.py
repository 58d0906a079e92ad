"""The schemes of auth.yaml, and where routes.yaml and auth.yaml name them."""

from collections.abc import Iterator

from gateway.config.models import AuthFile, Configuration
from gateway.config.problems import Fault, Path, suggest


def unknown_in_routes(configuration: Configuration) -> Iterator[Fault]:
    """Schemes of routes that are not defined, or have no effect where they stand."""
    for index, route in enumerate(configuration.routes.routes):
        yield from _unknown(configuration.auth, route.auth or (), ("routes", index, "auth"))


def unknown_in_default(configuration: Configuration) -> Iterator[Fault]:
    """The same of the list of schemes for all routes that name none."""
    return _unknown(configuration.auth, configuration.auth.default, ("default",))


def _unknown(auth: AuthFile, names: tuple[str, ...], path: Path) -> Iterator[Fault]:
    for index, name in enumerate(names):
        if name not in auth.schemes:
            likely = suggest(name, list(auth.schemes))
            message = "schemes of auth.yaml has no entry of this name; define it there"
            yield Fault((*path, index), message, f', or did you mean "{likely}"?' if likely else "")
        elif name in names[:index]:
            yield Fault((*path, index), "the scheme is duplicated; remove one")
        elif auth.schemes[name].kind == "anonymous" and index < len(names) - 1:
            yield Fault((*path, index), "anonymous callers never reach the schemes after it; put it last")


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Schemes that no caller can pass or that do less than they say, and an authentication that refuses no one."""
    if configuration.auth.mode == "shadow":
        message = (
            "no request is refused for a missing or wrong credential; write mode: enforce once it has been watched"
        )
        yield Fault(("mode",), message)
    for name, scheme in configuration.auth.schemes.items():
        if scheme.mtls is not None and scheme.mtls.source == "connection":
            message = "gateway serve ends no TLS connection, so no client shows a certificate here; name the header "
            message += "in which your proxy hands it over, such as source: x-ssl-client-cert"
            yield Fault(("schemes", name, "mtls"), message)
        if scheme.forward_auth is not None and "set-cookie" in scheme.forward_auth.response_headers:
            message = "backends get no Set-Cookie of a request; for the client, name it in client_response_headers"
            yield Fault(("schemes", name, "forward_auth", "response_headers"), message)
