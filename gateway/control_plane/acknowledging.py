"""Acknowledgements of deployments by gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from gateway.control_messages import DeploymentAck
from gateway.control_plane.database.tables import Deployment
from gateway.control_plane.events import Event
from gateway.control_plane.tokens import GatewayCaller
from gateway.control_plane.wanted import KIND

if TYPE_CHECKING:
    from gateway.control_plane.plane import Plane


async def acknowledge(plane: Plane, caller: GatewayCaller, ack: DeploymentAck) -> None:
    """Record the result of a deployment. For a Flowmaster gateway the heartbeats decide; the call only announces
    that a new one is due. Raises DatabaseUnavailable."""
    try:
        deployment = UUID(ack.deployment_id)
    except ValueError:
        return
    now = plane.now()
    async with plane.database.transaction() as session:
        row = await session.get(Deployment, deployment)
        if row is None or row.gateway_uuid != caller.gateway:
            return
        environment = row.environment_uuid
        if row.kind != KIND:
            done = "undeployed" if ack.action == "undeploy" else "deployed"
            row.state = done if ack.status == "success" else "failed"
            row.error = None if ack.status == "success" else (ack.error.message if ack.error else ack.error_code)
            row.updated_at = now
    details = {"deployment": str(deployment), "status": ack.status, "revision": ack.artifact_id}
    plane.events.publish(Event("gateway.deployment", caller.organization, now, caller.gateway, environment, details))
