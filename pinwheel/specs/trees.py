"""Trees of units, from a branching or from explicit parents. −1 is the parent of a root."""

from typing import Self

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec

MOST_TREE_UNITS = 65536
MOST_DEPTH = 64


class TreeShape(Spec):
    """Give `branching` or `parents`. [10, 2, 2] is a root with 10 children, each with 2, each of these with 2."""

    branching: list[int] | None = Field(
        None, max_length=MOST_DEPTH - 1, description="Children of each unit, level by level below the root."
    )
    trees: int = Field(1, ge=1, le=4096, description="Number of equal trees, with `branching`.")
    parents: list[int] | None = Field(None, description="Parent of each unit, −1 for a root.")

    @model_validator(mode="after")
    def _is_a_tree(self) -> Self:
        if (self.branching is None) == (self.parents is None):
            given = "none of them" if self.parents is None else "both"
            raise ValueError(f"give branching or parents and set the other to null; given are {given}")
        if self.parents is not None:
            if self.trees != 1:
                raise ValueError(f"trees is {self.trees}, which goes with branching; parents say it by their roots")
            _check_parents(self.parents)
        elif any(children < 1 for children in self.branching or ()):
            raise ValueError(f"branching is {self.branching}; every level needs at least 1 child")
        elif self.units > MOST_TREE_UNITS:
            raise ValueError(f"the tree has {self.units} units; at most {MOST_TREE_UNITS} are allowed")
        return self

    @property
    def units(self) -> int:
        if self.parents is not None:
            return len(self.parents)
        total, level = 1, 1
        for children in self.branching or ():
            level *= children
            total += level
            if total * self.trees > MOST_TREE_UNITS:
                break
        return total * self.trees

    def parent_of_each(self) -> list[int]:
        """(units,) Level by level over all trees: roots first."""
        if self.parents is not None:
            return list(self.parents)
        parents = [-1] * self.trees
        level = list(range(self.trees))
        for children in self.branching or ():
            below = [unit for unit in level for _ in range(children)]
            level = list(range(len(parents), len(parents) + len(below)))
            parents += below
        return parents


def _check_parents(parents: list[int]) -> None:
    if not 1 <= len(parents) <= MOST_TREE_UNITS:
        raise ValueError(f"parents has {len(parents)} entries; 1 to {MOST_TREE_UNITS} are allowed")
    for unit, parent in enumerate(parents):
        if not -1 <= parent < len(parents):
            raise ValueError(f"the parent of unit {unit} is {parent}; −1 to {len(parents) - 1} is allowed")
    depths = [0 if parent == -1 else None for parent in parents]
    for unit in range(len(parents)):
        path: list[int] = []
        on_path = set()
        while depths[unit] is None:
            if unit in on_path:
                raise ValueError(f"parents form a cycle: {_shown([*path[path.index(unit) :], unit])}")
            path.append(unit)
            on_path.add(unit)
            unit = parents[unit]
        depth = depths[unit]
        assert depth is not None
        for passed in reversed(path):
            depth += 1
            depths[passed] = depth
        if depth >= MOST_DEPTH:
            raise ValueError(f"the tree is {depth + 1} units deep; at most {MOST_DEPTH} are allowed")


def _shown(units: list[int]) -> str:
    if len(units) > 12:
        return " → ".join(map(str, units[:6])) + f" → … ({len(units) - 1} units)"
    return " → ".join(map(str, units))
