"""`pinwheel key`: a new API key."""

from typing import Annotated

import typer

from pinwheel.cli.session import USAGE, fail, note

Name = Annotated[str, typer.Argument(help="Whose key it is; it appears in the log.")]
ScopeName = Annotated[str, typer.Option("--scope", help="read, encode, train or admin; each may what the former may.")]


def key(name: Name, scope: ScopeName = "train") -> None:
    """Make an API key: the key on stdout, the entry for PINWHEEL_API_KEYS on stderr. The key is kept nowhere.

    Example: pinwheel key alice --scope encode
    """
    from pinwheel.access import Scope, new_key

    try:
        secret, entry = new_key(name, Scope.named(scope))
    except ValueError as error:
        fail(str(error), USAGE)
    note(f"Add this entry to PINWHEEL_API_KEYS of the server (entries are parted by commas):\n  {entry}\nThe key:")
    typer.echo(secret)
