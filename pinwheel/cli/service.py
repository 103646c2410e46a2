"""`pinwheel up` and `pinwheel demo`: the whole service on this machine."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Never

import typer

if TYPE_CHECKING:
    from pinwheel.settings import Settings
    from pinwheel.up import Service

Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. [PINWHEEL_PORT, 8000]")]
Host = Annotated[str | None, typer.Option(help="Address to listen on. [PINWHEEL_HOST, 127.0.0.1]")]
Data = Annotated[Path | None, typer.Option(help="Folder of everything kept. [PINWHEEL_DATA_DIR, pinwheel-data]")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Training workers.")]
NoEmbedded = Annotated[
    bool, typer.Option("--no-embedded", help="Never start the embedded store; use PINWHEEL_REDIS_URL.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow an address that other machines can reach.")]
Exit = Annotated[bool, typer.Option("--exit", help="End when the demo is done, instead of serving on.")]
Out = Annotated[Path, typer.Option(help="Folder for the demo's pictures and features.")]


def up(
    port: Port = None,
    host: Host = None,
    data: Data = None,
    workers: Workers = 1,
    no_embedded: NoEmbedded = False,
    insecure: Insecure = False,
) -> None:
    """Run the whole service on this machine: store, server and workers, until Ctrl-C."""
    from pinwheel.up import CannotStart
    from pinwheel.up.signals import interrupted_once

    try:
        with interrupted_once():
            _serve(_service(port, host, data, workers, no_embedded, insecure))
    except CannotStart as problem:
        _fail(str(problem), problem.exit_code)
    except KeyboardInterrupt:
        typer.echo("Stopped.")


def demo(exit_: Exit = False, out: Out = Path("demo"), data: Data = None, port: Port = None) -> None:
    """Train on hand-written digits, show the filters, and keep serving."""
    from pinwheel.demo import run_demo
    from pinwheel.errors import PinwheelError
    from pinwheel.up import CannotStart
    from pinwheel.up.signals import interrupted_once

    try:
        with interrupted_once():
            run_demo(_service(port, None, data, 1, False, False, {"PINWHEEL_API_KEYS": ""}), out, stay=not exit_)
    except CannotStart as problem:
        _fail(str(problem), problem.exit_code)
    except PinwheelError as problem:
        _fail(f"The demo failed: {problem.detail}")
    except OSError as problem:  # no answer, or nowhere to write
        _fail(f"The demo failed: {problem}")
    except KeyboardInterrupt:
        typer.echo("Stopped.")
        raise typer.Exit(130) from None


def _service(
    port: int | None,
    host: str | None,
    data: Path | None,
    workers: int,
    no_embedded: bool,
    insecure: bool,
    environment: dict[str, str] | None = None,
) -> "Service":
    """The service that the options ask for; what they leave out comes from the environment."""
    from pinwheel.up import CannotStart, Service

    _log_to_stderr()
    config = _settings()
    if no_embedded and not config.redis_url:
        raise CannotStart("--no-embedded needs a store of your own: set PINWHEEL_REDIS_URL.", exit_code=2)
    return Service(
        data or config.data_dir,
        host=host or config.host,
        port=config.port if port is None else port,
        workers=workers,
        redis_url=config.redis_url,
        insecure=insecure,
        log_level=config.log_level,
        environment=environment,
    )


def _serve(service: "Service") -> None:
    import threading

    typer.echo("Starting …")
    with service:
        typer.echo(f"Pinwheel is ready.\n{service.summary()}\nCtrl-C stops it.")
        threading.Event().wait()


def _settings() -> "Settings":
    from pydantic import ValidationError

    from pinwheel.settings import Settings

    try:
        return Settings()
    except ValidationError as problem:
        lines = [
            f"PINWHEEL_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}, not {e['input']!r}" for e in problem.errors()
        ]
        _fail("\n".join(lines), 2)


def _log_to_stderr() -> None:
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _fail(message: str, exit_code: int = 1) -> Never:
    typer.echo(message, err=True)
    raise typer.Exit(exit_code)
