"""`proxy_ssl_...`: how a backend proves who it is, and which certificate it is shown, as `tls` of a service."""

from __future__ import annotations

from typing import TypeGuard

from gateway.config.values.addresses import parse_host_name
from gateway.importing.certificates import Pem, client, pem_of, trusted
from gateway.importing.description import Description, Settings
from gateway.importing.nginx.directives import Directive

NAMES = (
    "proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_ssl_name", "proxy_ssl_trusted_certificate",
    "proxy_ssl_verify",
)  # fmt: skip

UNUSED = "no backend that it holds for is asked by https here: see `tls` of services"

_NO_FILE = ("engine:", "store:", "data:")


def tls_of(location: Directive, host: str, description: Description) -> Settings:
    """What holds for the backend of a location, which is named `host` there."""
    tls: Settings = {}
    verify = location.one("proxy_ssl_verify")
    certificates = location.one("proxy_ssl_trusted_certificate")
    if verify is not None and verify.argument == "off":
        tls["verify"] = False
        verify.said("tls.verify: false of the service: any server can pose as this one")
    elif _is_file(certificates):
        tls["ca"] = trusted([_pem(certificates)], description)
        certificates.said(f"tls.ca of the service: {tls['ca']}")
    tls |= _name(location, host, description)
    return tls | _shown(location, description)


def _name(location: Directive, host: str, description: Description) -> Settings:
    """The name that the certificate must carry: to nginx that of the upstream, unless it is told another."""
    named, verify = location.one("proxy_ssl_name"), location.one("proxy_ssl_verify")
    if named is None or named.argument == "$proxy_host":
        if host not in description.upstreams or verify is None or verify.argument != "on":
            return {}
        directive, name = verify, host
    else:
        directive, name = named, named.argument
    try:
        server_name = parse_host_name(name)
    except ValueError:
        directive.unsaid("the certificate must carry the name of each endpoint, or one without variables here")
        return {}
    directive.said(f"tls.server_name of the service: {server_name}")
    return {"server_name": server_name}


def _shown(location: Directive, description: Description) -> Settings:
    certificate, key = location.one("proxy_ssl_certificate"), location.one("proxy_ssl_certificate_key")
    if not (_is_file(certificate) and _is_file(key)):
        for directive in (certificate, key):
            if directive is not None and directive.argument and not directive.became:
                directive.unsaid("a certificate is shown with its key: name the files of both in `tls` of the service")
        return {}
    settings = client(_pem(certificate), _pem(key), description)
    for directive, (ours, name) in zip((certificate, key), settings.items(), strict=True):
        directive.said(f"tls.{ours} of the service: {name}")
    return settings


def _pem(directive: Directive) -> Pem:
    return pem_of(directive.argument, directive.place, directive.report)


def _is_file(directive: Directive | None) -> TypeGuard[Directive]:
    if directive is None or directive.argument == "":  # which ends what a level around it says
        return False
    if "$" in directive.argument or directive.argument.startswith(_NO_FILE):
        directive.unsaid("name a file, without variables, in `tls` of the service")
        return False
    return True
