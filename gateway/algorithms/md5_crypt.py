"""Apache's variant of the MD5-crypt of Poul-Henning Kamp, `$apr1$`: 1,000 rounds of MD5 over password and salt."""

from __future__ import annotations

from hashlib import md5

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_ROUNDS = 1000
_ORDER = ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5))


def apr1(password: bytes, salt: bytes) -> str:
    """The 22 characters behind `$apr1$SALT$`. The salt has at most 8 bytes."""
    inner = md5(password + salt + password, usedforsecurity=False).digest()
    length = len(password)
    start = password + b"$apr1$" + salt + (inner * (length // 16 + 1))[:length]
    bits = length
    while bits:
        start += b"\0" if bits & 1 else password[:1]
        bits >>= 1
    digest = md5(start, usedforsecurity=False).digest()
    for number in range(_ROUNDS):
        odd = number & 1
        text = password if odd else digest
        text += salt if number % 3 else b""
        text += password if number % 7 else b""
        digest = md5(text + (digest if odd else password), usedforsecurity=False).digest()
    groups = (digest[first] << 16 | digest[second] << 8 | digest[third] for first, second, third in _ORDER)
    return "".join(_base64(group, 4) for group in groups) + _base64(digest[11], 2)


def _base64(value: int, characters: int) -> str:
    return "".join(ALPHABET[value >> 6 * place & 0x3F] for place in range(characters))
