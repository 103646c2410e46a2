"""What is done to an image before a model sees it. Saved with the model and applied by every encode.

In this order: color, normalisation of the whole image (`whiten: lcn` or `fourier`), patches, scale, ZCA.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from pinwheel.specs.base import Spec

ALL_PATCHES = 100_000  # drawn from all images together where `patches_per_image` is null
MOST_PATCH_BYTES = 4 * 2**30  # patches of a training lie in memory as float32
MOST_ZCA_INPUTS = 4096  # its matrix is inputs × inputs


class Preprocessing(Spec):
    color: Literal["keep", "gray"] = Field("keep", description="`gray` makes one channel of three (BT.601 luma).")
    patch_size: int | None = Field(
        None, ge=2, le=512, description="Side of the square patches that the model sees; null is whole images."
    )
    patches_per_image: int | None = Field(
        None, ge=1, le=10_000_000, description="Patches drawn from each image for training; null: 100000 in all."
    )
    flat_below: float = Field(
        0.1,
        ge=0,
        le=100,
        description="Patches that deviate by no more than this share of what all pixels do are not drawn.",
    )
    scale: Literal["none", "unit-norm", "standard"] = Field(
        "unit-norm",
        description="`unit-norm` divides each input by its L2 norm; `standard` gives it mean 0 and deviation 1.",
    )
    whiten: Literal["none", "zca", "lcn", "fourier"] = Field(
        "none",
        description=(
            "`zca` removes the mean and the correlations of the training inputs; `lcn` subtracts the local mean of the "
            "image and divides by its local deviation; `fourier` makes all frequencies of the image up to `cutoff` "
            "equally strong and then divides by the local deviation."
        ),
    )
    zca_epsilon: float = Field(
        0.01, gt=0, le=1000, description="Added to the variances, as a share of their mean, before their roots divide."
    )
    lcn_sigma: float = Field(
        3.0, gt=0, le=20, description="Width of the Gaussian window of `lcn` and `fourier`, in pixels."
    )
    cutoff: float = Field(
        0.4, gt=0, le=1, description="Where `fourier` ends, in cycles per pixel: r(f) = f exp(−(f / cutoff)⁴)."
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.patches_per_image is not None and self.patch_size is None:
            raise ValueError(f"patches_per_image is {self.patches_per_image} and patch_size is null; give a patch_size")
        if self.whiten == "zca" and self.patch_size is not None and self.patch_size**2 > MOST_ZCA_INPUTS:
            raise ValueError(
                f"whiten 'zca' takes inputs of at most {MOST_ZCA_INPUTS} values and a patch_size of {self.patch_size} "
                f"gives {self.patch_size**2}"
            )
        return self

    def input_shape(self, image: tuple[int, int, int]) -> tuple[int, int, int]:
        """(H, W, C) of one input of the model, from the shape of an image; `patch_size` overrides its sides.

        Raises ValueError for channels that cannot be made gray.
        """
        height, width, channels = image
        if self.color == "gray":
            if channels not in (1, 3):
                raise ValueError(f"the images have {channels} channels; color 'gray' takes 1 or 3")
            channels = 1
        if self.patch_size is not None:
            height = width = self.patch_size
        return height, width, channels

    def inputs_from(self, images: int) -> int:
        """How many inputs this many images give for training: patches, or the images themselves."""
        if self.patch_size is None:
            return images
        return ALL_PATCHES if self.patches_per_image is None else self.patches_per_image * images
