"""The command as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.forking import fork

SAMPLE = """\
base_path: /api
accept_rewritten: true
routes:
- path: /v1/process-design/*
  id: design
  target: 127.0.0.1:9003
  rewrite: /api/v1/processes/$1
- path: /v1/process-design/{id}/pdf
  id: pdf
  target: 127.0.0.1:9004
  methods: [GET]
- path: /v1/process-design/{id}/pdf
  id: draft
  target: 127.0.0.1:9004
  methods: [GET]
  headers: {x-stage: draft}
- path: /files/*
  target: files
  allow_encoded_slashes: true
  strip_prefix: /files
  timeout: 2s
- path: /app
  host: "*.example.com"
  target: asgi:tests.lifecycle.apps:one
services:
  files:
    endpoints: [127.0.0.1:9005, "[::1]:9006"]
"""


def gateway(
    *arguments: str, config: Path | None = None, given: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `gateway` with these arguments; `given` is its standard input, `environment` what it has besides ours."""
    environment = {**os.environ, **({"GATEWAY_CONFIG": str(config)} if config else {}), **(environment or {})}
    command = [sys.executable, "-m", "gateway.cli", *arguments]
    if given is None and (ended := _forked(arguments, environment)) is not None:
        return ended
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment, input=given
    )


def _forked(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str] | None:
    with TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        for file in (out, err):
            file.touch()
        process = fork(arguments, environment, out, err)
        if process is None:
            return None
        code = process.wait(120)
        return subprocess.CompletedProcess(list(arguments), code, out.read_text(), err.read_text())


def configured(directory: Path, routes: str = SAMPLE) -> Path:
    """A directory with this routes.yaml."""
    (directory / "routes.yaml").write_text(routes)
    return directory
