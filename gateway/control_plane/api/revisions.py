"""/revisions"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.bundles import Bundle, BundleError
from gateway.control_plane import audit, revisions
from gateway.control_plane.api.revision_bodies import (
    BODIES,
    ChangeAnswer,
    CheckAnswer,
    DifferenceAnswer,
    NewRevision,
    RevisionAnswer,
    RevisionFiles,
    RevisionList,
    WrongPlace,
    given,
    refused,
    shown,
    wrong,
)
from gateway.control_plane.callers import WhoCalls
from gateway.control_plane.idempotency import IdempotentRoute
from gateway.control_plane.paging import Paged, page_of
from gateway.control_plane.plane import Plane, ThePlane
from gateway.control_plane.problems import documented
from gateway.control_plane.revision_check import Checked, check_bundle
from gateway.control_plane.revision_diff import compare

router = APIRouter(tags=["revisions"], route_class=IdempotentRoute)


async def _checked(plane: Plane, body: NewRevision) -> tuple[Bundle, Checked]:
    try:
        bundle = Bundle({name: text.encode() for name, text in body.files.items()})
    except BundleError as error:
        raise refused(error) from None
    found = await plane.beside.run("check of a revision", partial(check_bundle, bundle))
    if found.errors:
        raise wrong(found.errors)
    return bundle, found


@router.post(
    "/revisions",
    status_code=201,
    responses={
        **documented(409, 413, 415, 422),
        200: {"model": RevisionAnswer, "description": "It is there already."},
    },
    openapi_extra=BODIES,
)
async def create_revision(
    plane: ThePlane, body: Annotated[NewRevision, Depends(given)], caller: WhoCalls, response: Response
) -> RevisionAnswer:
    """Add a revision, if `gateway check` finds no error in it; else nothing is kept."""
    caller.require_somewhere("deployer")
    bundle, found = await _checked(plane, body)
    async with plane.database.transaction() as session:
        made, is_new = await revisions.add(
            session,
            caller.organization,
            bundle,
            author=caller.name[:256],
            message=body.message,
            parent=body.parent,
            warnings=found.warnings,
        )
        if is_new:
            details = {"message": made.message, "parent": made.parent, "size": made.size}
            await audit.record(session, caller, "revision.create", f"revisions/{made.digest}", details=details)
    response.status_code = 201 if is_new else 200
    response.headers["etag"] = f'"{made.digest}"'
    response.headers["location"] = f"/api/v1/revisions/{made.digest}"
    return shown(made)


@router.post("/revisions/check", responses=documented(413, 415), openapi_extra=BODIES)
async def check_revision(
    plane: ThePlane, body: Annotated[NewRevision, Depends(given)], caller: WhoCalls
) -> CheckAnswer:
    """The same without keeping anything: the errors, or the digest and the warnings."""
    caller.require_somewhere("viewer")
    bundle, found = await _checked(plane, body)
    return CheckAnswer(digest=bundle.digest, warnings=[WrongPlace(**asdict(each)) for each in found.warnings])


@router.get("/revisions", responses=documented())
async def list_revisions(plane: ThePlane, caller: WhoCalls, page: Paged) -> RevisionList:
    """The revisions, the newest first."""
    caller.require_somewhere("viewer")
    async with plane.database.reading() as session:
        found, total = await page_of(session, revisions.of(caller.organization), page)
    return RevisionList(revisions=[shown(each) for each in found], total=total)


@router.get("/revisions/{digest}", responses=documented(404))
async def get_revision(plane: ThePlane, digest: str, caller: WhoCalls, response: Response) -> RevisionAnswer:
    """A revision, by its digest or enough of its beginning."""
    caller.require_somewhere("viewer")
    async with plane.database.reading() as session:
        found = await revisions.find(session, caller.organization, digest)
    response.headers["etag"] = f'"{found.digest}"'
    return shown(found)


@router.get("/revisions/{digest}/files", responses=documented(404))
async def get_revision_files(plane: ThePlane, digest: str, caller: WhoCalls, response: Response) -> RevisionFiles:
    """The files of a revision."""
    caller.require_somewhere("viewer")
    async with plane.database.reading() as session:
        found = await revisions.find(session, caller.organization, digest)
        bundle = await revisions.bundle_of(session, caller.organization, found.digest)
    response.headers["etag"] = f'"{found.digest}"'
    files = {name: content.decode() for name, content in bundle.files.items()}
    return RevisionFiles(digest=found.digest, files=files)


@router.get("/revisions/{before}/diff/{after}", responses=documented(404))
async def diff_revisions(plane: ThePlane, before: str, after: str, caller: WhoCalls) -> DifferenceAnswer:
    """The differences between two revisions: by key, and by lines. Comments are only in the lines."""
    caller.require_somewhere("viewer")
    async with plane.database.reading() as session:
        digests = [(await revisions.find(session, caller.organization, each)).digest for each in (before, after)]
        bundles = [await revisions.bundle_of(session, caller.organization, each) for each in digests]
    found = await plane.beside.run("comparison of revisions", partial(compare, *bundles))
    return DifferenceAnswer(
        before=digests[0],
        after=digests[1],
        changes=[ChangeAnswer(**asdict(each)) for each in found.changes],
        text=found.text,
        truncated=found.truncated,
    )
