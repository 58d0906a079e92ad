"""/health and /ready: whether the process lives, and whether it can answer."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from sqlalchemy import text

from gateway.control_plane.plane import ThePlane
from gateway.control_plane.problems import Problem
from gateway.control_plane.schemas import Answer


class ProcessAnswer(Answer):
    """How the process is."""

    status: str
    version: str
    troubles: list[str]


router = APIRouter()


@router.get("/health")
async def health(request: Request) -> ProcessAnswer:
    """200 while the process runs, whatever else is down: a restart would not help."""
    tasks = getattr(request.app.state, "tasks", None)
    troubles = tasks.troubles() if tasks is not None else []
    return ProcessAnswer(status="ok", version=version("flowmaster-gateway"), troubles=troubles)


@router.get("/ready")
async def ready(plane: ThePlane) -> Response:
    """204 while the database answers and the process does not shut down."""
    if plane.ending.is_set():
        raise Problem(503, "this control plane is about to end")
    async with plane.database.reading() as session:
        await session.execute(text("SELECT 1"))
    return Response(status_code=204)
