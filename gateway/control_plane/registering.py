"""Gateways come, change and go: first the adapter is asked, then all is written in one transaction.

Nothing of the database is held while a gateway, or its provider, is asked: that takes as long as it takes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.control_plane import audit, environments, gateways
from gateway.control_plane.adapters.protocol import AdapterError, GatewaySpec, Registered
from gateway.control_plane.callers import Caller
from gateway.control_plane.credentials import gateway_spec, removal_spec, shown, stored
from gateway.control_plane.database.tables import Environment, Gateway, GatewayHealth
from gateway.control_plane.etags import confirm
from gateway.control_plane.events import Event
from gateway.control_plane.plane import Plane
from gateway.control_plane.problems import FieldError, Problem

logger = logging.getLogger("gateway.control_plane")


@dataclass(frozen=True, slots=True)
class NewGateway:
    """A gateway to register. `validate`: only if it can be reached."""

    name: str
    display_name: str
    gateway_type: str
    environments: Sequence[UUID]
    config: Mapping[str, Any]
    validate: bool = True


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """The changes; None: unchanged."""

    display_name: str | None
    config: Mapping[str, Any] | None
    if_match: tuple[str, ...] | None
    validate: bool = True


def problem_of(error: AdapterError) -> Problem:
    """A failure of an adapter, as an error for the caller."""
    errors = [FieldError(each.field, each.message) for each in error.errors]
    detail = str(error)
    if errors and errors[0].message not in detail:
        detail += ": " + "; ".join(f"{each.field}: {each.message}" for each in errors[:3])
    return Problem(error.status, detail, errors, members={"reason": error.reason})


async def register(plane: Plane, caller: Caller, wanted: NewGateway) -> Gateway:
    """A new gateway: there, with all its environments, or not at all. Raises Problem."""
    async with plane.database.reading() as session:
        gateways.require(caller, "admin", await environments.these(session, caller, wanted.environments))
        if await gateways.of_name(session, caller.organization, wanted.name) is not None:
            raise gateways.taken(wanted.name)
    gateway = Gateway(
        uuid=uuid4(),
        organization_uuid=caller.organization,
        name=wanted.name,
        display_name=wanted.display_name,
        gateway_type=wanted.gateway_type,
        adapter_config=_stored(plane, wanted.config, None),
        status="INACTIVE",
    )
    gateway.control_plane_url = _url(gateway)
    spec, registered = await _registered(plane, gateway, validate=wanted.validate)
    _take(gateway, registered)
    try:
        async with plane.database.transaction() as session:
            among = await environments.these(session, caller, wanted.environments)
            gateways.require(caller, "admin", among)
            await gateways.add(session, gateway, [environment.uuid for environment in among])
            if registered.probed_url is not None:
                session.add(_first_probe(plane, gateway, registered))
            await _record(session, caller, "create", gateway, among)
    except BaseException:
        # Deregister a gateway that could not be written to the database.
        with suppress(AdapterError):
            await plane.adapter.deregister(spec)
        raise
    plane.events.publish(Event("gateway.created", caller.organization, plane.now(), gateway.uuid))
    return gateway


async def change(plane: Plane, caller: Caller, uuid: UUID, wanted: GatewayChange) -> Gateway:
    """Another name for people, or another way to reach it, where it is seen to be there. Raises Problem."""
    async with plane.database.reading() as session:
        gateway = await _changeable(session, caller, uuid, wanted)
    registered = None
    if wanted.config is not None:
        registered = await _updated(plane, gateway, wanted.config, validate=wanted.validate)
    async with plane.database.transaction() as session:
        gateway = await _changeable(session, caller, uuid, wanted, lock=True)
        if wanted.display_name is not None:
            gateway.display_name = wanted.display_name
        if wanted.config is not None:
            gateway.adapter_config = _stored(plane, wanted.config, gateway.adapter_config)
            if registered is not None:
                # The provider decides about what it makes; of all others the health job does.
                provided = "PROVISIONING" in (gateway.status, registered.status)
                status: Any = registered.status if provided else gateway.status
                _take(gateway, replace(registered, status=status))
            gateway.control_plane_url = _url(gateway)
        await session.flush()
        await session.refresh(gateway)
        await _record(session, caller, "update", gateway, ())
    plane.events.publish(Event("gateway.changed", caller.organization, plane.now(), gateway.uuid))
    return gateway


async def remove(plane: Plane, caller: Caller, uuid: UUID, if_match: tuple[str, ...] | None) -> None:
    """Take a gateway away on which nothing is deployed. Raises Problem."""
    async with plane.database.reading() as session:
        gateway = await _removable(session, caller, uuid, if_match)
    try:
        await plane.adapter.deregister(removal_spec(gateway, plane.keys))
    except AdapterError as error:
        raise problem_of(error) from None
    async with plane.database.transaction() as session:
        gateway = await _removable(session, caller, uuid, if_match, lock=True)
        await session.delete(gateway)
        await _record(session, caller, "delete", gateway, ())
    plane.events.publish(Event("gateway.deleted", caller.organization, plane.now(), uuid))


def _stored(plane: Plane, given: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        return stored(given, before, plane.keys)
    except AdapterError as error:
        raise problem_of(error) from None


def _url(gateway: Gateway) -> str | None:
    url = (gateway.adapter_config or {}).get("controlPlaneUrl")
    return url if isinstance(url, str) else None


async def _registered(plane: Plane, gateway: Gateway, *, validate: bool) -> tuple[GatewaySpec, Registered]:
    """Raises Problem."""
    try:
        spec = gateway_spec(gateway, plane.keys)
        _check(plane, spec)
        if validate or plane.adapter.type == "cloud":  # where registering is what makes the gateway
            return spec, await plane.adapter.register(spec)
    except AdapterError as error:
        raise problem_of(error) from None
    return spec, _unseen(gateway)


async def _updated(plane: Plane, before: Gateway, config: Mapping[str, Any], *, validate: bool) -> Registered:
    """Raises Problem."""
    kept = _stored(plane, config, before.adapter_config)
    after = Gateway(
        uuid=before.uuid,
        name=before.name,
        display_name=before.display_name,
        gateway_type=before.gateway_type,
        adapter_config=kept,
        endpoint=before.endpoint,
        region=before.region,
        status=before.status,
    )
    try:
        spec = gateway_spec(after, plane.keys)
        _check(plane, spec)
        if validate or plane.adapter.type == "cloud":
            former = replace(spec, config=shown(before.adapter_config))
            return await plane.adapter.update(former, shown(kept))
    except AdapterError as error:
        raise problem_of(error) from None
    return _unseen(after)


def _check(plane: Plane, spec: GatewaySpec) -> None:
    errors = plane.adapter.validate(spec.config, spec.credentials)
    if errors:
        raise AdapterError("invalid", "; ".join(f"{each.field}: {each.message}" for each in errors[:3]), errors)


def _unseen(gateway: Gateway) -> Registered:
    """The observation of a gateway that was not called."""
    config = gateway.adapter_config or {}
    endpoint, region = config.get("endpoint") or config.get("controlPlaneUrl"), config.get("region")
    return Registered(endpoint, region if isinstance(region, str) else None, "INACTIVE")


def _take(gateway: Gateway, registered: Registered) -> None:
    gateway.adapter_config = {**(gateway.adapter_config or {}), **registered.config}
    gateway.endpoint = registered.endpoint or gateway.endpoint
    gateway.region = registered.region or gateway.region
    gateway.status = registered.status


def _first_probe(plane: Plane, gateway: Gateway, registered: Registered) -> GatewayHealth:
    now = plane.now()
    return GatewayHealth(
        gateway_uuid=gateway.uuid,
        checked_at=now,
        succeeded_at=now,
        probed_url=registered.probed_url,
        response_ms=registered.response_ms,
    )


async def _changeable(
    session: AsyncSession, caller: Caller, uuid: UUID, wanted: GatewayChange, *, lock: bool = False
) -> Gateway:
    gateway = await _administered(session, caller, uuid, lock=lock)
    confirm(wanted.if_match, gateways.etag(gateway))
    return gateway


async def _removable(
    session: AsyncSession, caller: Caller, uuid: UUID, if_match: tuple[str, ...] | None, *, lock: bool = False
) -> Gateway:
    gateway = await _administered(session, caller, uuid, lock=lock)
    confirm(if_match, gateways.etag(gateway))
    await gateways.require_idle(session, gateway)
    return gateway


async def _administered(session: AsyncSession, caller: Caller, uuid: UUID, *, lock: bool) -> Gateway:
    gateway = await gateways.get(session, caller, uuid, lock=lock)
    among = (await gateways.environments_of(session, [uuid]))[uuid]
    gateways.require(caller, "admin", among)
    return gateway


async def _record(
    session: AsyncSession, caller: Caller, action: str, gateway: Gateway, among: Sequence[Environment]
) -> None:
    details = {
        "name": gateway.name,
        "displayName": gateway.display_name,
        "type": gateway.gateway_type,
        "controlPlaneUrl": gateway.control_plane_url,
        "environments": [environment.name for environment in among],
    }
    await audit.record(session, caller, f"gateway.{action}", f"gateways/{gateway.uuid}", details=details)
