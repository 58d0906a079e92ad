"""Bundles: their digest, what they are packed as, and what is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gateway.bundles import MOST_FILES, Bundle, BundleError, is_digest, unpack

FILES = {"routes.yaml": b"routes: []\n", "middleware.yaml": "# \u00fc\0\n".encode()}

texts = st.text().map(lambda text: text.encode("utf-8", "ignore"))


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.yaml", fullmatch=True), texts, min_size=1, max_size=5))
def test_what_is_packed_is_unpacked(files: dict[str, bytes]) -> None:
    """A bundle is the same, and has the same digest, after it was sent."""
    packed = Bundle(files)
    assert unpack(packed.pack()).files == files
    assert unpack(packed.pack()).digest == packed.digest


def test_digest_is_of_names_and_contents() -> None:
    """The digest is a documented hash, whatever the order of the files."""
    digest = sha256()
    for name in sorted(FILES):
        digest.update(f"{len(name)}:{name}{len(FILES[name])}:".encode() + FILES[name])
    assert Bundle(FILES).digest == digest.hexdigest()
    assert Bundle(dict(reversed(FILES.items()))).digest == digest.hexdigest()
    assert is_digest(digest.hexdigest())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a.yaml": b"x", "b.yaml": b"y"}, {"a.yaml": b"y", "b.yaml": b"x"}),
        ({"a.yaml": b""}, {"a.yaml": b"\n"}),
        ({"a.yaml": b"x"}, {"b.yaml": b"x"}),
        ({"a.yaml": b"x6:b.yaml1:y"}, {"a.yaml": b"x", "b.yaml": b"y"}),
    ],
)
def test_digests_differ(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """What is not the same has another digest, also where names and contents only look alike put together."""
    assert Bundle(one).digest != Bundle(other).digest


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/routes.yaml",
        "../routes.yaml",
        "a/../routes.yaml",
        "./routes.yaml",
        "a//b.yaml",
        ".hidden.yaml",
        "a\\b.yaml",
        "C:/routes.yaml",
        "routes.yaml\0",
        "rou\ntes.yaml",
        "r\u00f6utes.yaml",
        "routes.yaml/",
        "policies/mine.py",
        "key.pem",
        "yaml",
        "control-plane.yaml",
        "sub/control-plane.yaml",
        "x" * 300 + ".yaml",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    """A file that could leave the directory, is no configuration, or is the control plane's own is not taken."""
    with pytest.raises(BundleError):
        Bundle({**FILES, name: b""})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"{number}.yaml": b"" for number in range(MOST_FILES + 1)},
        {"a.yaml": b"x" * (16 * 1024**2 + 1)},
        {"a.yaml": b"\xff"},
        {"a.yaml": b"", "a.yaml/b.yaml": b""},
    ],
    ids=["none", "many", "large", "not UTF-8", "file and directory"],
)
def test_files_that_are_no_bundle(files: Mapping[str, bytes]) -> None:
    """Nothing, too much, and what cannot be written as files is refused."""
    with pytest.raises(BundleError):
        Bundle(files)


def _compressed(value: object) -> bytes:
    return zstandard.compress(json.dumps(value).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        b"{}",
        Bundle(FILES).pack()[:-5],
        Bundle(FILES).pack()[:10],
        zstandard.compress(b"not JSON"),
        zstandard.compress(b"[" * 100_000),
        _compressed([]),
        _compressed({"files": None}),
        _compressed({"files": {"routes.yaml": 1}}),
        _compressed({"files": {"../routes.yaml": ""}}),
        _compressed({"files": {}}),
        zstandard.compress(b" " * 200 * 1024**2),
    ],
)
def test_data_that_is_no_bundle(data: bytes) -> None:
    """Half a bundle, another format, and a bomb are refused with a sentence."""
    with pytest.raises(BundleError, match=r".+"):
        unpack(data)


def test_bundle_larger_than_asked_for() -> None:
    """The caller sets the limit of the size."""
    data = Bundle({"a.yaml": b"x" * 1000}).pack()
    assert unpack(data, 1000).size == 1000
    with pytest.raises(BundleError, match="larger"):
        unpack(data, 999)
