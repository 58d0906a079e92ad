"""From the configuration to the settings of the audit log."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.build import Snapshot
from gateway.config.problems import ConfigError, Problem
from gateway.monitor.audit_log import AuditSettings

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
