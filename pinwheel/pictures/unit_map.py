"""Where units lie: a map of rows and columns, or a tree."""

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Pairs = NDArray[np.int64]
MapLayout = Literal["torus", "ring", "sheet"]


@dataclass(frozen=True)
class UnitMap:
    """Unit r · width + c lies in row r and column c; a ring is one row. `wrap`: the map closes on itself."""

    layout: MapLayout
    height: int
    width: int
    wrap: bool = True

    @classmethod
    def from_json(cls, text: str) -> "UnitMap":
        """From `{"layout", "height", "width"}` and, where the edges are open, `"wrap": false`."""
        found: dict[str, Any] = json.loads(text)
        if found["layout"] not in get_args(MapLayout):
            raise ValueError(f"layout is {found['layout']!r}; it must be one of {', '.join(get_args(MapLayout))}")
        return cls(found["layout"], int(found["height"]), int(found["width"]), bool(found.get("wrap", True)))

    def as_json(self) -> dict[str, Any]:
        return {"layout": self.layout, "height": self.height, "width": self.width, "wrap": self.wrap}

    @property
    def units(self) -> int:
        return self.height * self.width

    def neighbours(self) -> Pairs:
        """(pairs, 2) units side by side or one above the other, each pair once."""
        grid = np.arange(self.units, dtype=np.int64).reshape(self.height, self.width)
        return np.concatenate([self._steps(grid), self._steps(grid.T)])

    def _steps(self, grid: Pairs) -> Pairs:
        """Pairs of units that follow each other in a row of `grid`."""
        following = np.roll(grid, -1, axis=1)
        # In a row of two, the step around the edge is the first step again.
        last = None if self.wrap and grid.shape[1] > 2 else -1
        return np.stack([grid[:, :last].ravel(), following[:, :last].ravel()], axis=1)


def depths(parent: NDArray[np.integer]) -> NDArray[np.int64]:
    """(units,) Steps from each unit up to its root, 0 for a root, where `parent` (units,) is −1."""
    depth = np.full(len(parent) + 1, -1, np.int64)  # the last entry is that of the parent −1
    for unit in breadth_first(parent):
        depth[unit] = depth[parent[unit]] + 1
    if (depth[:-1] < 0).any():
        raise ValueError(f"unit {int(np.argmax(depth < 0))} leads to no root")
    return depth[:-1]


def breadth_first(parent: NDArray[np.integer]) -> list[int]:
    """Units level by level over all trees; in each level the children of one unit stand together, by index."""
    children = children_of(parent)
    order = [unit for unit in range(len(parent)) if parent[unit] < 0]
    for unit in order:  # grows while it is read
        order += children[unit]
    return order


def children_of(parent: NDArray[np.integer]) -> list[list[int]]:
    """The children of each unit, by index."""
    children: list[list[int]] = [[] for _ in parent]
    for unit, above in enumerate(parent.tolist()):
        if above >= 0:
            children[above].append(unit)
    return children
