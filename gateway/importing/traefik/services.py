"""Services of Traefik: what a route gets for the one that its router names."""

from __future__ import annotations

from gateway.importing.certificates import Unusable, pem_at, shown, trusted
from gateway.importing.description import Description, Settings, identifier, marked
from gateway.importing.tree import Item
from gateway.importing.values import NO_USER, duration, split_url
from gateway.importing.variables import filled_in


class Services:
    """The services of a file, each translated when it is first named."""

    def __init__(self, http: Item, description: Description) -> None:
        below = http.get("services")
        self._items = dict(below.pairs()) if below is not None else {}
        transports = http.get("serversTransports")
        self._transports = dict(transports.pairs()) if transports is not None else {}
        self._description = description
        self._made: dict[str, Settings | None] = {}
        self._secured: set[str] = set()

    def settings(self, name: str) -> Settings | None:
        """The keys of a route that goes to this service; None if it cannot be translated."""
        name = name.removesuffix("@file")
        if name not in self._made:
            self._made[name] = None  # also for one that goes to itself
            if (item := self._items.get(name)) is not None and (made := self._translated(name, item)) is not None:
                item.said(f"target {made['target']}")
                self._made[name] = made
        return self._made[name]

    def unused(self) -> None:
        """Name the services that no router goes to, and what means nothing to servers without TLS."""
        for name in self._items:
            self.settings(name)
        for name, transport in self._transports.items():
            if name not in self._secured:
                transport.ignore_keys("insecureSkipVerify", "serverName", "rootCAs", "certificates")

    def _translated(self, name: str, item: Item) -> Settings | None:
        if (balancer := item.get("loadBalancer")) is not None:
            return self._balanced(name, balancer)
        if (weighted := item.get("weighted")) is not None:
            return self._weighted(weighted)
        if (mirroring := item.get("mirroring")) is not None:
            settings = self.settings(mirroring.text("service"))
            for number, mirror in enumerate(mirroring.items("mirrors")):
                copy = self.settings(mirror.text("name"))
                if settings is None or copy is None or number:
                    mirror.unsaid("a route has one mirror, whose target could be named")
                    continue
                percent = mirror.number("percent", 0) or 0
                settings = settings | {"mirror": {"target": copy["target"], "percent": percent}}
            mirroring.ignore_keys("maxBodySize", "mirrorBody")
            mirroring.ignore_default("healthCheck")
            return settings
        if (failover := item.get("failover")) is not None:
            settings, other = self.settings(failover.text("service")), self.settings(failover.text("fallback"))
            failover.ignore_keys("healthCheck", "errors")
            if settings is not None and other is not None:
                failover.differs("the other one is used where no endpoint answers")
                settings = settings | {"fallback": {"target": other["target"]}}
            return settings
        return None

    def _balanced(self, name: str, item: Item) -> Settings | None:
        addresses, protocols = [], set()
        for server in item.items("servers"):
            url = split_url(filled_in(server.get("url"), self._description))
            protocol = "https" if url.scheme in ("https", "wss") else "http"
            if url.scheme not in ("http", "https", "ws", "wss"):
                server.unsaid(f"{url.scheme or 'an address without http://'} is not HTTP/1.1")
                continue
            if url.user:
                server.differs(NO_USER, "url")
            if url.path.strip("/"):
                server.unsaid("an endpoint is an address; put its path into the `rewrite` of the routes")
            protocols.add(protocol)
            address = url.netloc if url.port else f"{url.host}:{443 if protocol == 'https' else 80}"
            address = marked(address)
            weight = server.number("weight")
            addresses.append(address if weight is None else {"address": address, "weight": min(int(weight), 1000)})
            server.ignore_default("preservePath", False)
        if not addresses:
            item.unsaid("it has no servers that could be named")
            return None
        settings: Settings = {"endpoints": addresses}
        if protocols == {"https"}:
            settings["protocol"] = "https"
        elif len(protocols) > 1:
            item.unsaid("some of its servers speak https and some do not; a service has one protocol")
            return None
        settings |= self._kept(item, secure="protocol" in settings)
        if settings.keys() <= {"endpoints", "protocol"} and len(addresses) == 1 and isinstance(addresses[0], str):
            address = addresses[0]
            target = marked(f"https://{address.removesuffix(':443')}" if protocols == {"https"} else address)
        else:
            target = self._description.service(identifier(name), settings)
        item.ignore_keys("responseForwarding")
        return {"target": target} | ({"preserve_host": True} if item.flag("passHostHeader", True) else {})

    def _kept(self, item: Item, *, secure: bool) -> Settings:
        settings: Settings = {}
        if (sticky := item.get("sticky")) is not None:
            settings["balance"] = {"sticky": _sticky(sticky)}
        elif (strategy := item.text("strategy")) in ("wrr", "p2c"):
            settings["balance"] = {"wrr": "round_robin", "p2c": "least_request"}[strategy]
        if (check := item.get("healthCheck")) is not None:
            health: Settings = {"path": check.text("path", "/"), "interval": duration(check.text("interval", "30s"))}
            health["timeout"] = duration(check.text("timeout", "5s"))
            if method := check.text("method"):
                health["method"] = method
            if (status := check.number("status")) is not None:
                health["status"] = [int(status)]
            if host := check.text("hostname"):
                health["host"] = host
            check.ignore_keys("followRedirects", "unhealthyInterval")
            check.ignore_default("scheme", "", None)
            check.ignore_default("mode", "http")
            settings["health"] = health
            check.said("health of the service")
        if (named := item.text("serversTransport")) and (tls := self._tls(named, item, secure=secure)):
            settings["tls"] = tls
        return settings

    def _tls(self, named: str, item: Item, *, secure: bool) -> Settings:
        """What a transport says of TLS, which means nothing to servers that speak none."""
        transport = self._transports.get(named.removesuffix("@file"))
        if transport is None:
            if not named.endswith("@internal"):
                item.unsaid("it is not in this file: see `tls` and `connections` of services", "serversTransport")
            return {}
        if not secure:
            return {}
        self._secured.add(named.removesuffix("@file"))
        tls: Settings = {}
        if transport.flag("insecureSkipVerify"):
            tls["verify"] = False
            transport.said("tls.verify: false of the service: any server can pose as this one", "insecureSkipVerify")
            transport.ignore_keys("rootCAs")
        elif pems := [pem_at(authority) for authority in transport.items("rootCAs")]:
            try:
                tls["ca"] = trusted(pems, self._description)
                transport.said(f"tls.ca of the service: {tls['ca']}", "rootCAs")
            except Unusable as why:
                transport.unsaid(str(why), "rootCAs")
        if name := transport.text("serverName"):
            tls["server_name"] = name
            transport.said(f"tls.server_name of the service: {name}", "serverName")
        certificates = transport.items("certificates")
        return tls | shown(certificates, ("certFile", "keyFile"), "the service", self._description)

    def _weighted(self, item: Item) -> Settings | None:
        entries = []
        base: Settings = {}
        for below in item.items("services"):
            settings = self.settings(below.text("name"))
            if settings is None or "split" in settings:
                below.unsaid("its target cannot be translated")
                continue
            base = base or settings
            entries.append({"target": settings["target"], "weight": int(below.number("weight", 1) or 0)})
        if (sticky := item.get("sticky")) is not None:
            sticky.differs("a client stays on its side without a cookie: by who it is, or its address")
            sticky.ignore()
        item.ignore_default("healthCheck")
        return base | {"split": entries} if entries else None


def _sticky(item: Item) -> Settings:
    cookie = item.get("cookie")
    if cookie is None:
        return {"cookie": "sticky"}
    cookie.ignore_keys("secure", "httpOnly", "path", "domain")
    settings: Settings = {"cookie": cookie.text("name") or "sticky"}
    if (age := cookie.number("maxAge")) is not None and age > 0:
        settings["max_age"] = f"{age:.15g}s"
    if (site := cookie.text("sameSite").lower()) in ("lax", "strict", "none"):
        settings["same_site"] = site
    return settings
