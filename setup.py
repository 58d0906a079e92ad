"""Builds what is written in C (`gateway/native`), and compiles what every request passes where it is asked to.

`GATEWAY_COMPILE=1` asks for it, and mypyc does it. The sources are the same Python either way, and so is what they do:
`make test` runs the tests on both. What is written in C takes a second, and is built wherever there is a C compiler and
Python's headers; elsewhere llhttp is in its place. All else that there is to say of the package is in pyproject.toml.

`GATEWAY_PROFILE` names a directory for what GCC can learn from traffic. While it is empty, what is built records there,
when a process ends, what has run how often (`deploy/training.py` makes traffic). What is built then is arranged by it.
"""

from __future__ import annotations

import ast
import atexit
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from setuptools import Extension, setup

MODULES = """
    outbox deadlines turns driver snapshot reading/progress
    http/messages http/bodies http/fields http/forwarded http/header_filter http/answers http/decisions http/redaction
    http/addresses http/hosts http/methods http/frames http/checked_frames http/handshake
    http/problems http/parameters http/retry_after http/usual http/span http/trace_context http/model_record
    routes/table routes/trie routes/candidate routes/pattern routes/wildcards http/paths routes/rewrite routes/hosts
    routes/rule routes/conditions
    algorithms/gcra algorithms/networks algorithms/fairness algorithms/windowed_sum algorithms/retry_budget
    algorithms/weighted_draw algorithms/held_slots algorithms/peak_ewma algorithms/priorities algorithms/bounded_load
    algorithms/stable_hash algorithms/percentiles algorithms/sizes
    algorithms/circuit_breaker upstream/breaker upstream/fallback upstream/split upstream/concurrency
    algorithms/fixed_concurrency
    upstream/service upstream/health upstream/cluster upstream/retry upstream/endpoint upstream/idle_limit upstream/pool
    upstream/member upstream/remembered upstream/steps upstream/balancer upstream/outliers algorithms/outlier_detection
    upstream/connection upstream/request upstream/tunnel upstream/tunnel_side
    upstream/websocket upstream/affinity upstream/way_back upstream/sticky upstream/ejection
    upstream/http1/codec upstream/http1/awaited upstream/http1/bodies upstream/http1/failures upstream/http1/connection
    balancing/two_choices balancing/least_request balancing/peak_ewma balancing/weighted_random
    balancing/round_robin balancing/consistent_hash
    auth/scheme auth/credentials auth/api_key auth/model_keys auth/anonymous
    limits/windows limits/held_bodies algorithms/room limits/memory limits/table limits/rate_limit limits/keys
    access/entries
    middleware/variables
    llm/apis llm/usage llm/splice llm/file_kinds llm/texts llm/request llm/rewriting llm/sse llm/answers
    llm/streams/errors llm/streams/reader llm/streams/chat llm/streams/messages llm/streams/responses llm/streams/gemini
    llm/streams/other llm/streams/table llm/streams/whole llm/streams/long_events
    llm/handler llm/reading llm/choosing llm/going llm/failover llm/failures llm/answering llm/holding llm/passing
    llm/metering llm/accounting llm/providers llm/cooldown llm/speaking llm/estimate llm/prices llm/upload llm/form
    llm/usage_table llm/money llm/offering llm/naming llm/profile_bounds llm/origins llm/referring
    llm/issued llm/storing llm/concealing llm/background
    monitor/access_log monitor/log_writer monitor/traffic monitor/recent_requests monitor/model_summary
    monitor/model_traffic monitor/telemetry/span_record monitor/telemetry/methods
    app/channel app/destination app/gateway app/sending app/asgi
    server/context server/request_tasks server/channel server/head server/lingering server/accepting
    server/http1/phase server/http1/line_ends server/http1/reader server/http1/channel server/http1/websocket
    server/http1/connection
"""
"""Beside these, the policies whose declarations say `compiled=True`."""

COMPILE = os.environ.get("GATEWAY_COMPILE") == "1"
PROFILE = os.environ.get("GATEWAY_PROFILE")


def _needed() -> Sequence[str]:
    """What the compiler needs to know all types: itself, and what the gateway imports."""
    if not COMPILE:
        return ()
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    return ("mypy>=2.4,<3", "types-PyYAML", *project["dependencies"])


def compiled_policies() -> Sequence[Path]:
    """The files in which a policy is declared as compiled. They are read, not imported: nothing is installed yet."""
    return [path for path in sorted(Path("gateway/middleware").glob("*.py")) if _declares_compiled(path)]


def _declares_compiled(path: Path) -> bool:
    keywords = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword))
    return any(word.arg == "compiled" and ast.literal_eval(word.value) for word in keywords)


def _extensions() -> Sequence[Extension]:
    heads = Extension("gateway.native._heads", ["gateway/native/_heads.c"], optional=not COMPILE)
    if not COMPILE or "bdist_wheel" not in sys.argv:  # it is asked several times what the package is, and once for it
        return (heads,)
    from mypyc.build import mypycify  # noqa: PLC0415  only those who compile have it

    paths = [f"gateway/{name}.py" for name in MODULES.split()] + [str(path) for path in compiled_policies()]
    # Optimising more makes nothing faster: what is left is the work of the interpreter's own library. Warnings about
    # generated C help no one, and take the compiler longer than all the rest. All is one library: its functions call
    # each other, and the interpreter's, without the linkage tables that hold what another library may replace.
    extensions = mypycify(paths, opt_level="1", debug_level="0", group_name="gateway")
    for extension in extensions:
        extension.extra_compile_args += ["-Wno-all", "-fvisibility=hidden", "-fno-plt"]
    for extension in [*extensions, heads] if PROFILE else []:
        extension.extra_compile_args += _profiling(Path(PROFILE))
        extension.extra_link_args += _profiling(Path(PROFILE))
    return [*extensions, heads]


def _profiling(directory: Path) -> Sequence[str]:
    """The flags of GCC that record into it, or use what is there. What the traffic did not reach is compiled as ever:
    without the flag for that, it would be compiled for size."""
    if not any(directory.rglob("*.gcda")):
        return (f"-fprofile-generate={directory.resolve()}", "-fprofile-update=single")
    used = f"-fprofile-use={directory.resolve()}"
    return (used, "-fprofile-partial-training", "-freorder-functions", "-Wno-missing-profile")


def _options() -> Mapping[str, Mapping[str, str]]:
    """Where nothing is compiled, a wheel is made in a new directory: what an earlier build left in `build`, such as
    compiled modules of older sources, would be in it."""
    if COMPILE:
        return {"build_ext": {"force": "1"}} if PROFILE else {}  # what records has the same sources as what uses that
    directory = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return {"build": {"build_base": directory}}


setup(ext_modules=list(_extensions()), setup_requires=list(_needed()), options=_options())
