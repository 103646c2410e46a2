"""A model is four parts that fit together: connection, encoder, sparsity, classifier.

E(x, z) = 1/2 ‖x − decode(z)‖²  +  sparsity(z)  [ + prediction ]  [ + classifier(z, label) ]
"""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec
from pinwheel.specs.classifier import Classifier, NoClassifier
from pinwheel.specs.connection import Connection, Conv, Dense, Local, Shape
from pinwheel.specs.encoder import Encoder, Exact, Feedforward, PredictRefine, Recurrent, Solver
from pinwheel.specs.sparsity import L1, Branches, Inhibition, Matrix, Noise, Pools, Ring, Sheet, Sparsity, Tree
from pinwheel.specs.trees import TreeShape

# Entries of one matrix of units by units, or of pools by units: 1 GiB of float32.
MOST_ENTRIES = 2**28
# Their groups are kept as lists, filled up to the longest of a level.
MOST_LINF_UNITS = 4096


class Model(Spec):
    """The four parts together. Those that do not fit are refused with both values named."""

    connection: Connection
    encoder: Encoder
    sparsity: Sparsity
    classifier: Classifier = NoClassifier()
    output: Literal["code", "pooled"] = Field(
        "code",
        description="What encoding answers and a classifier sees: the code, or the L2 norm of each of its pools.",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.output == "pooled" and not isinstance(self.sparsity, Pools):
            raise ValueError(f"output 'pooled' needs the sparsity 'pools', not {self.sparsity.kind!r}")
        if isinstance(self.connection, Dense):
            _check_structure(self.sparsity, self.connection.units)
            _check_amounts(self.encoder, self.sparsity, self.connection.units)
        else:
            _check_spatial(self.connection, self.encoder, self.sparsity)
        _check_encoder(self.encoder, self.sparsity)
        return self


def _check_spatial(connection: Conv | Local, encoder: Encoder, sparsity: Sparsity) -> None:
    """Whether these work on filters over an image."""
    layout = "maps" if isinstance(connection, Conv) else "sheet"
    if isinstance(sparsity, Pools):
        if sparsity.layout != layout:
            raise ValueError(
                f"pools on the connection {connection.kind!r} have the layout {layout!r}, not {sparsity.layout!r}"
            )
        if isinstance(connection, Conv) and (sparsity.size > connection.units or connection.units % sparsity.distance):
            raise ValueError(
                f"groups of {sparsity.size} maps, one every {sparsity.distance}, do not divide {connection.units} maps"
            )
    elif not isinstance(sparsity, L1):
        raise ValueError(
            f"sparsity {sparsity.kind!r} works on dense connections; on {connection.kind!r} 'l1' and 'pools' do"
        )
    if isinstance(encoder, Recurrent) and encoder.start == "drsae":
        raise ValueError(
            f"start 'drsae' takes a step that units with common pixels overshoot; on {connection.kind!r} 'ista' "
            "measures its own, and 'random' learns it"
        )
    solver = solver_of(encoder)
    if solver is not None and solver.method == "coordinate-descent":
        raise ValueError(f"solver 'coordinate-descent' works on dense connections; on {connection.kind!r} 'fista' does")


def _check_structure(sparsity: Sparsity, units: int) -> None:
    """Whether the structure holds exactly this many units."""
    if isinstance(sparsity, Pools):
        _check_pools(sparsity, units)
    if isinstance(sparsity, Tree):
        _equal("sparsity.shape", sparsity.shape.units, units)
    if not isinstance(sparsity, Inhibition):
        return
    structure = sparsity.structure
    if isinstance(structure, Ring) and structure.free_radius >= units // 2:
        raise ValueError(f"free_radius {structure.free_radius} on a ring of {units} units leaves none to inhibit")
    if isinstance(structure, Sheet):
        farthest = math.hypot(structure.map.height // 2, structure.map.width // 2)
        if structure.free_radius >= farthest:
            raise ValueError(f"free_radius {structure.free_radius} leaves none to inhibit: at most {farthest:g} apart")
    if isinstance(structure, Branches):
        _equal("sparsity.structure.shape", structure.shape.units, units)
    if isinstance(structure, Sheet):
        _equal("sparsity.structure.map", structure.map.height * structure.map.width, units)
    if isinstance(structure, Matrix):
        _equal("sparsity.structure.values", len(structure.values), units)


def _equal(place: str, found: int, units: int) -> None:
    if found != units:
        raise ValueError(f"{place} has {found} units and connection.units is {units}; they have to be equal")


def _check_pools(pools: Pools, units: int) -> None:
    if pools.layout in ("maps", "sheet"):
        raise ValueError(f"pools with the layout {pools.layout!r} need a connection over an image, 'conv' or 'local'")
    if pools.layout == "torus":
        found = pools.map_of(units)
        if pools.size > min(found.height, found.width):
            raise ValueError(f"pools of side {pools.size} are larger than the map of {found.height} × {found.width}")
    elif pools.size > units:
        raise ValueError(f"pools of size {pools.size} are larger than the {units} units")
    if pools.layout == "disjoint" and units % pools.size:
        raise ValueError(f"{units} units do not divide into disjoint pools of {pools.size}")


def _check_encoder(encoder: Encoder, sparsity: Sparsity) -> None:
    """Whether this encoder finds codes for this sparsity."""
    linear = isinstance(encoder, Feedforward) and encoder.activation == "linear"
    if isinstance(sparsity, Noise) and not linear:
        raise ValueError(
            f"sparsity 'noise' needs the encoder 'feedforward' with activation 'linear', not {encoder.kind!r}"
        )
    if isinstance(encoder, Recurrent) and encoder.start == "ista" and not isinstance(sparsity, L1):
        raise ValueError(f"start 'ista' takes its thresholds from sparsity 'l1', not {sparsity.kind!r}")
    solver = solver_of(encoder)
    if solver and solver.method == "coordinate-descent" and not isinstance(sparsity, L1 | Inhibition):
        raise ValueError(f"solver 'coordinate-descent' works with 'l1' and 'inhibition', not {sparsity.kind!r}")
    if solver and solver.method == "active-set" and not isinstance(sparsity, L1):
        raise ValueError(f"solver 'active-set' works with 'l1', not {sparsity.kind!r}")
    if solver and solver.method == "active-set" and isinstance(encoder, PredictRefine):
        raise ValueError("solver 'active-set' finds codes that nothing pulls at; 'predict-refine' needs 'fista'")


def _check_amounts(encoder: Encoder, sparsity: Sparsity, units: int) -> None:
    """Whether the matrices of the structure, all of which are kept in memory, are of a size that can be."""
    entries = units * units if isinstance(encoder, Recurrent) or isinstance(sparsity, Inhibition) else 0
    if isinstance(sparsity, Pools) and sparsity.layout != "disjoint":
        entries = max(entries, sparsity.num_pools(units) * max(units, sparsity.members))
    if isinstance(sparsity, Tree) and sparsity.norm == "linf" and units > MOST_LINF_UNITS:
        raise ValueError(f"a tree with norm 'linf' has at most {MOST_LINF_UNITS} units, not {units}; 'l2' takes more")
    if entries > MOST_ENTRIES:
        raise ValueError(f"{units} units make a matrix of {entries} entries; at most {MOST_ENTRIES} are kept")


def solver_of(encoder: Encoder) -> Solver | None:
    """The solver that finds codes while training, where there is one."""
    if isinstance(encoder, Exact | PredictRefine):
        return encoder.solver
    if isinstance(encoder, Recurrent) and encoder.target == "exact-code":
        return encoder.solver
    return None


def tree_shape(model: Model) -> TreeShape | None:
    """The tree that the units form, where they do."""
    sparsity = model.sparsity
    if isinstance(sparsity, Tree):
        return sparsity.shape
    if isinstance(sparsity, Inhibition) and isinstance(sparsity.structure, Branches):
        return sparsity.structure.shape
    return None


def unit_map(model: Model, image: Shape) -> dict[str, str | int | bool] | None:
    """How the filters lie in space: `layout` (ring, torus or sheet), `height`, `width` and, where its edges are open,
    `wrap`; None where they do not. `image` is the shape of an input."""
    connection, sparsity = model.connection, model.sparsity
    if isinstance(connection, Local):
        height, width = connection.map_shape(image)
        if connection.tile is None:
            return {"layout": "sheet", "height": height, "width": width, "wrap": False}
        return {"layout": "torus", "height": height, "width": width}
    if isinstance(connection, Conv):
        return None
    units = connection.units
    if isinstance(sparsity, Pools) and sparsity.layout == "torus":
        sides = sparsity.map_of(units)
        return {"layout": "torus", "height": sides.height, "width": sides.width}
    if isinstance(sparsity, Inhibition) and isinstance(sparsity.structure, Sheet):
        sides = sparsity.structure.map
        return {"layout": "sheet", "height": sides.height, "width": sides.width}
    ring = isinstance(sparsity, Pools) and sparsity.layout == "ring"
    if ring or (isinstance(sparsity, Inhibition) and isinstance(sparsity.structure, Ring)):
        return {"layout": "ring", "height": 1, "width": units}
    return None
