"""How much an upload may hold. Plain numbers, so that the converter's child starts without reading settings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pinwheel.errors import InvalidDataset, PayloadTooLarge

if TYPE_CHECKING:
    from pinwheel.settings import Settings

MEBIBYTE = 1024 * 1024

# A deflated picture hardly shrinks; an archive's entry that unpacks to 200 times its size is made to do harm.
MOST_RATIO = 200
RATIO_CHECKED_FROM = 16 * MEBIBYTE
VALUES_PER_PIXEL = 4
MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Limits:
    """`max_bytes` of the stored pixels and of everything unpacked, `max_images`, `max_pixels` of one image."""

    max_bytes: int
    max_images: int
    max_pixels: int

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        return cls(settings.max_dataset_bytes, settings.max_dataset_images, settings.max_image_pixels)

    def check_bytes(self, size: int, what: str) -> None:
        if size > self.max_bytes:
            raise PayloadTooLarge(f"{what}: {size} bytes; at most {self.max_bytes} bytes are allowed.")

    def check_images(self, count: int) -> None:
        if count > self.max_images:
            raise PayloadTooLarge(f"There are {count} images or more; at most {self.max_images} are allowed.")

    def check_image(self, height: int, width: int, channels: int, name: str) -> None:
        """Raises `PayloadTooLarge` for too many pixels, `InvalidDataset` for none at all."""
        if min(height, width, channels) < 1:
            raise InvalidDataset(f"{name} is {height}×{width}×{channels}: every side must be at least 1.")
        if height * width > self.max_pixels:
            raise PayloadTooLarge(
                f"{name} has {height}×{width} = {height * width} pixels; at most {self.max_pixels} are allowed."
            )
        if height * width * channels > VALUES_PER_PIXEL * self.max_pixels:
            most = VALUES_PER_PIXEL * self.max_pixels
            raise PayloadTooLarge(f"{name} has {height * width * channels} values; at most {most} are allowed.")
