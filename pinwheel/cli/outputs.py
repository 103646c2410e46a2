"""What a command writes: in which format, and the features that a job has made."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pinwheel.cli.session import USAGE, binary, fail, note

if TYPE_CHECKING:
    from pinwheel.client import Job

FEATURE_FORMATS = ("npy", "npz", "json", "arrow", "parquet", "safetensors")

Out = Annotated[str | None, typer.Option("-o", "--out", help="File; its suffix says the format. - is stdout.")]
Format = Annotated[
    str | None, typer.Option("--format", help=f"{', '.join(FEATURE_FORMATS)}; that of the file without.")
]


def format_of(out: str | None, given: str | None, known: tuple[str, ...], default: str | None) -> str:
    """From the option, else from the suffix of the file."""
    suffix = out.rpartition(".")[2].lower() if out and "." in out else None
    chosen = given or suffix or default
    if chosen not in known:
        fail(f"{chosen or 'no format'} is not one of {', '.join(known)}", USAGE)
    return str(chosen)


def write_result(job: "Job", out: str | None, format: str) -> None:
    """By way of a file always, since the result may be of any size and a download that breaks goes on."""
    if out not in (None, "-"):
        path = job.download(str(out), format)
        return note(f"{path}: {path.stat().st_size} bytes")
    with TemporaryDirectory(prefix="pinwheel-") as folder:
        return binary(job.download(Path(folder) / "result", format).read_bytes(), out)
