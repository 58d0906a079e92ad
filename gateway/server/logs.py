"""The logs of a process, and how they follow the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.config.models import AccessLog as AccessLogConfig
from gateway.config.problems import ConfigError, Problem
from gateway.http import Report
from gateway.live import Owner, Plan
from gateway.monitor.access_log import SERVICE as ACCESS_LOG
from gateway.monitor.access_log import AccessLog, AccessLogSettings, check_output
from gateway.monitor.audit_log import SERVICE as AUDIT_LOG
from gateway.monitor.audit_log import AuditLog, AuditSettings
from gateway.monitor.log_writer import STANDARD
from gateway.monitor.process_log import SERVICE as PROCESS_LOG
from gateway.monitor.process_log import ProcessLog
from gateway.monitor.telemetry.exports import line_sink
from gateway.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Logs:
    """All three, and what the command line says of them."""

    access: AccessLog
    audit: AuditLog
    process: ProcessLog
    format: str | None

    def reopen(self) -> None:
        """The files were moved away (SIGUSR1): go on in new ones."""
        self.access.reopen()
        self.audit.reopen()

    def change(self, directory: Path, reports: list[Report], snapshot: Snapshot, plan: Plan) -> Callable[[], None]:
        """The logs for a new configuration. Raises ConfigError if one cannot be opened.

        The audit log is among `reports` only while there is one: it need not be called with every request otherwise.
        """
        audit_settings = settings_of_audit_log(directory, snapshot, self.audit.settings)
        access_settings = _settings_of_access_log(self.access.settings, self.format, snapshot)

        sink = line_sink(snapshot.configuration, plan)

        def change() -> None:
            self.access.sink = sink
            if access_settings != self.access.settings:
                self.access.change(access_settings)
            self.process.console = access_settings.format == "console"
            self.audit.configure(audit_settings)
            reports[:] = [report for report in reports if report != self.audit.report]
            if audit_settings is not None:
                reports.append(self.audit.report)

        return change


def logs_of(owner: Owner, process: ProcessLog, log_format: str | None) -> Logs:
    """Those of a process that begins, which its owner asks how they are."""
    access = owner.hold(ACCESS_LOG, AccessLog(access_log_settings(AccessLogConfig.unset(), log_format)))
    return Logs(access, owner.hold(AUDIT_LOG, AuditLog()), owner.hold(PROCESS_LOG, process), log_format)


def access_log_settings(config: AccessLogConfig, log_format: str | None) -> AccessLogSettings:
    """The settings of middleware.yaml, or of the command line."""
    console = (log_format or config.format) == "console"
    # By status. What is said of one goes before what is said of its class.
    shares: dict[int, float] = {}
    for statuses, percent in sorted(config.sample.items(), key=lambda item: item[0].isdigit()):
        first = int(statuses.replace("x", "0"))
        for status in range(first, first + (1 if statuses.isdigit() else 100)):
            shares[status] = percent / 100
    return AccessLogSettings(config.output, "console" if console else "json", () if console else config.fields, shares)


def _settings_of_access_log(former: AccessLogSettings, log_format: str | None, snapshot: Snapshot) -> AccessLogSettings:
    """Where a new configuration wants it. Raises ConfigError where that cannot be written."""
    configuration = snapshot.configuration
    settings = access_log_settings(configuration.middleware.access_log, log_format)
    concealed = snapshot.credentials.headers & {b"user-agent", b"referer"}
    output = settings.output if settings.output in STANDARD else str(configuration.base / settings.output)
    settings = replace(settings, output=output, concealed=concealed)
    try:
        if settings != former:
            check_output(settings)
    except OSError as error:
        message = f"{settings.output} cannot be written: {error.strerror}; correct the path or its permissions"
        line, column = configuration.locate("middleware.yaml", ("access_log", "output"))
        raise ConfigError([Problem("middleware.yaml", line, column, "access_log.output", message)]) from None
    return settings


_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


def settings_of_audit_log(base: Path, snapshot: Snapshot, former: AuditSettings | None) -> AuditSettings | None:
    """Where a new configuration wants it; None: nowhere. Raises ConfigError where that cannot be written."""
    config = snapshot.configuration.middleware.audit_log
    if config.file is None:
        return None
    key = config.key.get_secret_value().encode() if config.key is not None else None
    settings = AuditSettings(base / config.file, key, config.rotate_size)
    if settings != former:
        try:
            os.close(os.open(settings.path, _FLAGS, 0o640))
        except OSError as error:
            message = f"{settings.path} cannot be written: {error.strerror}; correct the path or its permissions"
            line, column = snapshot.configuration.locate("middleware.yaml", ("audit_log", "file"))
            raise ConfigError([Problem("middleware.yaml", line, column, "audit_log.file", message)]) from None
    return settings
