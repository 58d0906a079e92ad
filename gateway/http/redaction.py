"""What of a request may be a credential, and must not be in a log, beside the headers and the query."""

from __future__ import annotations


def without_userinfo(text: str) -> str:
    """A host or a request target without the user and the password that a refused request may have before its host."""
    return text if "@" not in text or text.startswith("/") else text.rpartition("@")[2]
