"""`pinwheel jobs` and `pinwheel job`: trainings and encodings under way and done."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinwheel.cli.follow import follow as follow_job
from pinwheel.cli.outputs import FEATURE_FORMATS, Format, Out, format_of, write_result
from pinwheel.cli.session import Json, Session, document, facts, note, number, table

if TYPE_CHECKING:
    from pinwheel.client import Job

app = typer.Typer(no_args_is_help=True, help="One job: show, follow, cancel, pause, resume, remove.")

Status = Annotated[str | None, typer.Option(help="Only those in this state, for example running.")]
Kind = Annotated[str | None, typer.Option("--type", help="Only train or encode.")]
Limit = Annotated[int, typer.Option("-n", "--limit", min=1, help="Most jobs.")]
Id = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
Picture = Annotated[bool, typer.Option(help="Show the filters in the terminal as they form.")]


def jobs(
    context: typer.Context, status: Status = None, kind: Kind = None, limit: Limit = 20, as_json: Json = False
) -> None:
    """List jobs, newest first."""
    session: Session = context.obj
    with session.client() as client:
        found = [job.record for job in islice(client.jobs(status, kind), limit)]
    if as_json:
        return document(found)
    return table(("id", "status", "what", "done", "model", "loss"), [_row(record) for record in found])


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    what = record.get("name") or record.get("recipe") or record["type"]
    done = f"{100 * record['progress']['fraction']:.0f} %"
    return record["id"], record["status"], what, done, record.get("model"), number(record["metrics"].get("loss"))


@app.command()
def show(context: typer.Context, job: Id, as_json: Json = False) -> None:
    """Show a job: state, progress, measures, and why it failed."""
    session: Session = context.obj
    with session.client() as client:
        record = client.job(job).record
    if as_json:
        return document(record)
    progress, error = record["progress"], record.get("error") or {}
    named = ("id", "type", "name", "status", "status_reason", "recipe", "dataset", "model", "attempt", "worker")
    times = {key: record.get(key) for key in ("created_at", "started_at", "finished_at")}
    facts(
        {key: record.get(key) for key in named}
        | {"step": f"{progress['step']} of {progress['total_steps']}", "eta": progress["eta"]}
        | {name: number(value) for name, value in record["metrics"].items()}
        | times
        | {"error": error.get("detail"), "hint": error.get("hint")}
    )
    return None


@app.command()
def follow(context: typer.Context, job: Id, picture: Picture = True, as_json: Json = False) -> None:
    """Follow a job until it ends; Ctrl-C leaves it alone. With --json every event is a line."""
    session: Session = context.obj
    with session.client() as client:
        follow_job(client.job(job), as_json=as_json, picture=picture)


@app.command()
def cancel(context: typer.Context, job: Id) -> None:
    """Cancel a job; it keeps its last checkpoint."""
    _command(context, job, "cancel")


@app.command()
def pause(context: typer.Context, job: Id) -> None:
    """Pause a training; `resume` goes on where it stopped."""
    _command(context, job, "pause")


@app.command()
def resume(context: typer.Context, job: Id) -> None:
    """Go on with a paused training."""
    _command(context, job, "resume")


@app.command()
def result(context: typer.Context, job: Id, out: Out = None, format_: Format = None) -> None:
    """Write the features that an encoding job has made. Example: pinwheel job result JOB -o features.npz"""
    session: Session = context.obj
    chosen = format_of(out, format_, FEATURE_FORMATS, "npz")
    with session.client() as client:
        write_result(client.job(job), out, chosen)


@app.command("rm")
def remove(context: typer.Context, job: Annotated[list[str], typer.Argument(metavar="JOB", help="Ids.")]) -> None:
    """Forget finished jobs and their files; models stay."""
    session: Session = context.obj
    with session.client() as client:
        for each in job:
            client.job(each).delete()
            note(f"{each} is gone")


def _command(context: typer.Context, job_id: str, command: str) -> None:
    session: Session = context.obj
    with session.client() as client:
        job: Job = client.job(job_id)
        getattr(job, command)()
        typer.echo(job.refresh().status)
