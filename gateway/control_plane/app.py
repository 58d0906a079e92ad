"""The application: all routers, one way to answer errors, and the document of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.routing import Route

from gateway.control_plane import jobs
from gateway.control_plane.api.table import BASE, INTERNAL, INTERNAL_ROUTERS, LARGE_BODIES, OTHER_ROUTERS, ROUTERS
from gateway.control_plane.body_limit import BodyLimit
from gateway.control_plane.openapi import DESCRIPTION, document, operation_id
from gateway.control_plane.plane import Plane
from gateway.control_plane.problems import handle_problems


def create_app(plane: Plane) -> FastAPI:
    """The application of a control plane; its jobs run while it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = jobs.begin(plane)
        app.state.tasks = tasks
        plane.metrics.follow_process(plane.database, tasks)
        try:
            yield
        finally:
            plane.ending.set()
            await tasks.end()

    app = FastAPI(
        title="Control plane",
        description=DESCRIPTION,
        version=version("flowmaster-gateway"),
        lifespan=lifespan,
        openapi_url=f"{BASE}/openapi.json",
        docs_url=None,  # they would load scripts of others
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.plane = plane
    app.state.routes = []
    for prefix, routers, public in (
        (BASE, ROUTERS, True),
        (INTERNAL, INTERNAL_ROUTERS, False),
        ("", OTHER_ROUTERS, False),
    ):
        for router in routers:
            app.include_router(router, prefix=prefix, include_in_schema=public)
            http = [route for route in router.routes if isinstance(route, Route)]
            app.state.routes += [(prefix, route.path_regex, route.methods) for route in http]
    handle_problems(app)
    app.add_middleware(BodyLimit, others=LARGE_BODIES)
    app.add_middleware(plane.access.guarding)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app
