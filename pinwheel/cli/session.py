"""What every command that asks a service shares: the client, what goes to stdout, and what a failure becomes."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Never

import typer

if TYPE_CHECKING:
    from pinwheel.client import Client

FAILED, USAGE, CANCELLED, UNREACHABLE, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 4, 130, 141
JSON_HELP = "With --json stdout is JSON."
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
EXIT_OF = {"succeeded": 0, "failed": FAILED, "cancelled": CANCELLED}


@dataclass(frozen=True)
class Session:
    """Which service is asked."""

    url: str
    api_key: str | None

    @contextmanager
    def client(self) -> Iterator["Client"]:
        """A client; what goes wrong with it ends the command, with a message and the status that stands for it."""
        from pinwheel.client import Client
        from pinwheel.errors import PinwheelError, TooManyRequests, Unavailable

        try:
            with Client(self.url, self.api_key) as client:
                yield client
        except BrokenPipeError:  # whoever read stdout has gone, as `head` does; nothing more is said there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None
        except PinwheelError as error:
            unreachable = isinstance(error, Unavailable) and not isinstance(error, TooManyRequests)
            status = UNREACHABLE if unreachable else USAGE if 400 <= error.status < 500 else FAILED
            fail("\n".join([error.detail, *_pointed(error.errors, error.detail)]), status)
        except (ConnectionError, TimeoutError) as error:
            fail(f"{self.url} does not answer ({error}). `pinwheel up` starts a service on this machine.", UNREACHABLE)
        except (ValueError, OSError) as error:  # a file that is not there, an option that makes no sense
            fail(str(error), USAGE)


def _pointed(errors: Iterable[Mapping[str, str]], detail: str) -> list[str]:
    """The fields that an answer finds fault with, where its text does not name them."""
    return [f"  {error['pointer']}: {error['detail']}" for error in errors if error["detail"] not in detail]


def fail(message: str, status: int = FAILED) -> Never:
    note(message)
    raise typer.Exit(status)


def note(message: str) -> None:
    """For people, on stderr."""
    typer.echo(message, err=True)


def document(found: Any) -> None:
    """JSON on stdout, indented on a terminal."""
    typer.echo(json.dumps(found, indent=2 if sys.stdout.isatty() else None))


def binary(content: bytes, path: str | None) -> None:
    """Into a file, or to stdout where the path is `-` or, not being a terminal, left out."""
    if path is None and sys.stdout.isatty():
        fail("Bytes are not written to a terminal; name a file with -o, or send them on with |.", USAGE)
    if path in (None, "-"):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    from pathlib import Path

    try:
        Path(str(path)).write_bytes(content)
    except OSError as error:
        fail(str(error), USAGE)
    note(f"{path}: {len(content)} bytes")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Lines of a table; tabs between the columns where stdout is no terminal, so that `cut` reads them."""
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if not sys.stdout.isatty():
        for row in texts:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(columns):
        shown.add_column(name, overflow="ellipsis", no_wrap=number == 0)  # narrow: lines break between words
    for row in texts:
        shown.add_row(*row)
    Console(highlight=False).print(shown)


def facts(rows: Mapping[str, object]) -> None:
    """Names and values, one a line; those that are None are left out."""
    table(("", ""), [(name, value) for name, value in rows.items() if value is not None])


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
