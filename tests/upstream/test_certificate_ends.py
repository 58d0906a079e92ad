"""What `gateway check` says of TLS to backends that fails soon, or proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from tests.upstream.test_tls import certificate


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    certificate(tmp_path, "whole", "", 30, None)
    for name, days in (("soon", 3), ("ended", -1)):
        certificate(tmp_path, name, "DNS:a.test\nbasicConstraints=critical,CA:TRUE", days, "whole")
    return tmp_path


def _check(directory: Path, tls: str, capsys: pytest.CaptureFixture[str]) -> str:
    service = f"{{endpoints: [127.0.0.1:1], protocol: https, tls: {{{tls}}}}}"
    (directory / "routes.yaml").write_text(f"services: {{s: {service}}}\nroutes: [{{path: /*, target: s}}]\n")
    main(["check", "--config", str(directory)], standalone_mode=False)
    return capsys.readouterr().err


def test_certificates_that_end_soon_or_have_ended_are_warned_of(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Authorities and the gateway's own, with the time; those that hold for long are not."""
    found = _check(directory, "ca: ended.pem, certificate_file: soon.pem, key_file: soon.key", capsys)
    assert "services.s.tls.ca: a certificate in ended.pem has ended at 2" in found
    assert "services.s.tls.certificate_file: a certificate in soon.pem ends at 2" in found
    assert "renew it" in found
    assert "renew" not in _check(directory, "ca: whole.pem, certificate_file: whole.pem, key_file: whole.key", capsys)


def test_certificates_that_nobody_verifies_are_warned_of(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As anything could answer in the place of the backend."""
    assert "services.s.tls.verify: anyone on the way to it can answer" in _check(directory, "verify: false", capsys)
    assert "services.s.tls.verify" not in _check(directory, "verify: true", capsys)


@pytest.mark.parametrize("content", ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", None])
def test_authorities_that_cannot_be_read_are_named_with_the_remedy(
    directory: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A certificate that is cut off, and a file that is not there."""
    if content is not None:
        (directory / "ca.pem").write_text(content)
    service = "{endpoints: [127.0.0.1:1], protocol: https, tls: {ca: ca.pem}}"
    (directory / "routes.yaml").write_text(f"services: {{s: {service}}}\nroutes: [{{path: /*, target: s}}]\n")
    with pytest.raises(SystemExit):
        main(["check", "--config", str(directory)])
    missing = "No such file or directory; create it, or correct the path"
    broken = "it has no whole certificate in PEM; put in those of the authorities that are to be trusted"
    assert f"services.s.tls.ca: ca.pem cannot be used: {missing if content is None else broken}" in (
        capsys.readouterr().err
    )
