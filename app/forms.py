"""Multipart bodies: every part of some size goes to disk as it comes, so that memory stays flat."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from pinwheel.errors import InvalidRequest

# Each part on disk is an open file, of which a process commonly has 1024. More images than this come as one archive.
MOST_FILES = 500


class _Parser(MultiPartParser):
    spool_max_size = 128 * 1024


@asynccontextmanager
async def read_form(request: Request) -> AsyncIterator[FormData]:
    """The form, its files closed at the end. `InvalidRequest` for what is no proper multipart body."""
    parser = _Parser(request.headers, request.stream(), max_files=MOST_FILES, max_fields=100)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The multipart body cannot be read: {error.message}") from None
    except KeyError:
        raise InvalidRequest("The multipart body has no boundary in its Content-Type.") from None
    try:
        yield form
    finally:
        await form.close()
