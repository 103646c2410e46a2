"""The command line: `up` and `demo` run the service, everything else asks one that runs.

What a command found goes to stdout, progress and messages to stderr. Exit status: 0 succeeded, 1 failed, 2 the request
makes no sense, 3 cancelled, 4 no service answers.

Imports stay inside the commands: `pinwheel --help` must not load numpy or a server.
"""

from typing import Annotated

import typer

from pinwheel import __version__
from pinwheel.cli import data, doctor, encode, jobs, key, models, recipes, reindex, service, train
from pinwheel.cli.session import JSON_HELP, Session

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn sparse features from images: run the service, train, look at filters, encode.",
    epilog=f"A service at another address: --url or PINWHEEL_URL. {JSON_HELP}",
)
Url = Annotated[
    str, typer.Option(envvar="PINWHEEL_URL", help="Address of the service.", show_default="http://127.0.0.1:8000")
]
Key = Annotated[str | None, typer.Option(envvar="PINWHEEL_API_KEY", help="API key, where the service asks for one.")]


@app.callback()
def root(context: typer.Context, url: Url = "http://127.0.0.1:8000", api_key: Key = None) -> None:
    context.obj = Session(url.rstrip("/"), api_key)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


HERE, THERE = "Run it here", "Ask a service"
app.command(rich_help_panel=HERE)(service.up)
app.command(rich_help_panel=HERE)(service.demo)
app.command(rich_help_panel=HERE)(doctor.doctor)
app.command(rich_help_panel=HERE)(key.key)
app.command(rich_help_panel=HERE)(reindex.reindex)
app.command(rich_help_panel=THERE)(recipes.recipes)
app.command(rich_help_panel=THERE)(train.train)
app.add_typer(data.app, name="data", rich_help_panel=THERE)
app.command(rich_help_panel=THERE)(jobs.jobs)
app.add_typer(jobs.app, name="job", rich_help_panel=THERE)
app.command(rich_help_panel=THERE)(models.models)
app.add_typer(models.app, name="model", rich_help_panel=THERE)
app.command(rich_help_panel=THERE)(models.filters)
app.command(rich_help_panel=THERE)(encode.encode)
app.command(rich_help_panel=THERE)(models.export)


def main() -> None:
    app()
