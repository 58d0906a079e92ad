"""Users and API keys from htpasswd files and from directories such as a mounted Secret: read with the configuration.

An entry that cannot be used costs nothing but itself: if it kept the others from being read again, a key or password
that was removed from them would go on to hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.auth import htpasswd, password
from gateway.auth.basic import User
from gateway.auth.context import AuthContext
from gateway.auth.htpasswd import Hash
from gateway.auth.key_files import KeyFileError, digests_of
from gateway.config.directories import contents_of
from gateway.config.models import Configuration, Consumer, ConsumerConfig
from gateway.config.models.auth.schemes import ApiKeyScheme, BasicScheme
from gateway.config.problems import Fault
from gateway.config.problems import Path as Place
from gateway.config.regular_files import read_regular, to_mend

logger = logging.getLogger("gateway.auth")

MAX_NAME = 200  # characters
MAX_FILE = 16 * 1024**2  # bytes of an htpasswd file


class UnusableCredentials:
    """A live object, as long as there are mounted entries that cannot be used."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = tuple(texts)

    async def start(self) -> None:
        """Say so in the log, once."""
        for text in self._texts:
            logger.error("%s", text)

    def troubles(self) -> Iterable[str]:
        """See `Troubled`."""
        return self._texts


@dataclass(slots=True)
class _Reading:
    """What turns out to be wrong while the files are read."""

    base: Path
    problems: list[tuple[Place, str]] = field(default_factory=list)  # of a whole file or directory
    unusable: list[tuple[Place, str]] = field(default_factory=list)  # of entries

    def tell(self, auth: AuthContext) -> None:
        for place, text in self.problems:
            auth.problem(place, text)
        auth.unusable += self.unusable


def mounted_users(auth: AuthContext, scheme: str, config: BasicScheme) -> dict[str, User]:
    """Users by name. A file that cannot be read is a problem of `auth`."""
    reading = _Reading(auth.base)
    hashes = _hashes(reading, scheme, config)
    reading.tell(auth)
    return {name: User(hash_, auth.identities.named(name, scheme, f"user:{name}")) for name, hash_ in hashes.items()}


def mounted_keys(auth: AuthContext, scheme: str, config: ApiKeyScheme) -> Mapping[bytes, Consumer]:
    """Whose they are, by the SHA-256 of each. A directory that cannot be read is a problem of `auth`."""
    reading = _Reading(auth.base)
    names = _names(reading, scheme, config)
    reading.tell(auth)
    known = auth.identities.consumers if names else {}
    consumers = {name: known.get(name) or ConsumerConfig(name=name) for name in set(names.values())}
    return {digest: consumers[name] for digest, name in names.items()}


def warnings(configuration: Configuration) -> Iterator[Fault]:
    """Entries of files and directories that cannot be used."""
    reading = _Reading(configuration.base)
    for name, scheme in configuration.auth.schemes.items():
        if scheme.basic is not None:
            _hashes(reading, name, scheme.basic)
        if scheme.api_key is not None:
            _names(reading, name, scheme.api_key)
    for place, text in reading.unusable:
        yield Fault(place, text, show_value=False)


def _hashes(reading: _Reading, scheme: str, config: BasicScheme) -> Mapping[str, Hash]:
    """The hash of each user's password. Of a name that is there twice the first counts, also one that is unusable."""
    place: Place = ("schemes", scheme, "basic")
    hashes: dict[str, Hash | None] = {}
    for file in config.htpasswd:
        for name, hash_ in _in_file(reading, (*place, "htpasswd"), file):
            hashes.setdefault(name, hash_)
    if config.directory is not None:
        for name, hash_ in _in_directory(reading, (*place, "directory"), config.directory):
            hashes.setdefault(name, hash_)
    return {name: hash_ for name, hash_ in hashes.items() if hash_ is not None}


def _in_file(reading: _Reading, place: Place, file: str) -> Iterator[tuple[str, Hash | None]]:
    try:
        text = read_regular(reading.base / file, MAX_FILE).decode()
    except OSError as error:
        reading.problems.append((place, f"{file} cannot be read: {error.strerror}; {to_mend(error)}"))
        return
    except ValueError as error:  # a UnicodeDecodeError, whose own text would quote the content, is one
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        reading.problems.append((place, f"{file} cannot be used: {reason}"))
        return
    for line, name, written in htpasswd.entries(text):
        try:
            yield _checked_name(name), password.parse(written)
        except ValueError as error:
            where = f"line {line} of {file}"
            reading.unusable.append((place, f"{where} cannot be used, so that its user cannot sign in: {error}"))
            yield name, None


def _in_directory(reading: _Reading, place: Place, directory: str) -> Iterator[tuple[str, Hash | None]]:
    for name, content in _contents(reading, place, directory).items():
        try:
            yield _checked_name(name), _password_in(content)
        except ValueError as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
            what = f"{directory}/{name} cannot be used, so that this user cannot sign in: {reason}"
            reading.unusable.append((place, what))
            yield name, None


def _password_in(content: bytes | str) -> Hash:
    if isinstance(content, str):
        raise ValueError(content)
    text = content.decode().removesuffix("\n").removesuffix("\r")
    if not text or not text.isprintable():
        raise ValueError("it is not one password, or the hash of one, on one line")
    return password.parse(text) if text.startswith(("$", "{SHA}")) else htpasswd.keyed(text)


def _names(reading: _Reading, scheme: str, config: ApiKeyScheme) -> Mapping[bytes, str]:
    """The name of the consumer of each key, by its SHA-256. A key in two files is nobody's."""
    if config.directory is None:
        return {}
    place: Place = ("schemes", scheme, "api_key", "directory")
    found: dict[bytes, str] = {}
    shared: set[bytes] = set()
    for name, content in _contents(reading, place, config.directory).items():
        path = Path(config.directory) / name
        try:
            if isinstance(content, str):
                raise KeyFileError(path, content)
            digests = digests_of(path, content)
            _checked_name(name)
        except KeyFileError as error:
            reading.unusable.append((place, f"{error}; none of its keys holds until it is corrected"))
            continue
        except ValueError as error:
            reading.unusable.append((place, f"the key file {path} cannot be used, and none of its keys holds: {error}"))
            continue
        for digest in digests:
            if (first := found.setdefault(digest, name)) != name:
                shared.add(digest)
                what = f"{path} has a key that {first} there has, too, and it holds for neither: a key has one consumer"
                reading.unusable.append((place, f"{what}; remove one"))
    return {digest: name for digest, name in found.items() if digest not in shared}


def _contents(reading: _Reading, place: Place, directory: str) -> Mapping[str, bytes | str]:
    try:
        return contents_of(reading.base / directory)
    except OSError as error:
        mount = "" if isinstance(error, PermissionError) else "mount or "
        text = f"{directory} cannot be read: {error.strerror}; {mount}{to_mend(error)}"
        reading.problems.append((place, text))
    except ValueError as error:
        reading.problems.append((place, f"{directory} cannot be used: {error}"))
    return {}


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise ValueError(f"the name of a user has 1 to {MAX_NAME} printable characters, without spaces around them")
    return name
