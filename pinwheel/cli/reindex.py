"""`pinwheel reindex`: a lost store, filled again from the data folder."""

import json
from contextlib import nullcontext
from dataclasses import asdict

import typer

from pinwheel.cli.service import Data
from pinwheel.cli.session import FAILED, UNREACHABLE, USAGE, Json, fail, note


def reindex(data: Data = None, as_json: Json = False) -> None:
    """Put data sets, models and ended jobs of the data folder back into a store that has lost them.

    The store is that of PINWHEEL_REDIS_URL, else the embedded one of the folder, running or not. What it knows stays.
    """
    from pinwheel.settings import settings
    from pinwheel.store.artifacts import Artifacts
    from pinwheel.store.connection import UNREACHABLE as AWAY
    from pinwheel.store.connection import connect
    from pinwheel.store.reindex import reindex as put_back
    from pinwheel.up import CannotStart
    from pinwheel.up.store_alone import store_of

    config = settings()
    folder = data or config.data_dir
    if not folder.is_dir():
        fail(f"there is no folder {folder}; name it with --data", USAGE)
    try:
        with nullcontext(config.redis_url) if config.redis_url else store_of(folder) as url:
            found = put_back(connect(str(url)), Artifacts(folder))
    except CannotStart as error:
        fail(str(error), error.exit_code)
    except AWAY as error:
        fail(f"The store does not answer: {error}", UNREACHABLE)
    for line in found.unreadable:
        note(f"unreadable: {line}")
    if as_json:
        typer.echo(json.dumps(asdict(found)))
    else:
        told = f"{found.datasets} data sets, {found.models} models and {found.jobs} ended jobs put back"
        typer.echo(f"{told}; {found.known} were known.")
    if found.unreadable:
        raise typer.Exit(FAILED)
