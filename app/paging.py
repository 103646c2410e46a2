"""The parameters of every list."""

from typing import Annotated, Literal

from fastapi import Depends, Query

from pinwheel.store.pages import Page


async def _page(
    after: Annotated[str | None, Query(max_length=200, description="Id behind which the page starts.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Most items.")] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By time; by name for models.")] = "desc",
) -> Page:
    return Page(after, limit, order)


Paged = Annotated[Page, Depends(_page)]
