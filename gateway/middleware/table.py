"""All policies, outermost first: the order in which an exchange passes them, unless middleware.yaml has an `order`."""

from __future__ import annotations

from gateway.middleware import (
    audit_gate,
    authentication,
    authorization,
    blocklist,
    body_limit,
    cache,
    compression,
    content_types,
    cors,
    headers,
    ip_allow,
    load_shedding,
    maintenance,
    python_policy,
    quota,
    rate_limit,
    request_id,
    trace,
)
from gateway.middleware.declaration import Declaration

POLICIES: tuple[Declaration, ...] = (
    request_id.DECLARATION,
    trace.DECLARATION,
    audit_gate.DECLARATION,
    load_shedding.DECLARATION,
    maintenance.DECLARATION,
    blocklist.DECLARATION,
    ip_allow.DECLARATION,
    cors.DECLARATION,
    headers.OF_RESPONSES,
    compression.DECLARATION,
    authentication.DECLARATION,
    blocklist.OF_CONSUMERS,
    authorization.DECLARATION,
    content_types.DECLARATION,
    body_limit.DECLARATION,
    rate_limit.DECLARATION,
    quota.DECLARATION,
    headers.OF_REQUESTS,
    python_policy.DECLARATION,
    cache.DECLARATION,
)
