"""`gateway serve --strict`: for supervisors that are to see a bad configuration."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import gateway

PORTS = ("--host", "127.0.0.1", "--port", "0", "--admin", "off")


def test_a_bad_configuration_is_exit_code_1(tmp_path: Path) -> None:
    """The log has every error with its place, and the last line says what ended it."""
    (tmp_path / "routes.yaml").write_text("routes:\n- path: /a\n  target: b:80\n  upstrem: x\n")
    ended = gateway("serve", "--strict", *PORTS, config=tmp_path)
    assert ended.returncode == 1
    assert "routes.yaml:4:3" in ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(
        "error: the configuration is refused, as the log says, and --strict"
    )
    assert "configuration refused, this process ends:" in ended.stderr
