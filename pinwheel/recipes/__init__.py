"""The systems that Pinwheel trains, one file each; this table is the list."""

from pinwheel.errors import InvalidConfig
from pinwheel.recipes.conv_group import CONV_GROUP
from pinwheel.recipes.conv_sparse import CONV_SPARSE
from pinwheel.recipes.drsae import DRSAE
from pinwheel.recipes.drsae_paper import DRSAE_PAPER
from pinwheel.recipes.group import GROUP
from pinwheel.recipes.inhibition import INHIBITION, INHIBITION_LEARNED, INHIBITION_RING, INHIBITION_SHEET
from pinwheel.recipes.lista import LISTA
from pinwheel.recipes.local import LOCAL
from pinwheel.recipes.noise import NOISE
from pinwheel.recipes.psd import PSD
from pinwheel.recipes.recipe import Recipe
from pinwheel.recipes.sparse_coding import SPARSE_CODING
from pinwheel.recipes.stacked import STACKED
from pinwheel.recipes.topographic import TOPOGRAPHIC
from pinwheel.recipes.tree import TREE

LIST = (
    DRSAE,
    DRSAE_PAPER,
    SPARSE_CODING,
    PSD,
    LISTA,
    GROUP,
    TOPOGRAPHIC,
    CONV_SPARSE,
    CONV_GROUP,
    STACKED,
    LOCAL,
    INHIBITION,
    INHIBITION_RING,
    INHIBITION_SHEET,
    INHIBITION_LEARNED,
    TREE,
    NOISE,
)
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in LIST}


def find(name: str) -> Recipe:
    """The recipe of this name; `InvalidConfig` names those that exist."""
    if name in RECIPES:
        return RECIPES[name]
    detail = f"There is no recipe {name!r}; there are: {', '.join(RECIPES)}."
    raise InvalidConfig(detail, errors=[{"pointer": "#/recipe", "code": "unknown_recipe", "detail": detail}])


__all__ = ["RECIPES", "Recipe", "find"]
