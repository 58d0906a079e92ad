"""What runs the gateway: for `gateway --version`, and for who compares measurements."""

from __future__ import annotations

import platform
import sys
import sysconfig

from gateway.http import messages
from gateway.native import plain_request


def described() -> str:
    """What decides how fast it is: whether the request path is compiled, what reads heads, the interpreter and how that
    was built."""
    made = "interpreted" if (messages.__file__ or "").endswith(".py") else "compiled"
    heads = "heads by llhttp" if plain_request is None else "heads in C"
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    flags = f"{sysconfig.get_config_var('PY_CFLAGS') or ''} {sysconfig.get_config_var('PY_CORE_CFLAGS') or ''}".split()
    levels = [flag for flag in flags if flag.startswith("-O")]
    # Debian and Ubuntu build with profiles and keep that out of what `sysconfig` says.
    packaged = sys.base_prefix == "/usr" and "'--with-dbmliborder=bdb:gdbm'" in arguments
    if "--enable-optimizations" in arguments or any(flag.startswith("-fprofile-use") for flag in flags):
        profile = "PGO"
    else:
        profile = "PGO, as Debian builds it" if packaged else "no PGO"
    linked = ["LTO"] if "--with-lto" in arguments or any(flag.startswith("-flto") for flag in flags) else []
    build = ", ".join([profile, *linked, *levels[-1:]])
    return f"{made}, {heads}, {platform.python_implementation()} {platform.python_version()} ({build})"
