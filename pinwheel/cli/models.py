"""`pinwheel models`, `model`, `filters`, `export`: what was learned."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinwheel.cli.outputs import format_of
from pinwheel.cli.session import USAGE, Json, Session, binary, document, facts, fail, note, number, table

if TYPE_CHECKING:
    from pinwheel.client import Client, Job, Model

app = typer.Typer(no_args_is_help=True, help="One model: show, remove.")

Which = Annotated[str, typer.Argument(metavar="MODEL", help="Name, or name@version.")]
JobOrModel = Annotated[str, typer.Argument(metavar="MODEL|JOB", help="Name of a model, or id of a training.")]
Out = Annotated[str | None, typer.Option("-o", "--out", help="File; its suffix says the format. - is stdout.")]
Format = Annotated[str | None, typer.Option("--format", help="Instead of the suffix of the file.")]
Order = Annotated[str | None, typer.Option(help="index, usage, norm, orientation or topographic.")]
Scale = Annotated[int | None, typer.Option(min=1, help="Pixels of the picture for a pixel of a filter.")]
Step = Annotated[int | None, typer.Option(min=0, help="Of a training: the filters as they were then.")]
Layer = Annotated[int | None, typer.Option(min=0, help="Layer of a stack, from 0; the top one without.")]
KindOf = Annotated[str | None, typer.Option("--kind", help="decoder or encoder.")]
Unit = Annotated[int | None, typer.Option(min=0, help="One unit alone.")]
ModelFile = Annotated[str, typer.Option("-o", "--out", help="File: .safetensors, .npz or .onnx.")]
TopK = Annotated[int | None, typer.Option(min=1, help="Of onnx: outputs of the k largest features as well.")]

FILTER_FORMATS = ("png", "webp", "svg", "npy", "npz", "json")
WEIGHT_FORMATS = ("safetensors", "npz", "onnx")


def models(context: typer.Context, as_json: Json = False) -> None:
    """List the newest version of every model."""
    session: Session = context.obj
    with session.client() as client:
        found = [model.record for model in client.models()]
    if as_json:
        return document(found)
    columns = ("model", "recipe", "features", "unexplained", "error", "created")
    return table(columns, [_row(record) for record in found])


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    measured = record.get("metrics") or {}
    shape = "×".join(map(str, record.get("feature_shape") or [record["units"]]))
    error = measured.get("classification_error")
    return (
        f"{record['name']}@{record['version']}",
        record.get("recipe"),
        shape,
        number(measured.get("unexplained_variance")),
        None if error is None else f"{100 * error:.2f} %",
        (record.get("created_at") or "")[:16].replace("T", " "),
    )


@app.command()
def show(context: typer.Context, which: Which, as_json: Json = False) -> None:
    """Show a model: shape, measures, where it comes from."""
    session: Session = context.obj
    with session.client() as client:
        record = client.model(which).record
    if as_json:
        return document(record)
    plain = {key: value for key, value in record.items() if isinstance(value, str | int) and key != "object"}
    return facts(
        plain
        | {"feature_shape": "×".join(map(str, record.get("feature_shape") or []))}
        | {name: number(value) for name, value in (record.get("metrics") or {}).items()}
        | {"maps": ", ".join(record.get("maps") or {})}
    )


@app.command("rm")
def remove(context: typer.Context, which: Annotated[list[str], typer.Argument(metavar="MODEL")]) -> None:
    """Remove models: one version, or with a plain name the newest one."""
    session: Session = context.obj
    with session.client() as client:
        for each in which:
            found = client.model(each)
            found.delete()
            note(f"{found.id} is gone")


def filters(
    context: typer.Context,
    which: JobOrModel,
    out: Out = None,
    format_: Format = None,
    step: Step = None,
    unit: Unit = None,
    order: Order = None,
    scale: Scale = None,
    kind: KindOf = None,
    layer: Layer = None,
) -> None:
    """The filters of a model, or of a training as it is now, as a picture, an array or JSON.

    Without -o a terminal that can shows the picture itself, as much of it as has room.
    Example: pinwheel filters digits -o filters.png --order usage
    """
    session: Session = context.obj
    to_terminal = out is None and format_ is None and _terminal()
    chosen = "png" if to_terminal else format_of(out, format_, FILTER_FORMATS, "png")
    view = {"order": order, "scale": 1 if to_terminal else scale, "kind": kind, "layer": layer}
    given = {name: value for name, value in view.items() if value is not None}
    with session.client() as client:
        content = _filters(_found(client, which), chosen, step, unit, given)
    if to_terminal:
        return _shown(content)
    return document(content) if chosen == "json" and out is None else binary(_bytes(content, chosen), out)


def _found(client: "Client", which: str) -> "Job | Model":
    return client.job(which) if which.startswith("job_") else client.model(which)


def _filters(found: "Job | Model", format: str, step: int | None, unit: int | None, view: dict[str, Any]) -> Any:
    from pinwheel.client import Job

    if isinstance(found, Job):
        if unit is not None:
            raise ValueError("--unit is of a model; a training shows all of its filters")
        return found.filters(step=step, format=format, **view)
    if step is not None:
        raise ValueError("--step is of a training; a model has its last filters")
    if unit is None:
        return found.filters(format, **view)
    view.pop("order", None)
    return found.filter(unit, format, **view)


def _bytes(content: Any, format: str) -> bytes:
    """What the client has read already, as the file that it was."""
    if isinstance(content, bytes):
        return content
    if format == "json":
        import json

        return json.dumps(content).encode()
    import io

    import numpy as np

    out = io.BytesIO()
    np.save(out, content)
    return out.getvalue()


def _terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _shown(png: bytes) -> None:
    from rich.console import Console

    from pinwheel.cli.mosaic import blocks

    console = Console(highlight=False)
    if console.color_system != "truecolor":
        fail("This terminal shows no pictures (it needs 24-bit colour); name a file with -o.", USAGE)
    console.print(blocks(png, console.size.width, 2 * console.size.height))


def export(
    context: typer.Context, which: Which, out: ModelFile, topk: TopK = None, layer: Layer = None, format_: Format = None
) -> None:
    """Write a model's tensors (.safetensors, .npz), or its encoder from images to features (.onnx)."""
    session: Session = context.obj
    options = {name: value for name, value in {"topk": topk, "layer": layer}.items() if value is not None}
    chosen = format_of(out, format_, WEIGHT_FORMATS, None)
    with session.client() as client:
        path = client.model(which).weights(out, chosen, **options)
    note(f"{path}: {path.stat().st_size} bytes")
