"""The MD5-crypt of htpasswd."""

import pytest

from gateway.algorithms.md5_crypt import apr1


@pytest.mark.parametrize(
    ("password", "digest"),
    [
        ("", "L.PT565ESX4Tp2bqNs7Ie."),
        ("a", "G8IsPsylW5ROvIKsQMRG61"),
        ("pass:wörd", "7.ZsOmVkDSXLhmhslphEi0"),
        ("x" * 40, "7h4098paklNpzdB9KwCdh/"),
    ],
)
def test_it_is_what_other_programs_make(password: str, digest: str) -> None:
    """The same as `openssl passwd -apr1 -salt abcdefgh`."""
    assert apr1(password.encode(), b"abcdefgh") == digest
