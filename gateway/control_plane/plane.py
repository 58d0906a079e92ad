"""State that all parts of the control plane share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

from fastapi import Depends
from starlette.requests import HTTPConnection

from gateway.control_plane.access import Access
from gateway.control_plane.adapters.protocol import Adapter
from gateway.control_plane.beside import Beside
from gateway.control_plane.channel import Channel
from gateway.control_plane.credentials import CredentialKeys
from gateway.control_plane.database.connection import Database
from gateway.control_plane.database.tables import now
from gateway.control_plane.events import Events
from gateway.control_plane.metrics import Metrics
from gateway.control_plane.settings.file import ControlPlaneFile


@dataclass(frozen=True, slots=True)
class Plane:
    """One control plane: its settings, its database, its adapter, and who may call it."""

    settings: ControlPlaneFile
    directory: Path  # of control-plane.yaml and auth.yaml
    state: Path  # of what outlives a restart
    database: Database
    access: Access
    adapter: Adapter
    keys: CredentialKeys  # of the credentials of gateways
    organizations: Mapping[str, UUID]  # by name; those that `roles` names, and the default one
    events: Events = field(default_factory=Events)
    channel: Channel = field(default_factory=Channel)  # gateways that talk to this process
    metrics: Metrics = field(default_factory=Metrics)
    beside: Beside = field(default_factory=Beside)  # checks and comparisons of revisions
    now: Callable[[], datetime] = now
    ending: asyncio.Event = field(default_factory=asyncio.Event)  # set when the process is to end: what waits answers


async def plane_of(connection: HTTPConnection) -> Plane:
    """The control plane of the application that a request has come to."""
    return cast(Plane, connection.app.state.plane)


ThePlane = Annotated[Plane, Depends(plane_of)]
"""The parameter of a handler: the control plane."""
