"""`pinwheel data`: data sets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinwheel.builtin import BUILTIN
from pinwheel.cli.session import Json, Session, binary, document, facts, note, table

if TYPE_CHECKING:
    from pinwheel.client import Client

app = typer.Typer(no_args_is_help=True, help="Data sets: add, list, look at, remove.")

Source = Annotated[
    str,
    typer.Argument(
        help="A file (zip, tar, npy, npz, IDX, Parquet, TIFF, one image), a folder of images (folders in it are "
        f"labels), or a built-in data set: {', '.join(BUILTIN)}."
    ),
]
Labels = Annotated[Path | None, typer.Option(help="The file of the labels, beside an IDX file of images.")]
Name = Annotated[str | None, typer.Option(help="Name to find it by; that of the file without.")]
Option = Annotated[
    list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="color, layout, images_key, on_bad_file, …")
]
Which = Annotated[str, typer.Argument(help="Name or id.")]
Out = Annotated[str | None, typer.Option("-o", "--out", help="File for the picture; - is stdout.")]


@app.command()
def add(
    context: typer.Context,
    source: Source,
    labels: Labels = None,
    name: Name = None,
    option: Option = None,
    as_json: Json = False,
) -> None:
    """Add a data set; prints its id. The same content under the same name is kept once."""
    session: Session = context.obj
    with session.client() as client:
        record = dict(added(client, source, name, labels, dict(_pair(text) for text in option or [])))
    if as_json:
        return document(record)
    note(f"{record['images']['count']} images as {record.get('name') or record['id']}")
    return typer.echo(record["id"])


def added(
    client: "Client", source: str, name: str | None = None, labels: Path | None = None, options: Any = None
) -> Any:
    """The data set of a path or of a built-in name. A path wins over a built-in name."""
    if source in BUILTIN and not Path(source).exists():
        return client.create_dataset(builtin=source, name=name)
    path = Path(source)
    if not path.exists():
        raise ValueError(f"{source} is neither a file nor a folder; built in are {', '.join(BUILTIN)}")
    return client.create_dataset(path, labels, name=name or path.name.split(".")[0], **(options or {}))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE, for example color=gray")
    return name, value


@app.command("ls")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the data sets, newest first."""
    session: Session = context.obj
    with session.client() as client:
        found = [dict(each) for each in client.datasets()]
    if as_json:
        return document(found)
    return table(("name", "images", "shape", "classes", "id"), [_row(each) for each in found])


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    images, labels = record["images"], record["labels"] or {}
    shape = "varied" if images["variable_size"] else "×".join(map(str, images["shape"]))
    return record.get("name"), images["count"], shape, labels.get("classes"), record["id"]


@app.command()
def show(context: typer.Context, which: Which, out: Out = None, as_json: Json = False) -> None:
    """Show a data set; with -o a picture of some of its images."""
    session: Session = context.obj
    with session.client() as client:
        found = client.dataset(which)
        if out is not None:
            return binary(found.preview(), out)
    if as_json:
        return document(dict(found))
    name, count, shape, classes, identity = _row(dict(found))
    return facts(
        {"id": identity, "name": name, "images": count, "shape": shape, "classes": classes}
        | {"bytes": found.record.get("bytes"), "created": found.record.get("created_at")}
    )


@app.command("rm")
def remove(context: typer.Context, which: Annotated[list[str], typer.Argument(help="Names or ids.")]) -> None:
    """Remove data sets; refused while a live job uses one."""
    session: Session = context.obj
    with session.client() as client:
        for each in which:
            client.dataset(each).delete()
            note(f"{each} is gone")
