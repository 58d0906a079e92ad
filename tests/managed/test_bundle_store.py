"""The last good bundle on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bundles import Bundle
from gateway.config.problems import ConfigError, Problem
from gateway.managed.bundle_store import Applied, BundleStore, Identity, fingerprint


def _bundle(text: str) -> Bundle:
    return Bundle({"routes.yaml": text.encode()})


def _save(store: BundleStore, *texts: str) -> list[Bundle]:
    bundles = [_bundle(text) for text in texts]
    for bundle in bundles:
        store.save(bundle, Applied(bundle.digest, "local"))
    return bundles


def test_the_last_two_are_kept_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    """So that a roll-back needs no network."""
    store = BundleStore(tmp_path)
    first, second, third = _save(store, "a", "b", "c")
    assert store.applied() == Applied(third.digest, "local")
    assert [store.bundle(each.digest) for each in (first, second, third)] == [None, second, third]
    assert {path.stat().st_mode & 0o777 for path in store.path.iterdir()} == {0o600}
    assert store.path.stat().st_mode & 0o777 == 0o700


def test_what_is_spoilt_is_not_used(tmp_path: Path) -> None:
    """A half-written file, other contents under the name, and an index that is no JSON."""
    store = BundleStore(tmp_path)
    (bundle,) = _save(store, "a")
    file = store.path / f"{bundle.digest}.bundle"
    whole = file.read_bytes()
    for data in (b"", whole[:-9], b"x" + whole, _bundle("b").pack()):
        file.write_bytes(data)
        assert store.bundle(bundle.digest) is None
    for data in (b"", b"[]", b"null", b'{"digest": "../../etc/passwd", "local": "x"}', b"\xff", b"[" * 100_000):
        (store.path / "applied.json").write_bytes(data)
        assert store.applied() is None
    store.save(bundle, Applied(bundle.digest, "local"))
    assert store.bundle(bundle.digest) == bundle


def test_a_token_is_for_the_control_plane_that_gave_it(tmp_path: Path) -> None:
    """Another URL must not be shown it."""
    store = BundleStore(tmp_path)
    store.join(Identity("https://a", "g", "secret"))
    assert store.identity("https://a") == Identity("https://a", "g", "secret")
    assert store.identity("https://b") is None


@pytest.mark.parametrize("other", [{}, {"a": b""}, {"a": b"x", "b": b""}, {"ab": b"x"}, {"a": b"y"}])
def test_any_change_of_the_local_files_shows(other: dict[str, bytes]) -> None:
    """Names, contents, and files that come and go."""
    assert fingerprint({"a": b"x"}) != fingerprint(other)
    assert fingerprint({"a": b"x"}) == fingerprint({"a": b"x"})
    missing = ConfigError([Problem("routes.yaml", 0, 0, "", "there is none")])
    assert fingerprint(missing) != fingerprint(other)


def test_a_gateway_keeps_its_name_over_a_restart(tmp_path: Path) -> None:
    """So that the control plane does not wait for the process before it; what is spoilt, or of another machine, is made
    anew."""
    store = BundleStore(tmp_path)
    assert [store.instance(made) for made in ("host-a", "host-b")] == ["host-a", "host-a"]
    (store.path / "instance.json").write_text('{"instance": "../x"}')
    assert [store.instance(made) for made in ("host-c", "host-d")] == ["host-c", "host-c"]
    assert [store.instance(made) for made in ("other-e", "other-f")] == ["other-e", "other-e"]
