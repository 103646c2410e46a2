"""What one encode request may hold: so many images, and so many bytes of them once unpacked."""

from typing import TYPE_CHECKING, Self

from app.formats.limits import Limits
from pinwheel.errors import PayloadTooLarge

if TYPE_CHECKING:
    from pinwheel.settings import Settings

# Pixels unpack to more than their files: this many times `max_encode_bytes` may lie in memory for one request.
UNPACKED = 4


class Budget:
    """Counts what is taken; `limits` hold for one image and for what an archive unpacks to."""

    def __init__(self, limits: Limits, json_bytes: int) -> None:
        self.limits = limits
        self.json_bytes = json_bytes
        self._images = 0
        self._bytes = 0

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """Of a request that is answered at once."""
        limits = Limits(UNPACKED * settings.max_encode_bytes, settings.max_encode_images, settings.max_image_pixels)
        return cls(limits, settings.max_body_bytes)

    def take(self, count: int, size_bytes: int) -> None:
        """Raises `PayloadTooLarge` as soon as it is too much; to be called before the memory is taken."""
        self._images += count
        self._bytes += size_bytes
        if self._images > self.limits.max_images:
            raise PayloadTooLarge(
                f"There are {self._images} images or more; {self.limits.max_images} are allowed in one request. "
                "More are an encode job."
            )
        if self._bytes > self.limits.max_bytes:
            raise PayloadTooLarge(
                f"The images unpack to {self._bytes} bytes or more; {self.limits.max_bytes} are allowed in one request."
            )


def check_size(size: int, allowed: int, what: str) -> None:
    if size > allowed:
        raise PayloadTooLarge(f"{what} has {size} bytes; at most {allowed} are allowed.")
