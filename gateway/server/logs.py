"""From the configuration to where the access log and the audit log go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.build import Snapshot
from gateway.config.models import AccessLog as AccessLogConfig
from gateway.config.problems import ConfigError, Problem
from gateway.http import Report
from gateway.monitor.access_log import STANDARD, AccessLog, AccessLogSettings, check_output
from gateway.monitor.audit_log import AuditLog
from gateway.server.audit import settings_of_audit_log


def access_log_settings(config: AccessLogConfig, log_format: str | None) -> AccessLogSettings:
    """What middleware.yaml says, or the command line."""
    console = (log_format or config.format) == "console"
    return AccessLogSettings(config.output, "console" if console else "json")


def change_of_logs(
    access_log: AccessLog,
    audit_log: AuditLog,
    reports: list[Report],
    directory: Path,
    log_format: str | None,
    snapshot: Snapshot,
) -> Callable[[], None]:
    """What lets both logs go where a new configuration wants them. Raises ConfigError where one cannot.

    The audit log is among `reports` only while there is one: it need not be called with every request otherwise.
    """
    audit_settings = settings_of_audit_log(directory, snapshot, audit_log.settings)
    access_settings = _settings_of_access_log(access_log.settings, log_format, snapshot)

    def change() -> None:
        if access_settings != access_log.settings:
            access_log.change(access_settings)
        audit_log.configure(audit_settings)
        reports[:] = [report for report in reports if report != audit_log.report]
        if audit_settings is not None:
            reports.append(audit_log.report)

    return change


def _settings_of_access_log(former: AccessLogSettings, log_format: str | None, snapshot: Snapshot) -> AccessLogSettings:
    """Where a new configuration wants it. Raises ConfigError where that cannot be written."""
    configuration = snapshot.configuration
    settings = access_log_settings(configuration.middleware.access_log, log_format)
    if settings.output not in STANDARD:
        settings = replace(settings, output=str(configuration.base / settings.output))
    try:
        if settings != former:
            check_output(settings)
    except OSError as error:
        message = f"{settings.output} cannot be written: {error.strerror}; correct the path or its permissions"
        line, column = configuration.locate("middleware.yaml", ("access_log", "output"))
        raise ConfigError([Problem("middleware.yaml", line, column, "access_log.output", message)]) from None
    return settings
