"""The systems that Pinwheel trains, one file each; this table is the list."""

from pinwheel.errors import InvalidConfig
from pinwheel.recipes.drsae import DRSAE
from pinwheel.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (DRSAE,)}


def find(name: str) -> Recipe:
    """The recipe of this name; `InvalidConfig` names those that exist."""
    if name in RECIPES:
        return RECIPES[name]
    detail = f"There is no recipe {name!r}; there are: {', '.join(RECIPES)}."
    raise InvalidConfig(detail, errors=[{"pointer": "#/recipe", "code": "unknown_recipe", "detail": detail}])


__all__ = ["RECIPES", "Recipe", "find"]
