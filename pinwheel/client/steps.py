"""Every method of the client, written once: as the steps that it takes.

    @operation
    def info(self) -> Steps[Record]:
        answer = yield Send("GET", "/v1/info")
        return answer.json()

Steps do nothing themselves. On a `Blocking` object a connection takes them one after the other, and `client.info()` is
the record; on an `Awaited` one `await client.info()` is. What a step brings is the value of its `yield`; what goes
wrong with it is raised there. So waiting, sending again and taking up broken streams are ordinary loops, and there is
no second copy of them to keep alike.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """One request; brings the answer, read whole."""

    method: str
    path: str
    request: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Open:
    """One GET whose body comes bit by bit; brings the answer, of an error with its body. Ends the stream before it."""

    path: str
    request: dict[str, Any] = field(default_factory=dict)
    events: bool = False


@dataclass(frozen=True)
class Next:
    """Brings the next piece of the open stream: bytes as they came, or a server-sent event. None at its end."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Work:
    """Brings what `function` gives; it may read files and take long, so it never holds up an event loop."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Tell:
    """Call a function of the caller, and await it where it is to be awaited."""

    function: Callable[[Any], object]
    value: Any


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Hand a value to the caller who iterates."""

    value: T


Step: TypeAlias = Send | Open | Next | Pause | Work | Tell
Steps: TypeAlias = Generator[Step, Any, R]
Series: TypeAlias = Generator[Step | Emit[T], Any, None]


class Walk(Generic[R]):
    """Steps on their way: `step` is the one to take next; where it is None, `result` is what they return."""

    def __init__(self, steps: Generator[Step | Emit[Any], Any, R]) -> None:
        self._steps = steps
        self.result: Any = None
        self._on(lambda: next(steps))

    def __enter__(self) -> "Walk[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.close()

    def give(self, brought: Any) -> None:
        self._on(lambda: self._steps.send(brought))

    def fail(self, error: Exception) -> None:
        self._on(lambda: self._steps.throw(error))

    def _on(self, advance: Callable[[], Step | Emit[Any]]) -> None:
        try:
            self.step: Step | Emit[Any] | None = advance()
        except StopIteration as end:
            self.step, self.result = None, end.value


class Blocking:
    """What calls and waits. `_connection` is a `Connection`."""

    _connection: Any


class Awaited:
    """What is awaited. `_connection` is an `AsyncConnection`."""

    _connection: Any


BlockingT = TypeVar("BlockingT", bound=Blocking)
AwaitedT = TypeVar("AwaitedT", bound=Awaited)


class _Method(Generic[P, R]):
    """A descriptor like a function's: looked up on an object it is bound to it."""

    def __init__(self, steps: Callable[Concatenate[Any, P], R]) -> None:
        self.steps = steps
        self.__doc__ = steps.__doc__
        # what it returns is for the overloads below to say
        whole = inspect.signature(steps).replace(return_annotation=inspect.Signature.empty)
        self._signature = whole.replace(parameters=list(whole.parameters.values())[1:])

    def _bound(self, instance: Any, call: Callable[[Any], Any]) -> Any:
        if instance is None:
            return self.steps
        bound = self.steps.__get__(instance)

        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return call(bound(*args, **kwargs))

        named = update_wrapper(method, bound)
        named.__signature__ = self._signature  # type: ignore[attr-defined]
        return named


class operation(_Method[P, Steps[R]]):
    """`@operation`: a method that gives what its steps return."""

    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, R]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self._bound(instance, lambda steps: instance._connection.run(steps))


class chained(_Method[P, Steps[None]]):
    """`@chained`: a method that changes its object and gives it back."""

    @overload
    def __get__(self, instance: BlockingT, owner: type[Any]) -> Callable[P, BlockingT]: ...
    @overload
    def __get__(self, instance: AwaitedT, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, AwaitedT]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self._bound(instance, lambda steps: instance._connection.run(_then(steps, instance)))


class series(_Method[P, Series[T]]):
    """`@series`: a method over whose values the caller iterates."""

    @overload
    def __get__(self, instance: Blocking, owner: type[Any]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Awaited, owner: type[Any]) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        return self._bound(instance, lambda steps: instance._connection.iterate(steps))


def _then(steps: Steps[None], value: T) -> Steps[T]:
    yield from steps
    return value
