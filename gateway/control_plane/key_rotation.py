"""`gateway control-plane key rotate`: all credentials of gateways sealed anew."""

from __future__ import annotations

import asyncio
import os

from gateway.control_plane.credentials import FILE, VARIABLE, UnusableKey, add_key, any_sealed, load_keys, reseal
from gateway.control_plane.serve import Options, StartError, kept
from gateway.plurals import counted


async def rotate(options: Options, *, make: bool) -> str:
    """Rotates keys; returns what was done, in sentences. `make`: with a new key. Raises ConfigError and StartError."""
    given = VARIABLE in os.environ
    if make and given:
        raise StartError(f"the keys are in {VARIABLE}: put a new one before the others there, and use --reseal-only")
    async with kept(options) as found:
        try:
            async with found.database.reading() as session:
                sealed = await any_sealed(session)
            await asyncio.to_thread(load_keys, found.state, os.environ, make=not sealed)  # the former one is right
            if make:
                await asyncio.to_thread(add_key, found.state)
            keys = await asyncio.to_thread(load_keys, found.state, os.environ)
        except (UnusableKey, OSError) as error:
            raise StartError(str(error)) from None
        async with found.database.transaction() as session:
            count, lost = await reseal(session, keys)
        place = VARIABLE if given else str(found.state / FILE)
    said = f"sealed the credentials of {counted(count, 'gateway')} with the first key of {place}\n"
    if lost:
        return f"{said}no key opens those of {', '.join(lost)}: set them again"
    if given:
        return f"{said}the other keys there are needed no more, once all control planes have the first one"
    return f"{said}control planes that run with this file use it at once; remove the other keys there after a day"
