"""Records of models for the routes that are asked most: no thread, and one round trip for all who ask at once."""

from typing import Any

from starlette.concurrency import run_in_threadpool

from pinwheel.errors import StoreUnavailable
from pinwheel.store.connection import UNREACHABLE
from pinwheel.store.gathering import Gathering
from pinwheel.store.models import FIND, Models, find_call, found


class ModelLookup:
    def __init__(self, models: Models, gathering: Gathering) -> None:
        self._models = models
        self._gathering = gathering

    async def find(self, reference: str) -> dict[str, Any]:
        """What `Models.find` gives, as the store has it now; raises what that raises. Nobody changes the record."""
        try:
            record = found(await self._gathering.read(FIND, *find_call(reference)))
        except UNREACHABLE as error:
            raise StoreUnavailable("The store does not answer.", retry_after_seconds=2) from error
        if record is None:
            record = await run_in_threadpool(self._models.find, reference)  # raises, and names those that there are
        return record
