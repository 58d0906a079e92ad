"""What only auth.yaml as a whole, and the routes beside it, show: names that are not there, or there twice."""

from collections.abc import Iterable, Iterator

from gateway.config.models import AuthFile, ConsumerConfig, RoutesFile
from gateway.config.problems import Fault, Path, suggest

Named = Iterable[tuple[str, Path]]
"""Values that must differ, and where each of them is."""


def check_schemes(auth: AuthFile, names: tuple[str, ...], path: Path) -> Iterator[Fault]:
    """The faults of one list of schemes."""
    for index, name in enumerate(names):
        if name not in auth.schemes:
            likely = suggest(name, list(auth.schemes))
            message = "schemes of auth.yaml has no entry of this name; define it there"
            yield Fault((*path, index), message, f', or did you mean "{likely}"?' if likely else "")
        elif name in names[:index]:
            yield Fault((*path, index), "the scheme is there twice; remove one")
        elif auth.schemes[name].kind == "anonymous" and index < len(names) - 1:
            yield Fault((*path, index), "whoever is anonymous never gets to the schemes behind it; put it last")


def check_routes(routes: RoutesFile, auth: AuthFile) -> Iterator[Fault]:
    """The faults of routes.yaml that auth.yaml shows."""
    for index, route in enumerate(routes.routes):
        yield from check_schemes(auth, route.auth or (), ("routes", index, "auth"))


def check_auth(auth: AuthFile) -> Iterator[Fault]:
    """The faults of auth.yaml as a whole."""
    yield from check_schemes(auth, auth.default, ("default",))
    yield from _differ(_names(auth.consumers), "a consumer has this name already; rename one of them")
    yield from _differ(_hashes(auth.consumers), "this key is there already; a key has one consumer: remove one")
    yield from _differ(_usernames(auth.consumers), "another consumer has this user name; change one of them")
    yield from _differ(_key_ids(auth.consumers), "another key has this key_id; give each of them its own")
    yield from _differ(_certificates(auth.consumers), "this certificate is there already; remove one")
    yield from _differ(_subjects(auth.consumers), "this subject is there already; a token has one consumer: remove one")


def _differ(named: Named, message: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for value, path in named:
        if value in seen:
            yield Fault(path, message)
        seen.add(value)


def _names(consumers: Iterable[ConsumerConfig]) -> Named:
    return ((consumer.name, ("consumers", index, "name")) for index, consumer in enumerate(consumers))


def _hashes(consumers: Iterable[ConsumerConfig]) -> Named:
    for index, consumer in enumerate(consumers):
        for place, key in enumerate(consumer.keys):
            yield key.hash or f"file:{key.file}", ("consumers", index, "keys", place)


def _usernames(consumers: Iterable[ConsumerConfig]) -> Named:
    for index, consumer in enumerate(consumers):
        if consumer.basic is not None:
            yield consumer.basic.username, ("consumers", index, "basic", "username")


def _subjects(consumers: Iterable[ConsumerConfig]) -> Named:
    for index, consumer in enumerate(consumers):
        for place, subject in enumerate(consumer.subjects):
            yield f"{subject.issuer}\n{subject.subject}", ("consumers", index, "subjects", place)


def _key_ids(consumers: Iterable[ConsumerConfig]) -> Named:
    for index, consumer in enumerate(consumers):
        for place, key in enumerate(consumer.signatures):
            yield key.key_id, ("consumers", index, "signatures", place, "key_id")


def _certificates(consumers: Iterable[ConsumerConfig]) -> Named:
    for index, consumer in enumerate(consumers):
        for place, wanted in enumerate(consumer.certificates):
            yield repr(wanted), ("consumers", index, "certificates", place)
