"""Certificates that Kong holds by id, as files beside ours, and what services say of TLS to their backends."""

from __future__ import annotations

from gateway.importing.certificates import Pem, Unusable, client, trusted
from gateway.importing.description import Description, Settings
from gateway.importing.kong.plugins import reference
from gateway.importing.tree import Item

_OF_CLIENTS = "put there what clients see: TLS ends in front of the gateway (deploy/nginx)"
_UNNAMED = f"no service that is written shows it to its backends; {_OF_CLIENTS}"
_UNTRUSTED = (
    "no service that is written has its backends verified by it (`tls.ca` of services); one that verifies clients goes "
    "to what ends TLS in front of the gateway (deploy/nginx), with `mtls` of auth.yaml"
)
_KEYS = ("client_certificate", "ca_certificates", "tls_verify")


class Certificates:
    """The certificates and authorities of a file, and which of them services name."""

    def __init__(self, root: Item, description: Description) -> None:
        self._description = description
        self._items = {kind: _by_id(root, kind) for kind in ("certificates", "ca_certificates")}
        self._all = {kind: root.items(kind) for kind in self._items}
        self._named: set[tuple[str | int, ...]] = set()
        self._upstreams = {item.text("name"): item for item in root.items("upstreams")}
        for item in root.items("snis"):
            item.unsaid(_OF_CLIENTS)

    def tls_of(self, item: Item, host: str) -> Settings:
        """`tls` of a service that its backends are asked by https for."""
        tls: Settings = {}
        if (verify := item.get("tls_verify")) is None:
            item.differs(
                "the certificate of the backend is verified, which Kong does only with `tls_verify`: see `tls.verify` "
                "of services"
            )
        elif not item.flag("tls_verify"):
            tls["verify"] = False
            verify.said("tls.verify: false of the service: any server can pose as this one")
        else:
            verify.ignore()
        tls |= self._trusted(item, needed=tls.get("verify", True))
        # What an upstream shows is for services that show nothing of their own.
        owner = item if item.get("client_certificate") is not None else self._upstreams.get(host)
        return tls | (self._shown(owner) if owner is not None else {})

    def unasked(self, item: Item) -> None:
        """Mark what a service says of TLS that is not asked by https."""
        item.ignore_keys(*_KEYS)

    def rest(self) -> None:
        """Say of those that no service names what they may be for."""
        for kind, text in (("certificates", _UNNAMED), ("ca_certificates", _UNTRUSTED)):
            for item in self._all[kind]:
                if item.path not in self._named:
                    item.unsaid(text)
        for item in self._upstreams.values():
            if (shown := item.get("client_certificate")) is not None and shown.path not in self._named:
                shown.unsaid("no service that is written goes to it by https and shows nothing of its own")

    def _trusted(self, item: Item, *, needed: bool) -> Settings:
        key = item.get("ca_certificates")
        if key is None:
            return {}
        if not needed:
            key.ignore()
            return {}
        ids = [_id(each) for each in key.items()]
        known = [self._items["ca_certificates"][each] for each in ids if each in self._items["ca_certificates"]]
        pems = [self._pem(each, "cert") for each in known]
        if not pems or len(pems) < len(ids):
            key.unsaid("the file does not have all of them: put them into one file, and name it in `tls.ca`")
            return {}
        try:
            name = trusted(pems, self._description)
        except Unusable as why:
            for each in (key, *known):
                each.unsaid(str(why))
            return {}
        for each in (key, *known):
            each.said(f"tls.ca of the service: {name}")
        return {"ca": name}

    def _shown(self, owner: Item) -> Settings:
        key = owner.get("client_certificate")
        if key is None:
            return {}
        self._named.add(key.path)
        item = self._items["certificates"].get(reference(owner, "client_certificate"))
        if item is None:
            key.unsaid("the file does not have it: name its files in `tls` of the service")
            return {}
        certificate, secret = self._pem(item, "cert"), self._pem(item, "key")
        try:
            settings = client(certificate, secret, self._description)
        except Unusable as why:
            for each in (key, item):
                each.unsaid(str(why))
            return {}
        names = " and ".join(settings.values())
        for each in (key, item):
            each.said(f"tls.certificate_file and .key_file of the service: {names}")
        if secret.text is not None:
            item.differs(f"{settings['key_file']} has its key, for its owner only: let the gateway's user read it")
        if (names_of_hosts := item.get("snis")) is not None:
            names_of_hosts.unsaid(_OF_CLIENTS)
        return settings

    def _pem(self, item: Item, key: str) -> Pem:
        """What the file has of it: a placeholder stands for contents that it does not have."""
        self._named.add(item.path)
        item.ignore_keys("id", "tags", "cert_digest", "created_at", "updated_at")
        found = item.get(key)
        text = found.own_text.strip() if found is not None else ""
        return Pem((found or item).place, text=f"{text}\n" if "-----BEGIN" in text else None)


def _by_id(root: Item, kind: str) -> dict[str, Item]:
    return {item.text("id"): item for item in root.items(kind)}


def _id(item: Item) -> str:
    return item.own_text or item.text("id")
