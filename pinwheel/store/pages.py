"""Pages of lists: ids sort by time, so a page is a range of ids."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pinwheel.store.connection import Client

Records = list[dict[str, Any] | None]


@dataclass(frozen=True)
class Page:
    """`limit` items behind the id `after`, newest first unless `order` is `asc`."""

    after: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "desc"


def page_of_index(
    client: Client, index: str, page: Page, read: Callable[[list[str]], Records]
) -> tuple[list[dict[str, Any]], bool]:
    """Records of one page and whether there are more. `read` gives a record for each id, or None to leave it out."""
    found: list[dict[str, Any]] = []
    after = page.after
    while len(found) <= page.limit:
        ids = _ids(client, index, after, page.limit + 1, page.order)
        found += [record for record in read(ids) if record is not None]
        if len(ids) <= page.limit:
            break
        after = ids[-1]
    return found[: page.limit], len(found) > page.limit


def _ids(client: Client, index: str, after: str | None, count: int, order: str) -> list[str]:
    if order == "asc":
        raw = client.zrangebylex(index, f"({after}" if after else "-", "+", 0, count)
    else:
        raw = client.zrevrangebylex(index, f"({after}" if after else "+", "-", 0, count)
    return [item.decode() for item in raw]
