"""The tables of docs/models.md that follow from the specs; `python tests/house/models_page.py` writes them.

Each stands between two marks: `<!-- spec: NAME -->` the default spec of a recipe, `<!-- fits -->` which parts go
together; both end with `<!-- end of table -->`.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pinwheel.recipes import RECIPES, Recipe
from pinwheel.specs import Model, layers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
TABLE = re.compile(r"<!-- (spec: (?P<recipe>[\w-]+)|fits) -->\n(?P<table>.*?)<!-- end of table -->\n", re.DOTALL)
# Recipes of which only what differs from another one is told.
RELATIVE = {f"inhibition-{structure}": "inhibition" for structure in ("ring", "sheet", "learned")}

SOLVERS = ("fista", "coordinate-descent", "active-set")
ENCODERS: dict[str, dict[str, Any]] = {
    "`feedforward`, `relu`, `shrink` or `tanh`": {"kind": "feedforward", "activation": "shrink"},
    "`feedforward`, `linear`": {"kind": "feedforward", "activation": "linear"},
    "`recurrent`, start `drsae` or `random`": {"kind": "recurrent", "start": "random"},
    "`recurrent`, start `ista`": {"kind": "recurrent", "start": "ista"},
    **{f"`exact`, `{name}`": {"kind": "exact", "solver": {"method": name}} for name in SOLVERS},
    **{f"`predict-refine`, `{name}`": {"kind": "predict-refine", "solver": {"method": name}} for name in SOLVERS},
}
SPARSITIES: dict[str, dict[str, Any]] = {
    "`l1`": {"kind": "l1"},
    "`pools`": {"kind": "pools"},
    "`tree`": {"kind": "tree", "shape": {"branching": [3]}},
    "`inhibition`": {"kind": "inhibition", "structure": {"kind": "ring"}},
    "`noise`": {"kind": "noise"},
}


def stated(value: Any) -> str:
    """A value of a spec as the page shows it: a part by its kind and what is stated about it."""
    if isinstance(value, BaseModel):
        kind = [f"`{value.kind}`"] if hasattr(value, "kind") else []
        fields = [name for name in own_first(type(value)) if name in value.model_fields_set and name != "kind"]
        said = [f"`{name}` {within(getattr(value, name))}" for name in fields]
        return ", ".join(kind + said)
    if isinstance(value, str):
        return f"`{value}`"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def own_first(kind: type[BaseModel]) -> list[str]:
    """The fields of a kind: those that it alone has, then those that it shares with others."""
    return sorted(kind.model_fields, key=lambda name: name not in kind.__annotations__)


def within(value: Any) -> str:
    return f"({stated(value)})" if isinstance(value, BaseModel) else stated(value)


def rows(recipe: Recipe) -> dict[str, str]:
    """What the recipe states about each part; what is left out has the default of its field."""
    found: dict[str, str] = {}
    for number, layer in enumerate(layers(recipe.spec)):
        parts = {name: getattr(layer.model, name) for name in type(layer.model).model_fields}
        if number == 0:
            parts["preprocessing"] = recipe.spec.preprocessing
        parts["training"] = layer.training
        if layer.model.classifier.kind == "none":
            del parts["classifier"]
        if layer.model.output == "code":
            del parts["output"]
        # of a further layer what differs from the one below
        told = {name: stated(part) for name, part in parts.items()}
        place = "" if len(recipe.spec.stages) == 1 else f"stage {number}, "
        below = {name: found.get(f"stage {number - 1}, {name}") for name in told}
        found |= {
            name if name == "preprocessing" else place + name: text
            for name, text in told.items()
            if text != below[name]
        }
    return found


def spec_table(name: str) -> str:
    found = rows(RECIPES[name])
    if name in RELATIVE:
        shared = rows(RECIPES[RELATIVE[name]])
        found = {part: text for part, text in found.items() if shared.get(part) != text}
    return "| part | |\n| --- | --- |\n" + "".join(f"| {part} | {text} |\n" for part, text in found.items())


def fits(encoder: dict[str, Any], sparsity: dict[str, Any]) -> bool:
    parts = {"connection": {"kind": "dense", "units": 4}, "encoder": encoder, "sparsity": sparsity}
    try:
        Model.model_validate(parts)
    except ValidationError:
        return False
    return True


def fits_table() -> str:
    head = "| encoder | " + " | ".join(SPARSITIES) + " |\n" + "| --- " * (len(SPARSITIES) + 1) + "|\n"
    return head + "".join(
        f"| {name} | "
        + " | ".join("yes" if fits(encoder, sparsity) else "–" for sparsity in SPARSITIES.values())
        + " |\n"
        for name, encoder in ENCODERS.items()
    )


def with_tables(page: str) -> str:
    """The page with its tables as they must be now."""

    def renewed(found: re.Match[str]) -> str:
        table = spec_table(found["recipe"]) if found["recipe"] else fits_table()
        return f"<!-- {found[1]} -->\n\n{table}\n<!-- end of table -->\n"

    return TABLE.sub(renewed, page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
