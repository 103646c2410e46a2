"""What makes codes sparse: a penalty with a weight, and the structure that it gives the units."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec
from pinwheel.specs.trees import TreeShape

Weight = Annotated[float, Field(ge=0, le=1000, description="Sparsity weight λ.")]
Side = Annotated[int, Field(ge=1, le=65536)]


class Map(Spec):
    """Units laid out in rows; unit r · width + c stands in row r, column c."""

    height: Side
    width: Side


class L1(Spec):
    """weight · ‖z‖₁"""

    kind: Literal["l1"] = "l1"
    weight: Weight = 0.018


class Pools(Spec):
    """weight · Σ_P √(Σ_{j ∈ P} g_j z_j²)"""

    kind: Literal["pools"] = "pools"
    weight: Weight = 0.1
    layout: Literal["disjoint", "ring", "torus", "maps", "sheet"] = Field(
        "disjoint",
        description=(
            "Dense units: in turn, no two pools sharing one; windows on a ring; square windows on a torus. `maps`: "
            "groups of the maps of a convolution, over a window of positions. `sheet`: square windows on the sheet of "
            "local units."
        ),
    )
    size: int = Field(
        4, ge=1, le=65536, description="Units of a pool; on a torus or sheet the side of its square; maps of a group."
    )
    stride: int | None = Field(None, ge=1, le=65536, description="Units from one pool to the next; null is the size.")
    window: int = Field(1, ge=1, le=1024, description="Side of the window of positions, with the layout `maps`.")
    window_stride: int | None = Field(
        None, ge=1, le=1024, description="Positions from one window to the next; null is the window."
    )
    profile: Literal["flat", "gaussian"] = Field(
        "flat", description="All g are 1, or g falls from the middle of the pool as exp(−d² / 2σ²)."
    )
    sigma: float | None = Field(None, gt=0, le=1000, description="σ of the Gaussian profile in units; null: size / 4.")
    map: Map | None = Field(None, description="Sides of the torus; null is a square.")
    smoothing: float = Field(
        1e-6, gt=0, le=1, description="Added under each square root where pools overlap or are differentiated."
    )

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        if self.stride is not None and self.stride > self.size:
            raise ValueError(f"stride {self.stride} with pools of size {self.size} leaves units in no pool")
        if self.layout == "disjoint" and self.stride not in (None, self.size):
            raise ValueError(f"disjoint pools of size {self.size} have that stride, not {self.stride}")
        if self.map is not None and self.layout != "torus":
            raise ValueError(f"a map goes with the layout 'torus', not {self.layout!r}")
        self._check_window()
        self._check_profile()
        return self

    def _check_window(self) -> None:
        if self.layout != "maps" and (self.window, self.window_stride) != (1, None):
            raise ValueError(f"window {self.window} goes with the layout 'maps', not {self.layout!r}")
        if self.window_stride is not None and self.window_stride > self.window:
            raise ValueError(
                f"window_stride {self.window_stride} with windows of {self.window} leaves units in no pool"
            )

    def _check_profile(self) -> None:
        if self.sigma is not None and self.profile != "gaussian":
            raise ValueError(f"sigma goes with the profile 'gaussian', not {self.profile!r}")
        if self.sigma is not None and self.sigma < self.size / 12:
            raise ValueError(
                f"sigma {self.sigma} leaves nothing at the edge of a pool of size {self.size}; "
                f"it is at least size / 12, {self.size / 12:.3g}"
            )
        if self.layout in ("disjoint", "maps") and self.profile == "gaussian":
            raise ValueError(
                f"a gaussian profile goes with pools on a ring, a torus or a sheet; those of {self.layout!r} are flat"
            )

    @property
    def distance(self) -> int:
        """Units from one pool to the next."""
        return self.stride or self.size

    @property
    def window_distance(self) -> int:
        """Positions from one window to the next."""
        return self.window_stride or self.window

    @property
    def members(self) -> int:
        """Units of one pool."""
        return self.size**2 if self.layout == "torus" else self.size

    def num_pools(self, units: int) -> int:
        if self.layout != "torus":
            return -(-units // self.distance)
        sides = self.map_of(units)
        return -(-sides.height // self.distance) * -(-sides.width // self.distance)

    def map_of(self, units: int) -> Map:
        """The torus of this many units. Raises ValueError where it does not exist."""
        side = round(units**0.5)
        found = self.map or Map(height=side, width=side)
        if found.height * found.width != units:
            wanted = f"a map of {found.height} × {found.width}" if self.map else "a square map (none was given)"
            raise ValueError(f"{wanted} does not hold {units} units")
        return found


class Tree(Spec):
    """weight · Σ_g ‖z_g‖ over every unit with all its descendants: a unit is active only where its ancestors are."""

    kind: Literal["tree"] = "tree"
    weight: Weight = 0.1
    shape: TreeShape = TreeShape(branching=[10, 2, 2])
    norm: Literal["l2", "linf"] = Field("l2", description="Norm of each group: L2, or the largest magnitude.")
    prune_below: float | None = Field(
        None, gt=0, le=1, description="Cut branches whose top unit is active for a smaller share of inputs; null: none."
    )
    prune_at: float = Field(0.7, gt=0, le=1, description="Share of the steps after which they are cut; 1: at the end.")


class Ring(Spec):
    """Unit i inhibits the units farther than `free_radius` and up to `radius` around a ring."""

    kind: Literal["ring"] = "ring"
    free_radius: int = Field(1, ge=0, le=65536, description="Neighbours up to this distance are not inhibited.")
    radius: int | None = Field(None, ge=1, le=65536, description="Nor are units beyond this distance; null: all are.")

    @model_validator(mode="after")
    def _inhibits(self) -> Self:
        _check_radii(self.free_radius, self.radius)
        return self


class Sheet(Spec):
    """As `ring`, on a map that closes on itself in both directions; distances are Euclidean."""

    kind: Literal["sheet"] = "sheet"
    map: Map = Map(height=10, width=10)
    free_radius: float = Field(1.5, ge=0, le=65536, description="Neighbours up to this distance are not inhibited.")
    radius: float | None = Field(None, gt=0, le=65536, description="Nor are units beyond this distance.")

    @model_validator(mode="after")
    def _inhibits(self) -> Self:
        _check_radii(self.free_radius, self.radius)
        return self


def _check_radii(free_radius: float, radius: float | None) -> None:
    if radius is not None and radius <= free_radius:
        raise ValueError(f"radius {radius} leaves nothing beyond free_radius {free_radius} to inhibit")


class Branches(Spec):
    """Every unit inhibits all but its own branch: ancestors and descendants go together."""

    kind: Literal["tree"] = "tree"
    shape: TreeShape = TreeShape(branching=[10, 2, 2])


MOST_INHIBITION = 1000.0


class Matrix(Spec):
    """The inhibition matrix itself: symmetric, not negative, zeros on the diagonal."""

    kind: Literal["matrix"] = "matrix"
    values: list[list[float]] = Field(min_length=1, max_length=4096, description="Rows of the matrix.")

    @model_validator(mode="after")
    def _is_an_inhibition(self) -> Self:
        units = len(self.values)
        for i, row in enumerate(self.values):
            if len(row) != units:
                raise ValueError(f"row {i} has {len(row)} entries; a matrix of {units} rows needs {units}")
        for i, row in enumerate(self.values):
            for j, value in enumerate(row):
                if value > MOST_INHIBITION:
                    raise ValueError(f"entry {i}, {j} is {value}; at most {MOST_INHIBITION} is allowed")
                if value < 0:
                    raise ValueError(f"entry {i}, {j} is {value}; inhibition is never negative")
                if i == j and value != 0:
                    raise ValueError(f"entry {i}, {i} is {value}; the diagonal is zero")
                if value != self.values[j][i]:
                    raise ValueError(
                        f"entry {i}, {j} is {value} and entry {j}, {i} is {self.values[j][i]}; it has to be symmetric"
                    )
        return self


class Learned(Spec):
    """Learned by gradient ascent: S ← S + rate · mean |z||z|ᵀ, kept symmetric, within bounds, rows of one sum."""

    kind: Literal["learned"] = "learned"
    rate: float = Field(0.2, gt=0, le=1000, description="Size of the ascent steps.")
    max_value: float = Field(1.0, gt=0, le=1000, description="Upper bound β of every entry.")
    row_sum: float = Field(16.0, gt=0, le=1e6, description="Sum α of every row.")


Structure = Annotated[Ring | Sheet | Branches | Matrix | Learned, Field(discriminator="kind")]


class Inhibition(Spec):
    """weight · 1/2 |z|ᵀ S |z|"""

    kind: Literal["inhibition"] = "inhibition"
    weight: Weight = 0.5
    structure: Structure = Branches()


class Noise(Spec):
    """weight · KL(N(z, σ²) ‖ N(0, 1)): the code is a mean, and noise of a learned size is added while training."""

    kind: Literal["noise"] = "noise"
    weight: Weight = 1.0


Sparsity = Annotated[L1 | Pools | Tree | Inhibition | Noise, Field(discriminator="kind")]
