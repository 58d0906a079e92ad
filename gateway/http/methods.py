"""Which methods there are (RFC 9110, 9; the HTTP Method Registry of IANA), and which are not forwarded."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 32  # characters

_NAMES: Final = """
    ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL
    MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PUT QUERY REBIND REPORT SEARCH
    UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
"""
REGISTERED: Final = frozenset(_NAMES.split())
"""Those that a route without `methods` takes."""

NEVER_FORWARDED: Final = frozenset({"CONNECT", "TRACE", "PRI", "*"})
"""Registered too: one asks for a tunnel, one shows what proxies add, and two are there so that they are never used."""
