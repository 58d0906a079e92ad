"""Long lists in pages: `limit`, `offset`, and how many there are in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Query
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

USUAL: Final = 100
MOST: Final = 1000
FARTHEST: Final = 2**31 - 1  # databases count no further

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    limit: int = USUAL
    offset: int = 0


def _page(
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many, at most.")] = USUAL,
    offset: Annotated[int, Query(ge=0, le=FARTHEST, description="How many to leave out before.")] = 0,
) -> Page:
    return Page(limit, offset)


Paged = Annotated[Page, Depends(_page)]
"""The parameter of an operation that answers with a list."""


async def page_of(session: AsyncSession, query: Select[T], page: Page) -> tuple[list[T], int]:
    """The page of what a query of one entity finds, which must be ordered, and how much it finds in all."""
    found = list((await session.scalars(query.limit(page.limit).offset(page.offset))).all())
    if len(found) < page.limit and (found or page.offset == 0):
        return found, page.offset + len(found)
    counted: Select[Any] = select(func.count()).select_from(query.order_by(None).subquery())
    return found, int((await session.execute(counted)).scalar_one())
