"""Host names, as they are compared."""

from urllib.parse import unquote


def normalise_host(host: str) -> str:
    """Return a `Host` header value or a configured host as it is compared: lower case, no port, no trailing dot.

    Escapes are decoded, as in a path (RFC 3986, 6.2.2.2): a backend may take `%61pi.test` for `api.test`.
    """
    host = (unquote(host, "latin-1") if "%" in host else host).lower()
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.partition(":")[0].removesuffix(".")
