"""Linear maps between inputs and units."""

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec

Shape: TypeAlias = tuple[int, int, int]


class Trained(Spec):
    """What the dictionaries of all connections have in common."""

    max_norm: float = Field(1.0, gt=0, le=1000, description="L2 norm of each dictionary column, or its upper bound.")
    norm: Literal["bounded", "fixed"] = Field(
        "bounded", description="`bounded` keeps each column's norm at or below `max_norm`; `fixed` keeps it there."
    )
    update: Literal["adam", "diagonal-hessian"] = Field(
        "adam",
        description=(
            "How the dictionary follows its gradient: `adam`, by the training's optimizer, as everything else; or "
            "divided by each unit's mean squared code, which keeps columns free of noise where all units are active at "
            "once."
        ),
    )
    update_rate: float = Field(0.1, gt=0, le=1, description="Share of a `diagonal-hessian` step that is taken.")


class Dense(Trained):
    """Every unit sees every input."""

    kind: Literal["dense"] = "dense"
    units: int = Field(400, ge=1, le=65536, description="Number of units of the code.")

    @property
    def filters(self) -> int:
        return self.units

    def code_shape(self, image: Shape) -> Shape:
        return 1, 1, self.units


class Conv(Trained):
    """Kernels that are the same everywhere: a map of units for each of them, at every `stride`-th pixel."""

    kind: Literal["conv"] = "conv"
    units: int = Field(64, ge=1, le=4096, description="Number of kernels, each with a map of units.")
    kernel_size: int = Field(9, ge=1, le=64, description="Side of the square kernels, in pixels.")
    stride: int = Field(1, ge=1, le=64, description="Pixels from one unit of a map to the next.")
    padding: int = Field(0, ge=0, le=63, description="Pixels by which kernels may reach over the borders.")

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if self.stride > self.kernel_size:
            raise ValueError(f"stride {self.stride} with kernels of {self.kernel_size} pixels leaves pixels unseen")
        if self.padding >= self.kernel_size:
            raise ValueError(f"padding {self.padding} lets kernels of {self.kernel_size} pixels see no image at all")
        return self

    @property
    def filters(self) -> int:
        return self.units

    def code_shape(self, image: Shape) -> Shape:
        """(rows, columns, units). Raises ValueError for an image that the kernels do not fit into or do not cover."""
        down, right = (self._positions(side, image) for side in image[:2])
        return down, right, self.units

    def _positions(self, side: int, image: Shape) -> int:
        room = side + 2 * self.padding - self.kernel_size
        if room < 0:
            raise ValueError(
                f"connection.kernel_size is {self.kernel_size} and the images are {image[0]} × {image[1]} (padding "
                f"{self.padding}); a kernel has to fit into every image"
            )
        unseen = room % self.stride - self.padding
        if unseen > 0:
            raise ValueError(
                f"kernels of {self.kernel_size} pixels at a stride of {self.stride} leave {unseen} of {side} pixels "
                f"unseen (padding {self.padding}); images of {side - unseen} fit"
            )
        return room // self.stride + 1


class Local(Trained):
    """Every unit has its own filter on its own field of the image: nothing is shared.

    The units lie on a sheet over the image, a small square of `units_per_position` at every `field_stride`-th pixel.
    With `tile` the block of tile × tile positions is repeated over the image, and the sheet of filters closes.
    """

    kind: Literal["local"] = "local"
    field_size: int = Field(13, ge=2, le=64, description="Side of the square field of each unit, in pixels.")
    field_stride: int = Field(1, ge=1, le=64, description="Pixels from one position to the next.")
    units_per_position: Literal[1, 4, 9, 16] = Field(1, description="Units at each position, a square of them.")
    tile: int | None = Field(
        None, ge=2, le=1024, description="Positions after which the filters repeat, down and right; null: never."
    )

    @model_validator(mode="after")
    def _covers(self) -> Self:
        if self.field_stride > self.field_size:
            raise ValueError(
                f"field_stride {self.field_stride} with fields of {self.field_size} pixels leaves pixels unseen"
            )
        return self

    @property
    def side(self) -> int:
        """Side of the square of units at one position."""
        return math.isqrt(self.units_per_position)

    def positions(self, image: Shape) -> tuple[int, int]:
        """Down and right. Raises ValueError for an image that fields do not cover or that tiles do not fill."""
        down, right = (self._positions(side, image) for side in image[:2])
        if self.tile is not None and (down % self.tile or right % self.tile):
            step, size = self.field_stride, self.field_size
            sides = [(self.tile * times - 1) * step + size for times in (1, 2)]
            raise ValueError(
                f"images of {image[0]} × {image[1]} have {down} × {right} positions, which tiles of {self.tile} do not "
                f"fill; images of {sides[0]}, {sides[1]}, … pixels a side have whole tiles"
            )
        return down, right

    def _positions(self, side: int, image: Shape) -> int:
        room = side - self.field_size
        if room < 0:
            raise ValueError(
                f"connection.field_size is {self.field_size} and the images are {image[0]} × {image[1]}; a field has "
                "to fit into every image"
            )
        if room % self.field_stride:
            raise ValueError(
                f"fields of {self.field_size} pixels at a stride of {self.field_stride} leave "
                f"{room % self.field_stride} of {side} pixels unseen; images of {side - room % self.field_stride} fit"
            )
        return room // self.field_stride + 1

    def code_shape(self, image: Shape) -> Shape:
        """(rows, columns, 1) of the sheet of units."""
        down, right = self.positions(image)
        return down * self.side, right * self.side, 1

    def map_shape(self, image: Shape) -> tuple[int, int]:
        """Rows and columns of the sheet of filters, which is that of the units where nothing repeats."""
        down, right = self.positions(image) if self.tile is None else (self.tile, self.tile)
        return down * self.side, right * self.side


Connection = Annotated[Dense | Conv | Local, Field(discriminator="kind")]
