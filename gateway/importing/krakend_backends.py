"""Where the endpoints of a krakend.json go, and what TLS to there is."""

from __future__ import annotations

from gateway.importing.certificates import Unusable, pem_at, shown, trusted
from gateway.importing.description import Description, Route, Settings
from gateway.importing.tree import Item
from gateway.importing.values import split_url
from gateway.importing.variables import filled_in

TO_BACKENDS = "backend/http/client"
"""What `extra_config` of a backend has about connections to it."""

_KEYS = ("allow_insecure_connections", "ca_certs", "client_certs", "disable_system_ca_pool")


def target_of(backend: Item, root: Item, route: Route, description: Description) -> str | None:
    """The target of an endpoint with this backend; None where none could be named."""
    hosts = backend.items("host") or root.items("host")
    urls = [
        split_url(text if "://" in text else f"http://{text}")
        for host in hosts
        if (text := filled_in(host, description))
    ]
    backend.ignore_default("disable_host_sanitize", False, True)
    if (kind := backend.text("sd", "static")) not in ("static", "dns", ""):
        backend.unsaid("see `discovery` of a service for where endpoints are found", "sd")
    addresses = [url.netloc if url.port else f"{url.netloc}:{443 if url.scheme == 'https' else 80}" for url in urls]
    if not addresses or not all(url.netloc for url in urls) or kind not in ("static", "dns", ""):
        return None
    secure = urls[0].scheme == "https"
    settings: Settings
    if any(url.user for url in urls):
        place = hosts[0].place
        value = description.secret("BACKEND_AUTHORIZATION", place, "`Basic ` and its user:password in base64")
        settings = {"request": {"set": {"Authorization": value}}}
        route.policies.append(description.policy("headers", f"{route.name}-backend", settings, place))
        if len({url.user for url in urls}) > 1:
            backend.differs("each of its hosts gets the same user and password", "host")
    if any(url.path.strip("/") for url in urls):
        backend.unsaid("an endpoint is an address: put the path of the host into the `rewrite` of the route", "host")
    tls = _tls(backend, root, description) if secure else {}
    if not secure and (unasked := _own(backend)) is not None:
        unasked.ignore_keys(*_KEYS)
    if len(addresses) == 1 and not tls:
        return f"https://{urls[0].netloc}" if secure else addresses[0]
    settings = {"endpoints": addresses} | ({"balance": "round_robin"} if len(addresses) > 1 else {})
    settings |= ({"protocol": "https"} if secure else {}) | ({"tls": tls} if tls else {})
    return description.service(route.name, settings)


def _tls(backend: Item, root: Item, description: Description) -> Settings:
    """`client_tls` of a backend, or else that of all."""
    item = _own(backend) or root.get("client_tls")
    if item is None:
        return {}
    tls: Settings = {}
    if item.flag("allow_insecure_connections"):
        tls["verify"] = False
        text = "tls.verify: false of the services: any server can pose as one of these"
        item.said(text, "allow_insecure_connections")
        item.ignore_keys("ca_certs", "disable_system_ca_pool")
    elif pems := [pem_at(each) for each in item.items("ca_certs")]:
        try:
            tls["ca"] = trusted(pems, description)
            item.said(f"tls.ca of the services: {tls['ca']}", "ca_certs")
        except Unusable as why:
            item.unsaid(str(why), "ca_certs")
        if not item.flag("disable_system_ca_pool"):
            item.differs("only these authorities are trusted, and not those of the system beside them", "ca_certs")
    return tls | shown(item.items("client_certs"), ("certificate", "private_key"), "the services", description)


def _own(backend: Item) -> Item | None:
    extra = backend.get("extra_config")
    settings = extra.get(TO_BACKENDS) if extra is not None else None
    return settings.get("client_tls") if settings is not None else None


def ignore_unasked(root: Item, description: Description) -> None:
    """Mark what means nothing where no backend is asked by https."""
    item = root.get("client_tls")
    if item is not None and not any("tls" in settings for settings in description.services.values()):
        item.ignore_keys(*_KEYS)
