"""Credentials that people have: htpasswd files, mounted Secrets, keys in plain text."""

import os
import time
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.auth.basic import Basic
from gateway.auth.mounted import warnings
from gateway.auth.scheme import AuthResult, Recognised, Refused, Scheme
from gateway.auth.schemes import schemes_of
from gateway.config.checks import Check, run
from gateway.config.checks.consumers import plain_keys
from gateway.config.named_files import Digests
from gateway.config.problems import ConfigError
from gateway.context import Context

from .support import context, request, scheme

HTPASSWD = """\
# made by htpasswd
alice:$2y$05$IVqcHuynRfUgViXxfehvy.yeZTnKM6iT1K44ACbXEmHgfavpSiFfC
bob:$apr1$abcdefgh$7.ZsOmVkDSXLhmhslphEi0:a comment

carol:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=
alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=
"""
LEGACY = """
schemes: {s: {basic: {htpasswd: users, directory: %s}}}
consumers: [{name: bob, groups: [staff]}]
"""


def mount(directory: Path, files: Mapping[str, str]) -> None:
    """As Kubernetes does: a directory of its own for each version, swapped by one rename of a link."""
    directory.mkdir(exist_ok=True)
    version = directory / f"..{time.time_ns()}"
    version.mkdir()
    for name, text in files.items():
        (version / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    (directory / "..data_tmp").symlink_to(version.name)
    os.rename(directory / "..data_tmp", directory / "..data")
    for link in directory.iterdir():
        if not link.exists():
            link.unlink()


async def shows(found: object, user: str, password: str) -> AuthResult:
    assert isinstance(found, Basic)
    return await found.authenticate(request([(b"authorization", b"Basic " + b64encode(f"{user}:{password}".encode()))]))


async def test_users_of_htpasswd_files_and_of_a_mounted_secret_are_known(tmp_path: Path) -> None:
    """bcrypt, apr1 and SHA in a file; a hash or a password in each file of a directory. A consumer has its groups."""
    (tmp_path / "users").write_text(HTPASSWD)
    mount(tmp_path / "secret", {"dave": "swordfish\n", "erin": "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "bob": "other"})
    found = scheme(LEGACY % "secret", "s", tmp_path)
    right = {"alice": "secret", "bob": "pass:wörd", "carol": "password", "dave": "swordfish", "erin": "password"}
    for user, password in right.items():
        known = await shows(found, user, password)
        assert isinstance(known, Recognised), user
        assert (known.identity.consumer, known.identity.fingerprint) == (user, f"user:{user}")
        assert known.identity.groups == ({"staff"} if user == "bob" else frozenset())
        assert isinstance(await shows(found, user, password + "x"), Refused)
    assert isinstance(await shows(found, "..data", "x"), Refused)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "x:$1$abcdefgh$7.ZsOmVkDSXLhmhslphEi0",
            "line 7 of users cannot be used, so that its user cannot",
        ),
        ("x:{PLAIN}pw", "cannot sign in: expected $scrypt"),
        ("x", "cannot sign in: expected $scrypt"),
        (":{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "cannot sign in: the name of a user"),
        (
            "x:$2y$31$IVqcHuynRfUgViXxfehvy.yeZTnKM6iT1K44ACbXEmHgfavpSiFfC",
            "sign in: a check of this bcrypt hash",
        ),
    ],
)
async def test_a_line_that_cannot_be_used_costs_its_own_user_only(tmp_path: Path, line: str, expected: str) -> None:
    """It is said where it is, and not what is in it; a good line of the same name behind it does not count."""
    (tmp_path / "users").write_text(f"{HTPASSWD}{line}\nx:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    mount(tmp_path / "secret", {"dave": "swordfish"})
    built = context(LEGACY % "secret", tmp_path)
    found = schemes_of(built)["s"]
    assert isinstance(await shows(found, "carol", "password"), Recognised)
    assert isinstance(await shows(found, "x", "password"), Refused) == line.startswith("x")
    (problem,) = run([Check("auth.yaml", warnings)], built.configuration, "warning")
    assert problem.where == "schemes.s.basic.htpasswd"
    assert expected in problem.message
    assert line.partition(":")[2][4:] not in problem.message or line == "x"
    assert troubles(built) == [problem.message]


def test_what_is_not_there_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    """Both the file and the directory."""
    with pytest.raises(ConfigError) as raised:
        scheme(LEGACY % "secret", "s", tmp_path)
    texts = [problem.message for problem in raised.value.problems]
    assert texts == [
        "users cannot be read: No such file or directory; create it, or correct the path",
        "secret cannot be read: No such file or directory; mount or create it, or correct the path",
    ]


async def test_keys_of_a_directory_are_of_the_consumer_that_a_file_is_named_after(tmp_path: Path) -> None:
    """Several on the lines of one file; keys of `consumers` go on to hold."""
    one, two, three = "k" * 30, "l" * 30, "m" * 30
    mount(tmp_path / "keys", {"acme": f"{one}\n{two}\n", "globex": three})
    auth = "schemes: {s: {api_key: {directory: keys}}}\nconsumers: [{name: acme, tenant: t, keys: [{key: '${OLD}'}]}]"
    found = scheme(auth, "s", tmp_path, OLD="an-old-key-of-ours")
    for key, consumer, tenant in (
        (one, "acme", "t"),
        (two, "acme", "t"),
        (three, "globex", None),
        ("an-old-key-of-ours", "acme", "t"),
    ):
        known = await found.authenticate(request([(b"x-api-key", key.encode())]))
        assert isinstance(known, Recognised)
        assert (known.identity.consumer, known.identity.tenant) == (consumer, tenant)
    assert isinstance(await found.authenticate(request([(b"x-api-key", b"x" * 30)])), Refused)


UNUSABLE = {
    "short": b"short",
    "empty": b"",
    "binary": b"\xff" * 30,
    "large": b"x" * 70_000,
    " odd name": b"n" * 30,
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_a_key_that_is_removed_no_longer_holds_though_another_file_is_bad(tmp_path: Path, name: str) -> None:
    """The change is noticed and served; the bad file costs its own keys, and is named without what is in it."""
    directory, digests = tmp_path / "keys", Digests(tmp_path)
    directory.mkdir()
    (directory / "acme").write_text("a" * 30)
    (directory / "team").write_text("t" * 30)
    (directory / name).write_bytes(UNUSABLE[name])
    auth = "schemes: {s: {api_key: {directory: keys}}}"
    assert await holders(schemes_of(context(auth, tmp_path))["s"], "a" * 30, "t" * 30) == ["acme", "team"]
    before = digests.of(["keys"])
    (directory / "team").unlink()
    assert digests.of(["keys"]) != before
    built = context(auth, tmp_path)
    assert await holders(schemes_of(built)["s"], "a" * 30, "t" * 30, "n" * 30) == ["acme", None, None]
    (problem,) = run([Check("auth.yaml", warnings)], built.configuration, "warning")
    assert f"keys/{name} cannot be used" in problem.message
    assert "none of its keys holds" in problem.message
    assert troubles(built) == [problem.message]


async def test_a_key_in_two_files_holds_for_neither(tmp_path: Path) -> None:
    """Nobody can say whose request it is; the other keys of both hold."""
    mount(tmp_path / "keys", {"acme": f"{'s' * 30}\n{'a' * 30}", "globex": f"{'s' * 30}\n{'g' * 30}"})
    built = context("schemes: {s: {api_key: {directory: keys}}}", tmp_path)
    found = await holders(schemes_of(built)["s"], "s" * 30, "a" * 30, "g" * 30)
    assert found == [None, "acme", "globex"]
    (text,) = troubles(built)
    assert text.startswith("keys/globex has a key that acme there has, too, and it holds for neither")


async def holders(found: Scheme, *keys: str) -> list[str | None]:
    """The consumers who show these keys."""
    results = [await found.authenticate(request([(b"x-api-key", key.encode())])) for key in keys]
    return [known.identity.consumer if isinstance(known, Recognised) else None for known in results]


def troubles(built: Context) -> list[str]:
    """What `gateway status` would say, were the configuration served."""
    things = [life.thing for life in built.plan.lives.values()]
    return [text for thing in things if hasattr(thing, "troubles") for text in thing.troubles()]


def test_a_short_key_is_refused_and_never_shown() -> None:
    """Whether it stands in the file or comes from elsewhere."""
    auth = "schemes: {s: {api_key: {}}}\nconsumers: [{name: acme, keys: [{key: short-secret}]}]"
    with pytest.raises(ConfigError, match="expected a key of at least 16") as raised:
        scheme(auth, "s")
    assert "short-secret" not in str(raised.value)


def test_a_swapped_secret_is_noticed(tmp_path: Path) -> None:
    """New contents, a new file and one that is gone, as for every file that the configuration names."""
    digests, seen = Digests(tmp_path), []
    for files in ({"a": "1"}, {"a": "2"}, {"a": "2", "b": "1"}, {"b": "1"}):
        mount(tmp_path / "secret", files)
        seen.append(digests.of(["secret"])["secret"])
        assert digests.of(["secret"])["secret"] == seen[-1]
    assert len(set(seen)) == 4


def test_check_warns_of_a_key_in_plain_text() -> None:
    """Where it stands in the file itself, not where the file names it; the hash to write is said, the key is not."""
    keys = "[{key: an-old-key-of-ours}, {key: '${OLD}'}]"
    auth = f"schemes: {{s: {{api_key: {{}}}}}}\nconsumers: [{{name: acme, keys: {keys}}}]"
    built = context(auth, OLD="another-key-of-ours")
    (problem,) = run([Check("auth.yaml", plain_keys)], built.configuration, "warning")
    assert problem.where == "consumers[0].keys[0].key"
    assert "its hash: sha256:" in problem.message
    assert "an-old-key" not in problem.message
