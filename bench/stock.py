"""The gateway's application on uvicorn as it comes, to show what our own server saves.

python -m bench.stock DIRECTORY PORT
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop

from gateway.app import Gateway
from gateway.app.asgi import Application
from gateway.deadlines import Deadlines
from gateway.live import Owner
from gateway.reload import Reloader
from gateway.upstream.transport import Connector, Resolver


async def serve(directory: Path, port: int) -> None:
    """Serve the configuration in `directory` until a signal."""
    connector = Connector(Deadlines(asyncio.get_running_loop()), Resolver({}))
    reloader = Reloader(directory, os.environ, Owner(), connector)
    gateway = Gateway(reloader, ())
    config = uvicorn.Config(
        cast(Any, Application(gateway)),
        host="127.0.0.1",
        port=port,
        http="httptools",
        log_level="warning",
        access_log=False,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
