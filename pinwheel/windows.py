"""Where the windows are that an image larger than a model's patches is cut into.

Every `stride` pixels one begins, and the last of a row or column ends at the border, so that they cover the image
wherever the stride is at most their size.
"""


def starts(length: int, size: int, stride: int | None = None) -> list[int]:
    """First pixels of windows of `size` on an axis of `length` ≥ size; side by side without a `stride`."""
    return sorted({*range(0, length - size + 1, stride or size), length - size})


def count(length: int, size: int, stride: int | None = None) -> int:
    """How many there are."""
    step = stride or size
    return (length - size) // step + 1 + bool((length - size) % step)
