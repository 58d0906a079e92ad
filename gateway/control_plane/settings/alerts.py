"""control-plane.yaml: which alerts are sent, and where."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from gateway.config.models.alert_senders import AlertSender
from gateway.config.models.alerts import Alerts
from gateway.config.models.base import Section
from gateway.config.models.policy import Named
from gateway.config.values.addresses import HttpUrl
from gateway.config.values.kinds import Several, Unset
from gateway.config.values.quantities import Duration

Builtin = Literal["gateway_error", "gateway_drift", "rollout_failed"]

ALL: Final[tuple[Builtin, ...]] = ("gateway_error", "gateway_drift", "rollout_failed")


class ControlPlaneAlerts(Section):
    """Messages to people about gateways: the senders are those of `alerts` in middleware.yaml (docs/alerts.md)."""

    builtin: Several[Builtin] = Field(
        ALL,
        description="`gateway_error`: a gateway is in ERROR. `gateway_drift`: for more than a minute it has run "
        "another revision than it is to run. `rollout_failed`: a rollout went back, or could not end.",
    )
    send: Named[AlertSender] = Field({}, description="Receivers, by names of yours.")
    repeat: Duration = Field(4 * 3600, description="The interval after which an alert that still fires is sent again.")
    link: Unset[HttpUrl] = Field(None, description="Where people find the page of the control plane.")

    def as_alerts(self) -> Alerts:
        """The same, as the monitor knows it."""
        values: dict[str, Any] = {
            "rules": {},
            "builtin": self.builtin,
            "send": self.send,
            "repeat": self.repeat,
            "link": self.link,
        }
        return Alerts.model_construct(None, **values)
