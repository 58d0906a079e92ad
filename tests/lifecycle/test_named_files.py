"""Files that the configuration names beside its own: their contents count like its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from gateway.check import check
from tests.auth.schemes_support import certificate
from tests.auth.support import pem
from tests.lifecycle.support import answers, get, health
from tests.support import GatewayProcess, eventually, running_gateway, until

ROUTES = "routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:one\n"
TLS = (
    ROUTES
    + """\
- {path: /y, target: s}
services:
  s: {endpoints: ['127.0.0.1:1'], protocol: https, tls: {ca: ca.pem}}
"""
)
KEY_FILE = """
schemes: {login: {jwt: {issuers: [{issuer: i, audiences: [a], algorithms: [EdDSA], key_file: key.pem}]}}}
"""


def ca(name: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    return certificate(name).public_bytes(Encoding.PEM).decode()


def key() -> str:
    return pem(ed25519.Ed25519PrivateKey.generate())


async def test_what_a_value_is_taken_from_is_watched(tmp_path: Path) -> None:
    """New contents of a `${file:...}` are taken without a signal; so are those of a file that was missing."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "name").write_text("one")
    process = GatewayProcess(config)
    process.write("routes:\n- path: /x\n  target: asgi:tests.lifecycle.apps:${file:name}\n")
    try:
        process.start()
        (config / "name").write_text("two")
        await answers(process, "/x", "two")
        (config / "name").unlink()
        await eventually(lambda: "name" in str(health(process)["errors"]))
        (config / "name").write_text("one")
        await answers(process, "/x", "one")
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("file", "make", "routes", "auth"),
    [("ca.pem", lambda: ca("a"), TLS, None), ("key.pem", key, ROUTES, KEY_FILE)],
    ids=["tls.ca", "key_file"],
)
async def test_certificates_and_keys_are_watched(
    tmp_path: Path, file: str, make: object, routes: str, auth: str | None
) -> None:
    """A replaced one is applied, a broken one refused, and the same again is no reload."""
    assert callable(make)
    config = tmp_path / "config"
    config.mkdir()
    (config / file).write_text(make())
    process = GatewayProcess(config)
    process.write(routes, auth=auth)
    try:
        process.start()
        content = make()
        (config / file).write_text(content)
        await eventually(lambda: health(process)["reloads"] == 1)
        (config / file).write_text(content)
        await asyncio.sleep(1.2)
        assert health(process)["reloads"] == 1
        (config / file).write_text("nothing of the kind")
        await eventually(lambda: file in str(health(process)["errors"]) or "key" in str(health(process)["errors"]))
        assert get(process, "/x").text == "one"
        (config / file).write_text(make())
        await eventually(lambda: health(process)["reloads"] == 2 and not health(process)["errors"])
    finally:
        process.stop()


@pytest.mark.parametrize("content", ["", "\n", "# comment\n", "-----BEGIN NOTHING-----\n-----END NOTHING-----\n"])
def test_a_ca_file_without_certificates_is_refused(tmp_path: Path, content: str) -> None:
    """It trusts no certificates, and must not fall back to those of the system."""
    (tmp_path / "routes.yaml").write_text(TLS)
    (tmp_path / "ca.pem").write_text(content)
    problems = [str(problem) for problem in check(tmp_path, {})]
    assert len(problems) == 1
    assert problems[0].startswith("routes.yaml:6:58: services.s.tls.ca: ca.pem cannot be used: ")


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ("audit_log: {file: routes.yaml}", "audit_log.file: this file cannot be written: it is routes.yaml"),
        ("audit_log: {file: ./middleware.yaml}", "it is middleware.yaml"),
        ("audit_log: {file: auth.yaml}", "it is auth.yaml"),  # which is not there
        ("audit_log: {file: routes.log.yaml}", "once written, routes.log.yaml would be a file of routes"),
        ("access_log: {output: BASE/routes.log.yaml}", "once written, routes.log.yaml would be a file of routes"),
        ("audit_log: {file: link}", "it is routes.yaml"),
        ("audit_log: {file: hard}", "it is routes.yaml"),
        ("audit_log: {file: secret, key: '${file:secret}'}", "it is secret"),
        ("access_log: {output: BASE/routes.yaml}", "access_log.output: this file cannot be written: it is routes.yaml"),
        ("{audit_log: {file: a.log}, access_log: {output: BASE/a.log}}", "audit_log.file writes it, too"),
        ("{audit_log: {file: q}, state_directory: ., quotas: {m: {limit: 1, window: day, file: q}}}", "writes it, too"),
        ("{state_directory: ., quotas: {m: {limit: 1, window: day, file: routes.yaml}}}", "it is routes.yaml"),
        ("{state_directory: ., quotas: {m: {limit: 1, window: day, file: blocklist.sqlite}}}", "writes it, too"),
        ("{state_directory: ., audit_log: {file: blocklist.sqlite-wal}}", "writes it, too"),
        ("{state_directory: ., audit_log: {file: admin-token}}", "state_directory writes it, too"),
        ("quotas: {m: {limit: 1, window: day, file: registry.sqlite}}", "state_directory writes it, too"),
        ("quotas: {m: {limit: 1, window: day, file: sticky-key}}", "state_directory writes it, too"),
        ("audit_log: {file: state/mcp-key}", "state_directory writes it, too"),
        ("quotas: {m: {limit: 1, window: day, file: takeover.socket}}", "takeover.socket of state_directory"),
        ("audit_log: {file: state/control-plane/identity.json}", "control-plane of state_directory is"),
        ("access_log: {output: state/agents/status-auth.json}", "agents of state_directory is the gateway's own"),
        ("state_directory: routes.yaml", "state_directory: BASE/routes.yaml is not a directory"),
        ("state_directory: link/state", "state_directory: BASE/link is not a directory"),
        ("audit_log: {file: pipe}", "audit_log.file: this file cannot be written: pipe is no regular file"),
        ("audit_log: {file: .}", "is no regular file"),
        ("access_log: {output: BASE}", "access_log.output: this file cannot be written"),
    ],
)
def test_what_is_written_is_not_what_is_read(tmp_path: Path, middleware: str, expected: str) -> None:
    """No output is a file of the configuration or one that it names, nor another output, whatever it is called."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "secret").write_text("a secret of so many characters that it does\n")
    (tmp_path / "link").symlink_to("routes.yaml")
    (tmp_path / "hard").hardlink_to(tmp_path / "routes.yaml")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "middleware.yaml").write_text(middleware.replace("BASE", str(tmp_path)))
    problems = [str(problem) for problem in check(tmp_path, {}) if problem.severity == "error"]
    assert len(problems) == 1, problems
    assert expected.replace("BASE", str(tmp_path)) in problems[0]
    assert problems[0].startswith("middleware.yaml:1:")


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        ("state_directory: pipe", "state_directory: BASE/pipe is not a directory, so that nothing is kept"),
        ("{state_directory: ., quotas: {m: {limit: 1, window: day, file: pipe}}}", "pipe is no regular file, so that"),
    ],
)
def test_check_warns_where_nothing_can_be_kept(tmp_path: Path, middleware: str, expected: str) -> None:
    """It can be served all the same."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "middleware.yaml").write_text(middleware)
    problems = check(tmp_path, {})
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert any(expected.replace("BASE", str(tmp_path)) in str(problem) for problem in problems), problems


def test_outputs_that_differ_are_fine(tmp_path: Path) -> None:
    """Quotas may share a file, and everything may go to a device."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    text = "{audit_log: {file: a.log}, access_log: {output: /dev/null}, "
    text += "quotas: {m: {limit: 1, window: day}, n: {limit: 1, window: month}}}"
    (tmp_path / "middleware.yaml").write_text(text)
    assert [problem for problem in check(tmp_path, {}) if problem.severity == "error"] == []


def test_a_gateway_whose_log_would_be_its_routes_does_not_start_to_serve(tmp_path: Path) -> None:
    """The routes are as they were."""
    with running_gateway(tmp_path, ROUTES, "audit_log: {file: routes.yaml}", ready=False) as process:
        assert "audit_log.file" in str(health(process)["errors"])
        assert (process.directory / "routes.yaml").read_text() == ROUTES


def test_a_changed_password_file_is_taken_without_a_signal(tmp_path: Path) -> None:
    """Users in the file are admitted, and no longer once they are removed."""
    config = tmp_path / "config"
    config.mkdir()
    line = "{}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"  # password
    (config / "users").write_text(line.format("alice"))
    auth = "default: s\nschemes: {s: {basic: {htpasswd: users}}}\n"
    with (
        running_gateway(tmp_path, "routes: [{path: /x, redirect: /y}]", auth=auth) as gateway,
        httpx2.Client() as client,
    ):

        def status(user: str) -> int:
            return client.get(f"{gateway.url}/x", auth=(user, "password")).status_code

        assert [status("alice"), status("bob")] == [307, 401]
        (config / "users").write_text(line.format("bob"))
        until(lambda: status("bob") == 307)
        assert status("alice") == 401
