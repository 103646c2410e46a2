"""An `AsyncClient` behind the face of a `Client`, so that one test runs over both."""

import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from pinwheel.client import AsyncClient, AsyncDataset, AsyncJob, AsyncModel

KINDS = (AsyncClient, AsyncDataset, AsyncJob, AsyncModel)


class Facade:
    """Calls of `inner` are awaited in an event loop of another thread; what they give has such a face too."""

    def __init__(self, inner: Any, portal: BlockingPortal, held: AbstractContextManager[Any] | None = None) -> None:
        self._inner, self._portal, self._held = inner, portal, held

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._called(found) if inspect.isroutine(found) else found

    def __getitem__(self, name: str) -> Any:
        return self._inner[name]

    def __eq__(self, other: object) -> bool:
        return bool(self._inner == other)

    def __hash__(self) -> int:
        return id(self)

    def __enter__(self) -> "Facade":
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.call(self._inner.close)
        if self._held is not None:
            self._held.__exit__(None, None, None)

    def _called(self, method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            plain = [arg._inner if isinstance(arg, Facade) else arg for arg in args]
            kwargs = {name: arg._inner if isinstance(arg, Facade) else arg for name, arg in kwargs.items()}
            found = self._portal.call(self._awaited, method, plain, kwargs)
            return self._each(found) if isinstance(found, AsyncIterator) else self._faced(found)

        return call

    @staticmethod
    async def _awaited(method: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        found = method(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    def _each(self, found: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._faced(self._portal.call(anext, found))
            except StopAsyncIteration:
                return

    def _faced(self, found: Any) -> Any:
        if found is self._inner:
            return self
        return Facade(found, self._portal) if isinstance(found, KINDS) else found


def faced(*args: Any, **kwargs: Any) -> Facade:
    """An `AsyncClient` of these arguments; `with` closes it and ends its event loop."""
    held = start_blocking_portal()
    portal = held.__enter__()
    return Facade(AsyncClient(*args, **kwargs), portal, held)
