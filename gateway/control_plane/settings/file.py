"""control-plane.yaml, as a whole."""

from __future__ import annotations

from pydantic import Field, SecretStr

from gateway.config.models.base import Section
from gateway.config.values.kinds import Several, Text, Unset
from gateway.control_plane.settings.adapter import DEFAULT_NETWORKS, AdapterSettings, Networks
from gateway.control_plane.settings.alerts import ControlPlaneAlerts
from gateway.control_plane.settings.audit import AuditSettings
from gateway.control_plane.settings.roles import RoleGrant


class GatewaySection(Section):
    """Settings of gateways."""

    adapter: AdapterSettings = Field(AdapterSettings(), description="How they are reached.")


class ControlPlaneFile(Section):
    """Settings of the control plane; every key is optional."""

    gateway: GatewaySection = Field(GatewaySection(), description="What concerns the gateways.")
    networks: Networks = Field(
        DEFAULT_NETWORKS,
        description="Where gateways and their provider may be. Addresses of metadata services never are.",
    )
    alerts: ControlPlaneAlerts = Field(
        ControlPlaneAlerts(), description="Receivers of alerts about gateways that fail."
    )
    roles: Several[RoleGrant] = Field((), description="Roles and permissions; auth.yaml authenticates callers.")
    hosts: Several[Text] = Field((), description="Names, beside the addresses, by which the control plane is reached.")
    audit: AuditSettings = Field(AuditSettings(), description="The log of who changed what.")
    database: Unset[SecretStr] = Field(
        None,
        description="Where everything is kept. Unset: a file of SQLite in the state directory.",
        examples=["postgresql://control-plane:${DATABASE_PASSWORD}@db.example/control-plane"],
    )
    state_directory: Text = Field("state", description="Directory of what outlives a restart, kept and writable.")
