"""`pinwheel recipes`: what can be trained."""

from typing import Annotated

import typer

from pinwheel.cli.session import Json, Session, document, facts, table

Name = Annotated[str | None, typer.Argument(help="One recipe, with its paper and its whole default spec.")]


def recipes(context: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """List the recipes, or show one: its paper, cost and settings."""
    session: Session = context.obj
    with session.client() as client:
        if name is None:
            found = client.recipes()
            if as_json:
                return document(found)
            return table(("recipe", "what it is"), [(each["name"], each["title"]) for each in found])
        recipe = client.recipe(name)
    if as_json:
        return document(recipe)
    facts({key: recipe[key] for key in ("name", "title", "summary", "paper", "cost", "dataset") if recipe.get(key)})
    typer.echo()
    return table(("setting", "default"), sorted(_flat(recipe["spec"]).items()))


def _flat(value: object, name: str = "") -> dict[str, object]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`, the names that `--set` takes."""
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        value = {str(number): each for number, each in enumerate(value)}
    if not isinstance(value, dict):
        return {name: value}
    found: dict[str, object] = {}
    for key, each in value.items():
        found |= _flat(each, f"{name}.{key}" if name else str(key))
    return found
