"""`pinwheel encode`: images in, features out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinwheel.cli.follow import follow
from pinwheel.cli.outputs import FEATURE_FORMATS, Format, Out, format_of, write_result
from pinwheel.cli.session import USAGE, Session, binary, fail, note

if TYPE_CHECKING:
    from pinwheel.client import Client

Which = Annotated[str, typer.Argument(metavar="MODEL", help="Name, or name@version.")]
Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Pictures, folders of pictures, or one .npy or .npz; - is stdin. Else --data."),
]
Data = Annotated[str | None, typer.Option("--data", help="A data set of the service instead, as a job.")]
Sparse = Annotated[bool | None, typer.Option("--sparse/--dense", help="As a sparse matrix; npz is, without.")]
TopK = Annotated[int | None, typer.Option(min=1, help="Keep only the k largest features of each image.")]
Threshold = Annotated[float | None, typer.Option(min=0, help="Drop features up to this.")]
Passes = Annotated[int | None, typer.Option(min=1, help="Passes of a recurrent encoder.")]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer of a stack, from 0.")]
PoolOf = Annotated[str | None, typer.Option("--pool", help="none, mean, max or l2, over the patches of larger images.")]
Stride = Annotated[int | None, typer.Option(min=1, help="Pixels between patches.")]


def encode(
    context: typer.Context,
    model: Which,
    files: Files = None,
    data: Data = None,
    out: Out = None,
    format_: Format = None,
    sparse: Sparse = None,
    topk: TopK = None,
    threshold: Threshold = None,
    passes: Passes = None,
    layer: Layer = None,
    pool: PoolOf = None,
    stride: Stride = None,
) -> None:
    """Encode images into features, one row each, in the order of the files.

    Example: pinwheel encode digits scan-1.png scans/ -o features.npz
    """
    session: Session = context.obj
    chosen = format_of(out, format_, FEATURE_FORMATS, "json")
    if bool(files) == (data is not None):
        fail("give either images or --data", USAGE)
    options = {"passes": passes, "layer": layer, "pool": pool, "stride": stride}
    kept = {"topk": topk, "threshold": threshold}
    wanted = {name: value for name, value in options.items() if value is not None}
    cut = {name: value for name, value in kept.items() if value is not None}
    is_sparse = chosen == "npz" if sparse is None else sparse
    with session.client() as client:
        if data is not None:
            output = {"format": chosen, "sparse": is_sparse and chosen != "npy", **cut}
            return _job(client, model, data, {"output": output, **wanted}, out)
        told = {"sparse": "true" if is_sparse else "false"} | wanted | cut
        found = client.model(model)
        images = _images(files or [])
        return binary(found.encode_bytes(images, chosen, **told), out if out or chosen != "json" else "-")


def _job(client: "Client", model: str, data: str, fields: dict[str, Any], out: str | None) -> None:
    job = client.encode_dataset(model=model, dataset=data, **fields)
    note(f"{job.id} {job.status}")
    if out is None:
        return follow(job, as_json=False, picture=False)
    job.wait(progress=True)
    if job.status != "succeeded":
        return follow(job, as_json=False, picture=False)  # says why
    return write_result(job, out, fields["output"]["format"])


def _images(files: list[Path]) -> Any:
    """What the client takes: the bytes of one file, or the paths of all pictures, of folders in the order of names."""
    if [str(path) for path in files] == ["-"]:
        import sys

        return sys.stdin.buffer.read()
    from pinwheel.client.archives import pictures_in

    found: list[Path] = []
    for path in files:
        if path.is_dir():
            found += pictures_in(path)
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"there is no file {path}")
    return found[0] if len(found) == 1 else found
