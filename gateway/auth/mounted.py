"""Users and API keys from htpasswd files and from directories such as a mounted Secret: read with the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.auth import htpasswd, password
from gateway.auth.basic import User
from gateway.auth.context import AuthContext
from gateway.auth.htpasswd import Hash
from gateway.auth.key_files import KeyFileError, digests_of
from gateway.config.directories import contents_of
from gateway.config.models import Consumer, ConsumerConfig
from gateway.config.models.auth.schemes import ApiKeyScheme, BasicScheme
from gateway.config.problems import Path as Place
from gateway.config.regular_files import read_regular, to_mend

MAX_NAME = 200  # characters
MAX_FILE = 16 * 1024**2  # bytes of an htpasswd file


def mounted_users(auth: AuthContext, scheme: str, config: BasicScheme) -> dict[str, User]:
    """Users by name. Unusable entries are a problem of `auth`."""
    place: Place = ("schemes", scheme, "basic")
    hashes: dict[str, Hash] = {}
    for file in config.htpasswd:
        for name, hash_ in _in_file(auth, (*place, "htpasswd"), file):
            hashes.setdefault(name, hash_)
    if config.directory is not None:
        for name, hash_ in _in_directory(auth, (*place, "directory"), config.directory):
            hashes.setdefault(name, hash_)
    return {name: User(hash_, auth.identities.named(name, scheme, f"user:{name}")) for name, hash_ in hashes.items()}


def _in_file(auth: AuthContext, place: Place, file: str) -> Iterator[tuple[str, Hash]]:
    try:
        text = read_regular(auth.base / file, MAX_FILE).decode()
    except OSError as error:
        auth.problem(place, f"{file} cannot be read: {error.strerror}; {to_mend(error)}")
        return
    except ValueError as error:  # a UnicodeDecodeError, whose own text would quote the content, is one
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        auth.problem(place, f"{file} cannot be used: {reason}")
        return
    for line, name, written in htpasswd.entries(text):
        try:
            yield _checked_name(name), password.parse(written)
        except ValueError as error:
            auth.problem(place, f"{file} cannot be used: line {line}: {error}")


def _in_directory(auth: AuthContext, place: Place, directory: str) -> Iterator[tuple[str, Hash]]:
    for name, content in _contents(auth, place, directory).items():
        try:
            text = content.decode().removesuffix("\n").removesuffix("\r")
            if not text or not text.isprintable():
                raise ValueError("it is not one password, or the hash of one, on one line")
            hash_ = password.parse(text) if text.startswith(("$", "{SHA}")) else htpasswd.keyed(text)
            yield _checked_name(name), hash_
        except ValueError as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            auth.problem(place, f"{directory}/{name} cannot be used: {reason}")


def mounted_keys(auth: AuthContext, scheme: str, config: ApiKeyScheme) -> Mapping[bytes, Consumer]:
    """Whose they are, by the SHA-256 of each. What cannot be used is a problem of `auth`."""
    if config.directory is None:
        return {}
    place: Place = ("schemes", scheme, "api_key", "directory")
    found: dict[bytes, Consumer] = {}
    for name, content in _contents(auth, place, config.directory).items():
        try:
            consumer = auth.identities.consumers.get(name) or ConsumerConfig(name=_checked_name(name))
            digests = digests_of(Path(config.directory) / name, content)
        except (KeyFileError, ValueError) as error:
            auth.problem(place, str(error))
            continue
        for digest in digests:
            if found.setdefault(digest, consumer) is not consumer:
                reason = "has a key that another file there has, too; a key has one consumer: remove one"
                auth.problem(place, f"{config.directory}/{name} {reason}")
    return found


def _contents(auth: AuthContext, place: Place, directory: str) -> Mapping[str, bytes]:
    try:
        return contents_of(auth.base / directory)
    except OSError as error:
        mount = "" if isinstance(error, PermissionError) else "mount or "
        auth.problem(place, f"{directory} cannot be read: {error.strerror}; {mount}{to_mend(error)}")
    except ValueError as error:
        auth.problem(place, f"{directory} cannot be used: {error}")
    return {}


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(f"the name of a user has 1 to {MAX_NAME} printable characters, without spaces around them")
    return name
