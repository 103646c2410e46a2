"""What is asked of images larger than a model's patches, and how many numbers it gives of each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.fitting import check_result, check_topk, refused
from app.geometry import feature_shape
from pinwheel.errors import PayloadTooLarge
from pinwheel.specs import ANY_SPEC, layers
from pinwheel.specs.jobs import Pool
from pinwheel.windows import count

MOST_PATCHES = 200_000  # of all images of one request; more are a job
MOST_PATCHES_OF_ONE = 4_000_000
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Pooling:
    """`pool` and `stride` of a request, None where nothing is said. `pointer` is where they stand in it."""

    pool: Pool | None = None
    stride: int | None = None
    pointer: str = "#/query"

    def check(self, record: Record) -> None:
        """Raises `InvalidConfig` for a stride that the model's patches do not have."""
        size = patch_size(record)
        if self.stride is not None and (size is None or self.stride > size):
            name = f"{record['name']}@{record['version']}"
            allowed = (
                f"takes whole images of {record['input_shape']} and has none" if size is None else f"takes 1 to {size}"
            )
            raise refused(f"{self.pointer}/stride", "too_large", f"stride is {self.stride}; {name} {allowed}")

    def check_one(self, record: Record, size: Sequence[int]) -> None:
        """Raises `InvalidConfig` where one image of this (height, width, …) has too many patches."""
        patches = self.patches(record, size)
        if patches > MOST_PATCHES_OF_ONE:
            detail = (
                f"an image of {size[0]} × {size[1]} has {patches} patches; at most {MOST_PATCHES_OF_ONE} are encoded: "
                "take a larger stride"
            )
            raise refused(f"{self.pointer}/stride", "too_small", detail)

    def check_request(self, record: Record, images: int, size: Sequence[int]) -> None:
        """Raises `PayloadTooLarge` where all images together have more patches than one request may."""
        patches = images * self.patches(record, size)
        if patches > MOST_PATCHES:
            detail = f"{images} images of {size[0]} × {size[1]} have {patches} patches; {MOST_PATCHES} are allowed"
            raise PayloadTooLarge(f"{detail} in one request. More are an encode job.")

    def check_dataset(self, record: Record, dataset: Record, layer: int | None, output: Record) -> None:
        """Raises `InvalidConfig` where a whole data set, which the model takes, cannot be encoded so."""
        images = dataset["images"]
        varied = images["variable_size"] and patch_size(record) is not None
        if varied and self.pool == "none":
            detail = "the images have different sizes, and with pool 'none' different numbers of features: pool them"
            raise refused(f"{self.pointer}/pool", "different_sizes", detail)
        if varied:
            features = math.prod(self.feature_shape(record, layer, record["input_shape"]))
        else:
            size = images["shape"][:2] if patch_size(record) is not None else record["input_shape"]
            self.check_one(record, size)
            features = math.prod(self.feature_shape(record, layer, size))
        output_pointer = f"{self.pointer}/output" if self.pointer == "#" else self.pointer
        check_topk(features, output["topk"], f"{output_pointer}/topk")
        check_result(images["count"], features, dense=not output["sparse"])

    def patches(self, record: Record, size: Sequence[int]) -> int:
        """Patches of an image of this (height, width, …)."""
        return math.prod(self._grid(record, size))

    def _grid(self, record: Record, size: Sequence[int]) -> tuple[int, int]:
        patch = patch_size(record)
        if patch is None:
            return 1, 1
        return count(size[0], patch, self.stride), count(size[1], patch, self.stride)

    def feature_shape(self, record: Record, layer: int | None, size: Sequence[int]) -> list[int]:
        """What encoding gives for one image of this (height, width, …): with `none` rows and columns of patches first,
        of a convolution then its own; in the end units."""
        shape = feature_shape(record, layer)
        if self.pool == "none":
            return shape if patch_size(record) is None else [*self._grid(record, size), *shape]
        pooled = self.pool is not None and len(shape) == 3 and _connection(record, layer) == "conv"
        return shape[-1:] if pooled else shape


def patch_size(record: Record) -> int | None:
    """Side of the patches that the model was trained on, None where it takes whole images."""
    size: int | None = record["spec"]["preprocessing"]["patch_size"]
    return size


def _connection(record: Record, layer: int | None) -> str:
    return layers(ANY_SPEC.validate_python(record["spec"]))[-1 if layer is None else layer].model.connection.kind
