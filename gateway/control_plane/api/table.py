"""All routers, one line for each."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from gateway.control_plane.api import (
    audit,
    channel,
    delivery,
    drift,
    environments,
    gateway_status,
    gateways,
    join_tokens,
    mappings,
    metrics,
    observing,
    overview,
    page,
    process,
    revisions,
    rollouts,
    tokens,
)

BASE: Final = "/api/v1"
INTERNAL: Final = "/api/internal/v1"

ROUTERS: Final[tuple[APIRouter, ...]] = (
    environments.router,
    gateway_status.router,  # before /gateways/{id}
    gateways.router,
    mappings.router,
    observing.router,
    audit.router,
    overview.router,
    revisions.router,
    tokens.router,
    join_tokens.router,
    rollouts.router,
    delivery.router,
    drift.router,
)
"""Below BASE, for people and their tools: they are in the document of the API."""

INTERNAL_ROUTERS: Final[tuple[APIRouter, ...]] = (channel.router,)
"""Below INTERNAL, for gateways."""

OTHER_ROUTERS: Final[tuple[APIRouter, ...]] = (
    page.router,
    process.router,
    metrics.router,
)
"""Below nothing: the page, metrics."""

LARGE_BODIES: Final = {f"{BASE}/revisions": 24 * 1024**2, f"{BASE}/revisions/check": 24 * 1024**2}
"""Bytes of a body, at most, of paths that end so and take more than others."""
