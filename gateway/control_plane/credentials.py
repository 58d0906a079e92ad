"""Credentials of gateways: sealed where they are kept, and in no answer, log or error.

In the database there is `sealedCredentials` within `adapter_config`, made with keys that are not in the database
(Fernet: AES-128-CBC and HMAC-SHA256). The first key seals; all of them open.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane.adapters.protocol import AdapterError, FieldError, GatewaySpec
from gateway.control_plane.database.tables import Gateway

logger = logging.getLogger("gateway.control_plane")

FILE: Final = "control-plane-key"
VARIABLE: Final = "GATEWAY_CONTROL_PLANE_KEY"
SEALED: Final = "sealedCredentials"
GIVEN: Final = "credentials"
DEEPEST: Final = 16  # levels of an adapterConfig
LARGEST: Final = 64 * 1024  # bytes of it
_MAKING: Final = "openssl rand -base64 32 | tr '+/' '-_'"
_SENT_TO: Final = ("controlPlaneUrl", "healthUrl")  # within an adapterConfig: where credentials are shown
_PORTS: Final = {"http": 80, "https": 443}
_SECRET_NAMES: Final = ("password", "secret", "token", "apikey", "privatekey", "passphrase")


class UnusableKey(Exception):
    """The keys cannot be used; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class _Keys:
    fernet: MultiFernet = field(repr=False)
    oldest: bytes = field(repr=False)


class CredentialKeys:
    """Encrypts and decrypts credentials. Keys of a file are read again when it changes: a rotation needs no restart."""

    def __init__(self, keys: _Keys, path: Path | None = None) -> None:
        self._keys = keys
        self._path = path
        self._version = None if path is None else _version(path)

    @staticmethod
    def of(text: str, where: str) -> CredentialKeys:
        """Parses one key or several, separated by spaces, commas or line ends; the first one encrypts. Raises
        UnusableKey."""
        return CredentialKeys(_parsed(text, where))

    @staticmethod
    def of_file(path: Path) -> CredentialKeys:
        """The same of a file that only its owner reads. Raises UnusableKey, OSError."""
        return CredentialKeys(_parsed(_read(path), str(path)), path)

    def _current(self) -> _Keys:
        if self._path is not None and (version := _version(self._path)) not in (None, self._version):
            self._version = version
            try:
                self._keys = _parsed(_read(self._path), str(self._path))
            except (UnusableKey, OSError) as error:
                logger.warning("the former keys of credentials stay in use: %s", error)
        return self._keys

    def seal(self, credentials: Mapping[str, Any]) -> str:
        """The credentials as they are kept."""
        return self._current().fernet.encrypt(json.dumps(credentials).encode()).decode()

    def open(self, sealed: str) -> Mapping[str, Any]:
        """The decrypted data. Raises AdapterError if none of these keys fits."""
        try:
            opened = json.loads(self._current().fernet.decrypt(sealed.encode()))
        except (InvalidToken, ValueError):
            raise AdapterError(
                "invalid",
                f"the credentials were sealed with a key that is not here: give all control planes the same "
                f"{VARIABLE} (or {FILE}), with former keys behind the first, or set the credentials again",
                [FieldError("adapterConfig.credentials", "they were sealed with a key that is not here")],
            ) from None
        return opened if isinstance(opened, dict) else {}

    def fingerprint(self, data: bytes) -> str:
        """A keyed fingerprint of data that may hold a secret, in hexadecimal: guesses cannot be tried without the keys.

        It stays the same while new keys are put before the others.
        """
        return hmac.new(self._current().oldest, data, "sha256").hexdigest()

    def resealed(self, sealed: str) -> str:
        """The same, with the first of the keys. Raises AdapterError as `open`."""
        return self.seal(self.open(sealed))


def _parsed(text: str, where: str) -> _Keys:
    """Raises UnusableKey."""
    try:
        given = text.replace(",", " ").split()
        keys = [Fernet(each) for each in given]
    except ValueError:
        raise UnusableKey(f"{where}: a key is 32 bytes in URL-safe base64, as this makes it: {_MAKING}") from None
    if not keys:
        raise UnusableKey(f"{where}: there is no key; make one: {_MAKING}")
    return _Keys(MultiFernet(keys), given[-1].encode())


def _version(path: Path) -> tuple[int, int] | None:
    """Properties that change with a file. None: it does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def load_keys(state_directory: Path, environment: Mapping[str, str], *, make: bool = True) -> CredentialKeys:
    """Those of the environment, else those of a file in the state directory.

    The file is made where there is none, unless there are credentials that another key has sealed (not `make`). Raises
    UnusableKey, OSError.
    """
    if (given := environment.get(VARIABLE)) is not None:
        return CredentialKeys.of(given, VARIABLE)
    path = state_directory / FILE
    if not path.exists():
        if not make:
            raise UnusableKey(
                f"credentials in the database are sealed with a key that is not here: copy {FILE} of the control plane "
                f"that sealed them to {path}, or set {VARIABLE}; where it is lost, make another ({_MAKING} > {path}; "
                f"chmod 600 {path}), and set the credentials of these gateways again"
            )
        state_directory.mkdir(0o700, parents=True, exist_ok=True)
        _make(path, Fernet.generate_key().decode())
    return CredentialKeys.of_file(path)


def add_key(state_directory: Path) -> Path:
    """Put a new key before those of the file: it seals from now on, and the others still open. Raises OSError."""
    path = state_directory / FILE
    former = _read(path) if path.exists() else ""
    temporary = path.with_name(f".{FILE}.{secrets.token_hex(8)}")
    _make(temporary, f"{Fernet.generate_key().decode()}\n{former}".rstrip())
    temporary.replace(path)
    return path


def _make(path: Path, text: str) -> None:
    """A file that only its owner reads, there whole or not at all. One that another process has just made stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> str:
    """Raises UnusableKey where others may read it."""
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise UnusableKey(f"{path} can be read by others: chmod 600 it, and add a key (`key rotate`)")
        return file.read(64 * 1024)


def stored(given: Mapping[str, Any], before: Mapping[str, Any] | None, keys: CredentialKeys) -> dict[str, Any]:
    """The `adapterConfig` to store for a request, merged into the stored one (RFC 7396).

    Keys that are not sent stay as they are, also those that no adapter knows, and null removes one; so with
    `credentials`, which are taken as a whole. They are for where they were given for: who sends the gateway elsewhere
    has to know them. Raises AdapterError.
    """
    errors = list(_wrong(given, "adapterConfig", 1))
    if not errors and len(json.dumps(given)) > LARGEST:
        errors.append(FieldError("adapterConfig", f"larger than {LARGEST // 1024} KiB"))
    credentials = given.get(GIVEN)
    if credentials is not None and not (isinstance(credentials, Mapping) and all(map(_is_text, credentials.values()))):
        errors.append(
            FieldError("adapterConfig.credentials", "expected an object of texts: username and password, or token")
        )
    if errors:
        raise AdapterError("invalid", "the adapterConfig cannot be used", errors)
    kept = dict(before or {})
    sent = {key: value for key, value in given.items() if key != GIVEN}
    merged: dict[str, Any] = _merged(kept, sent)
    if GIVEN not in given and SEALED in kept:
        # Raises AdapterError where credentials that are kept would be sent to where they were never sent.
        known = {_origin(kept[key]) for key in _SENT_TO if key in kept}
        moved = [key for key in _SENT_TO if key in merged and _origin(merged[key]) not in known]
        if moved:
            message = (
                f"give them again, or null: they were given for another scheme, host or port than {moved[0]} says now"
            )
            raise AdapterError("invalid", message, [FieldError("adapterConfig.credentials", message)])
    if GIVEN in given:
        merged.pop(SEALED, None)
        if given[GIVEN]:
            merged[SEALED] = keys.seal(given[GIVEN])
    return merged


def shown(kept: Mapping[str, Any] | None) -> dict[str, Any]:
    """The stored configuration without secrets, for answers."""
    return {key: value for key, value in (kept or {}).items() if key not in (SEALED, GIVEN)}


def gateway_spec(row: Gateway, keys: CredentialKeys, probed_url: str | None = None) -> GatewaySpec:
    """A gateway as adapters see it. Raises AdapterError where its credentials cannot be opened."""
    sealed = (row.adapter_config or {}).get(SEALED)
    return _spec(row, keys.open(sealed) if isinstance(sealed, str) else None, probed_url)


def _spec(row: Gateway, credentials: Mapping[str, Any] | None, probed_url: str | None) -> GatewaySpec:
    return GatewaySpec(
        uuid=row.uuid,
        name=row.name,
        display_name=row.display_name,
        gateway_type=row.gateway_type,
        config=shown(row.adapter_config),
        credentials=credentials,
        endpoint=row.endpoint,
        region=row.region,
        probed_url=probed_url,
    )


def removal_spec(row: Gateway, keys: CredentialKeys) -> GatewaySpec:
    """The same for a gateway that is to go: without its credentials, where they cannot be opened any more."""
    try:
        return gateway_spec(row, keys)
    except AdapterError:
        return _spec(row, None, None)


async def any_sealed(session: AsyncSession) -> bool:
    """Whether there are credentials in the database."""
    configs = await session.scalars(select(Gateway.adapter_config))
    return any(isinstance((config or {}).get(SEALED), str) for config in configs)


async def reseal(session: AsyncSession, keys: CredentialKeys) -> tuple[int, Sequence[str]]:
    """Seal the credentials of all gateways with the first key. How many, and the names of those that no key opens."""
    count, lost = 0, []
    for row in await session.scalars(select(Gateway).order_by(Gateway.name).with_for_update()):
        sealed = (row.adapter_config or {}).get(SEALED)
        if not isinstance(sealed, str):
            continue
        try:
            row.adapter_config = {**(row.adapter_config or {}), SEALED: keys.resealed(sealed)}
            count += 1
        except AdapterError:
            lost.append(row.name)
    return count, lost


def _merged(kept: Any, sent: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(kept) if isinstance(kept, Mapping) else {}
    for key, value in sent.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def _origin(url: object) -> tuple[object, ...]:
    """Scheme, host and port of a URL; what is none is only itself."""
    try:
        parts = urlsplit(str(url))
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return (str(url),)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _wrong(value: object, path: str, level: int) -> list[FieldError]:
    """Errors of a value: nested too deep, or a secret that would be shown."""
    if level > DEEPEST:
        return [FieldError(path[:200], f"nested deeper than {DEEPEST} levels")]
    if isinstance(value, list):
        return [error for each in value for error in _wrong(each, f"{path}[]", level + 1)]
    if not isinstance(value, Mapping):
        return []
    errors: list[FieldError] = []
    for key, each in value.items():
        place = f"{path}.{key}"
        if level == 1 and key == GIVEN:
            continue
        if level == 1 and key == SEALED:
            errors.append(FieldError(place, "cannot be set; give `credentials`"))
        elif isinstance(each, str) and key.lower().replace("_", "").replace("-", "").endswith(_SECRET_NAMES):
            errors.append(FieldError(place, "a secret is only kept sealed: put it into `credentials`"))
        else:
            errors += _wrong(each, place, level + 1)
    return errors
