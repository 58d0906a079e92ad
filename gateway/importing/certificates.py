"""TLS to backends: files that the original names, and certificates that are written in it, as `tls` of a service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.config.regular_files import read_regular
from gateway.importing.description import Description, Settings
from gateway.importing.report import Place, Report
from gateway.importing.tree import Item
from gateway.upstream.tls import MAX_BYTES, ClientCertificate, TlsSettings, UnusableFile

_AUTHORITIES = "certificates of authorities (PEM)"
_SHOWN = "the certificate that backends are shown (PEM)"
_KEY = "the private key of that certificate (PEM, without a password)"


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key. `name`: of their file, empty where none is named; `text`: what is in it, None where that
    is not known; `why`: why not."""

    place: Place
    name: str = ""
    text: str | None = None
    why: str = "it is not in the original"


def pem_of(text: str, place: Place, report: Report) -> Pem:
    """What a file of the original says: the name of a file, or the contents of one.

    A relative name begins where the original is, and becomes an absolute one, if the file is there.
    """
    if "-----BEGIN" in text:
        return Pem(place, text=text.rstrip() + "\n")
    path = report.directory / text
    name = str(path.absolute()) if os.path.lexists(path) else text
    try:
        return Pem(place, name, read_regular(path, MAX_BYTES).decode())
    except OSError as error:
        return Pem(place, name, why=error.strerror or "it cannot be read")
    except ValueError as error:  # of which UnicodeDecodeError is one
        return Pem(place, name, why="it is no text" if isinstance(error, UnicodeDecodeError) else str(error))


class Unusable(Exception):
    """What is written in the original cannot be used; the text says why, and what to do."""


def trusted(found: Sequence[Pem], description: Description) -> str:
    """The file for `tls.ca`. Raises Unusable."""
    if len(found) == 1 and found[0].name:
        one = found[0]
        if why := one.why if one.text is None else _no_authority(one.text):
            description.report.needs(one.name, one.place, f"{_AUTHORITIES}: {why}")
        return one.name
    wanted = "-".join(["ca", *dict.fromkeys(str(pem.place.line) for pem in found)])
    texts = [pem.text for pem in found]
    text = None if None in texts else "".join(f"{text.rstrip()}\n" for text in texts if text is not None)
    if text is not None and (why := _no_authority(text)):
        raise Unusable(f"{why}, into a file, and name it in `tls.ca` of the service")
    whose = ", ".join(pem.name for pem in found if pem.name)
    what = _AUTHORITIES + (f", one after the other: {whose}" if whose else "")
    name = _file(replace(found[0], name="", text=text), wanted, ".pem", what, description)
    if whose and text is not None:
        description.report.differs(found[0].place, f"{name} has all of them, as they are now: {whose}")
    return name


def client(certificate: Pem, key: Pem, description: Description) -> Settings:
    """`certificate_file` and `key_file` of `tls`. Raises Unusable."""
    if certificate.text is not None and key.text is not None:
        named = bool(certificate.name and key.name)
        unusable = _read(certificate.name, key.name) if named else _unusable(certificate.text, key.text)
        if unusable is not None and not named:
            raise Unusable(f"{unusable}. Put certificate and key into files, and name them in `tls` of the service")
        if unusable is not None:
            wrong = certificate if unusable.key == "certificate_file" else key
            description.report.needs(wrong.name, wrong.place, f"{_SHOWN if wrong is certificate else _KEY}: {unusable}")
    wanted = f"client-{certificate.place.line}"
    return {
        "certificate_file": _file(certificate, wanted, ".pem", _SHOWN, description),
        "key_file": _file(key, wanted, ".key", _KEY, description),
    }


def pem_at(item: Item) -> Pem:
    """What an item says."""
    return pem_of(item.own_text, item.place, item.report)


def shown(certificates: Sequence[Item], keys: tuple[str, str], whose: str, description: Description) -> Settings:
    """The first of these as the certificate for servers that demand one. `keys`: where its certificate and its private
    key are, or the names of their files; `whose`: the services, in words."""
    for other in certificates[1:]:
        other.unsaid("a service shows one certificate, the first of these")
    if not certificates:
        return {}
    item = certificates[0]
    certificate, key = item.get(keys[0]), item.get(keys[1])
    if certificate is None or key is None or not (certificate.own_text and key.own_text):
        item.unsaid(f"put certificate and key into files, and name them in `tls` of {whose}")
        return {}
    try:
        settings = client(pem_at(certificate), pem_at(key), description)
    except Unusable as why:
        item.unsaid(str(why))
        return {}
    for each, (ours, name) in zip((certificate, key), settings.items(), strict=True):
        each.said(f"tls.{ours} of {whose}: {name}")
    return settings


def _file(pem: Pem, wanted: str, ending: str, what: str, description: Description) -> str:
    """The name of the file; one that the original does not name is written beside ours, if its contents are known."""
    name = pem.name or description.file(wanted, ending, pem.text, pem.place)
    if pem.text is None:
        description.report.needs(name, pem.place, f"{what}: {pem.why}")
    return name


def _no_authority(text: str) -> str:
    """Why these certificates cannot be trusted; "" where they can."""
    try:
        TlsSettings(text).context()
    except ValueError as error:
        return str(error)
    return ""


def _unusable(certificate: str, key: str) -> UnusableFile | None:
    """Why a certificate with this key cannot be shown: by files that no other user can read, and that do not stay."""
    with TemporaryDirectory() as directory:
        paths = Path(directory, "certificate"), Path(directory, "key")
        for path, text in zip(paths, (certificate, key), strict=True):
            path.write_text(text, encoding="utf-8")
        return _read(*map(str, paths))


def _read(certificate: str, key: str) -> UnusableFile | None:
    """Why these files cannot be shown, as the gateway finds it."""
    try:
        ClientCertificate.read(Path(certificate), Path(key))
    except UnusableFile as error:
        return error
    return None
