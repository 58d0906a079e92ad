"""The messages between discovery, router, auth and monitor, as they come over the admin API (JSON)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict


class Message(BaseModel):
    """Frozen, without unknown keys and without conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ServiceRegistry(Message):
    """`service-registry`, from discovery to the router: all instances of a service, from now on.

    {"service": "user-api", "instances": [{"host": "10.0.1.5", "port": 8080, "health": "passing"}]}
    """

    service: str
    instances: Annotated[tuple[str | dict[str, Any], ...], Strict(False)]


class HealthFeedback(Message):
    """`health-feedback`, from a monitor to discovery: what it sees of an instance. It holds for a minute.

    {"service": "user-api", "instance": "10.0.1.6:8080", "status": "failing", "error_rate": 0.42}
    """

    service: str
    instance: str  # host:port
    status: Literal["failing", "passing"]
    error_rate: float | None = Field(None, ge=0, le=1)
