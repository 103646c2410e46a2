"""`pinwheel train`: submit a training and follow it."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinwheel.cli.data import added
from pinwheel.cli.follow import follow
from pinwheel.cli.jobs import Picture
from pinwheel.cli.session import Session, document, facts, note

if TYPE_CHECKING:
    from pinwheel.client import Client

Recipe = Annotated[str | None, typer.Argument(help="Name of a recipe; `pinwheel recipes` lists them.")]
Data = Annotated[
    str | None, typer.Option("--data", help="Data set by name or id, a file or folder, or digits, photos.")
]
ResumeFrom = Annotated[
    str | None,
    typer.Option(metavar="JOB[@STEP]", help="Go on from the last checkpoint of a job, in place of recipe and data."),
]
KeepCheckpoint = Annotated[
    bool, typer.Option("--keep-checkpoint", help="Keep the last checkpoint in the end, for --resume-from.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="For example model.connection.units=64; may be repeated."),
]
Validation = Annotated[str | None, typer.Option(help="Share that is held out, 0.1, or another data set.")]
PublishAs = Annotated[str | None, typer.Option(help="Name of the model; that of the recipe without.")]
Name = Annotated[str | None, typer.Option(help="Name of the job.")]
OnTopOf = Annotated[str | None, typer.Option(help="Put the stages on a published model, name@version.")]
Open = Annotated[bool, typer.Option("--open", help="Open the job's page in a browser.")]
Detach = Annotated[bool, typer.Option("-d", "--detach", help="Only submit; print the job's id.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and estimate memory and time; start nothing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout: the job with -d, else every event as a line.")]


def train(
    context: typer.Context,
    recipe: Recipe = None,
    data: Data = None,
    settings: Settings = None,
    validation: Validation = None,
    publish_as: PublishAs = None,
    name: Name = None,
    on_top_of: OnTopOf = None,
    resume_from: ResumeFrom = None,
    keep_checkpoint: KeepCheckpoint = False,
    detach: Detach = False,
    open_: Open = False,
    dry_run: DryRun = False,
    picture: Picture = True,
    as_json: AsJson = False,
) -> None:
    """Train a model and follow it; stdout is the model's name in the end.

    Ctrl-C leaves the training alone and says how to come back. Example:

        pinwheel train drsae --data digits --set training.epochs=4 --validation 0.1
    """
    session: Session = context.obj
    with session.client() as client:
        fields = laid_out(settings or [], _spec(client, recipe, resume_from))
        named: dict[str, Any] = {"publish_as": publish_as, "name": name, "on_top_of": on_top_of, "recipe": recipe}
        named |= {"resume_from": resume_from, "keep_checkpoint": keep_checkpoint or None}
        fields |= {key: value for key, value in named.items() if value is not None}
        if data is not None:
            fields["dataset"] = _dataset(client, data)
        if validation is not None:
            fields["validation"] = _validation(client, validation)
        if dry_run:
            return _told(client.estimate(**fields), as_json)
        job = client.train(**fields)
        if open_:
            typer.launch(f"{session.url}/jobs/{job.id}")
        if detach:
            return document(job.record) if as_json else typer.echo(job.id)
        note(f"{job.id} {job.status}, {session.url}/jobs/{job.id}")
        return follow(job, as_json=as_json, picture=picture)


def _spec(client: "Client", recipe: str | None, resume_from: str | None) -> dict[str, Any]:
    """What the settings are laid over."""
    if resume_from is not None:
        spec: dict[str, Any] = client.job(resume_from.split("@")[0]).record["spec"] or {}
        return spec
    if recipe is None:
        raise ValueError("give a recipe, as in `pinwheel train drsae`, or a job with --resume-from")
    return dict(client.recipe(recipe)["spec"])


def _dataset(client: "Client", given: str) -> str:
    """Its id; a file, a folder or a built-in one is added first."""
    from pathlib import Path

    from pinwheel.builtin import BUILTIN
    from pinwheel.errors import NotFound

    if Path(given).exists():
        found = added(client, given)
        note(f"{found['images']['count']} images of {given} as {found.get('name')}")
        return str(found["id"])
    try:
        return str(client.dataset(given)["id"])
    except NotFound:
        if given not in BUILTIN:
            raise
        return str(added(client, given)["id"])


def _validation(client: "Client", given: str) -> str | float:
    try:
        return float(given)
    except ValueError:
        return _dataset(client, given)


def _told(estimate: dict[str, Any], as_json: bool) -> None:
    if as_json:
        return document(estimate)
    found = estimate.get("estimate") or estimate
    return facts({key: value for key, value in found.items() if isinstance(value, str | int | float)})


def laid_out(settings: list[str], spec: dict[str, Any]) -> dict[str, Any]:
    """The fields of a job from texts like `model.connection.units=64`, or `stages.1.model.connection.units=64` for a
    recipe of stages, of which all are named then. Raises ValueError where a text is no setting."""
    from pinwheel.specs import merge, nested

    fields: dict[str, Any] = {}
    for setting in sorted(settings, key=lambda text: ".kind=" not in text):  # what another kind replaces comes first
        fields = merge(fields, nested(setting))
    unknown = [name for name in fields if name not in ("model", "training", "preprocessing", "resources", "stages")]
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is no part of a training; a setting begins with model, training, preprocessing, "
            "resources or stages"
        )
    if "stages" in fields:
        fields["stages"] = _numbered(fields["stages"], len(spec.get("stages") or []))
    return fields


def _numbered(stages: Any, count: int) -> list[dict[str, Any]]:
    wrong = [name for name in stages if not name.isdigit() or int(name) >= count] if isinstance(stages, dict) else ["?"]
    if wrong:
        raise ValueError(f"there is no stage {wrong[0]}; this recipe has {count}, from 0: {json.dumps(stages)}")
    return [stages.get(str(number), {}) for number in range(count)]
