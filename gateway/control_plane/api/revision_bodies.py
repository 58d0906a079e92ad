"""Requests and answers about revisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, ValidationError

from gateway.bundles import MEDIA_TYPE, BundleError, unpack
from gateway.config.problems import Problem as Wrong
from gateway.control_plane import revisions
from gateway.control_plane.database.tables import Revision
from gateway.control_plane.problems import FieldError, Problem
from gateway.control_plane.schemas import Answer, Body, Moment, clean
from gateway.plurals import counted

Message = Annotated[str, Field(max_length=4096, description="Its purpose."), AfterValidator(clean)]
Named = Annotated[str, Field(max_length=64, description="A digest, or enough of its beginning."), AfterValidator(clean)]


class NewRevision(Body):
    """A configuration, whole."""

    files: dict[str, Annotated[str, AfterValidator(clean)]] = Field(
        description="The texts of the files by their names, such as `routes.yaml`. Secrets stand in them by name only: "
        "`${NAME}` or `${file:path}`.",
        examples=[{"routes.yaml": "routes:\n- path: /\n  target: http://127.0.0.1:3001\n"}],
    )
    message: Message = ""
    parent: Named | None = Field(None, description="The revision that it was made from.")


class WrongPlace(Answer):
    """Something in a file. `line` and `column` count from 1; `line` is 0 where it is about the file as a whole."""

    file: str
    line: int
    column: int
    where: str
    message: str
    severity: str


class RevisionAnswer(Answer):
    """A revision, without its files."""

    digest: str = Field(description="SHA-256 over the names and contents of its files.")
    author: str
    message: str
    parent: str | None
    size: int = Field(description="Bytes of all files.")
    created_at: Moment
    warnings: list[WrongPlace] = Field(description="Warnings of the check when it was added.")


class RevisionList(Answer):
    """A page of revisions."""

    revisions: list[RevisionAnswer]
    total: int = Field(description="How many there are in all.")


class RevisionFiles(Answer):
    """The files of a revision."""

    digest: str
    files: dict[str, str] = Field(description="Their texts by their names.")


class ChangeAnswer(Answer):
    """One difference."""

    file: str
    where: str = Field(description="The way to it, such as `routes[web].timeout.total`; empty: the file as a whole.")
    kind: str = Field(description="`added`, `removed`, `changed` or `moved`.")
    before: str | None = Field(description="The value as JSON, shortened; secrets are hidden.")
    after: str | None


class DifferenceAnswer(Answer):
    """The differences between two revisions."""

    before: str
    after: str
    changes: list[ChangeAnswer]
    text: str = Field(description="The lines of the files, as a unified diff.")
    truncated: bool = Field(description="Whether there is more than is shown.")


class CheckAnswer(Answer):
    """Results of `gateway check` for files that were not stored."""

    digest: str
    warnings: list[WrongPlace]


def shown(revision: Revision) -> RevisionAnswer:
    """The revision for answers."""
    return RevisionAnswer(
        digest=revision.digest,
        author=revision.author,
        message=revision.message,
        parent=revision.parent,
        size=revision.size,
        created_at=revision.created_at,
        warnings=[WrongPlace(**each) for each in revisions.warnings_of(revision)],
    )


async def given(request: Request) -> NewRevision:
    """The body, whichever form it has. Raises Problem."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind == MEDIA_TYPE:
        try:
            files = {name: content.decode() for name, content in unpack(body).files.items()}
        except BundleError as error:
            raise refused(error) from None
        query = {key: value for key, value in request.query_params.items() if key in ("message", "parent")}
        return _validated(lambda: NewRevision.model_validate({"files": files, **query}))
    if kind != "application/json" and not kind.endswith("+json"):
        raise Problem(415, f"expected application/json, or a bundle as {MEDIA_TYPE}")
    return _validated(lambda: NewRevision.model_validate_json(body, strict=True))


def _validated(read: Callable[[], NewRevision]) -> NewRevision:
    try:
        return read()
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def refused(error: BundleError) -> Problem:
    """The error of an invalid bundle."""
    field = f"files.{error.file}" if error.file else "files"
    return Problem(400, str(error), [FieldError(field, error.message)])


def wrong(problems: Sequence[Wrong]) -> Problem:
    """The error of a bundle with errors in its files, with all of them and their places."""
    errors = [FieldError(f"files.{each.file}", str(each)) for each in problems]
    first = "; ".join(str(each) for each in problems[:3]) + ("; ..." if len(problems) > 3 else "")
    members = {"problems": [asdict(each) for each in problems]}
    return Problem(400, f"{counted(len(problems), 'error')}: {first}", errors, members=members)


BODIES: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewRevision.model_json_schema()},
            MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""`openapi_extra` of an operation that reads its body by `given`."""
