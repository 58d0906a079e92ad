"""control-plane.yaml: the audit log."""

from __future__ import annotations

from pydantic import Field

from gateway.config.models.audit import AuditKey
from gateway.config.models.base import Section
from gateway.config.values.kinds import Unset


class AuditSettings(Section):
    """The log of who changed what, which is in the database."""

    key: Unset[AuditKey] = Field(
        None,
        description="Key of its hashes (HMAC-SHA-256), best as `${file:...}`: without one, who can write into the "
        "database can forge a whole log. Set it before the first start; records from before do not hold under it.",
    )
