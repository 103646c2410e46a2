"""The images of an encode request in a model's shape."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.formats.color import in_color
from pinwheel.errors import InvalidDataset


class ModelInputs(NamedTuple):
    """What a model takes: images of this (height, width, channels), or `larger` ones that it cuts into patches."""

    shape: tuple[int, int, int]
    larger: bool


@dataclass(frozen=True)
class Inputs:
    """Either one array with the images along its first axis (or one image alone), or single images of any shapes."""

    images: list[NDArray[Any]]
    stacked: bool = False


def fit(inputs: Inputs, shape: tuple[int, int, int], larger: bool = False) -> NDArray[Any]:
    """The images as (N, H, W, C), uint8 or float32, for a model of this (H, W, C).

    A missing axis of channels is added, vectors of H·W·C values are folded, gray and RGB are turned into each other.
    uint8 beside float32 becomes value / 255. Another size is refused, where `larger` a smaller one, and so are images
    of several sizes: `InvalidDataset` names both shapes.
    """
    if inputs.stacked:
        return _fit_stack(inputs.images[0], shape, larger)
    images = [fit_one(image, shape, larger, f"Image {number}") for number, image in enumerate(inputs.images)]
    for number, image in enumerate(images):
        if image.shape != images[0].shape:
            raise InvalidDataset(
                f"Image {number} has the shape {image.shape}, image 0 {images[0].shape}; the images of one request "
                "have one size."
            )
    if len({image.dtype for image in images}) > 1:
        images = [as_floats(image) for image in images]
    return np.stack(images)


def as_floats(images: NDArray[Any]) -> NDArray[Any]:
    """uint8 beside float32 becomes value / 255."""
    return images / np.float32(255) if images.dtype == np.uint8 else images


def _fit_stack(array: NDArray[Any], shape: tuple[int, int, int], larger: bool) -> NDArray[Any]:
    stack = fitted(array, shape, larger) if array.ndim > 1 else None
    if stack is None:
        alone = fitted(array[None], shape, larger)
        if alone is None:
            raise misfit("The array", array.shape, shape, larger)
        return alone
    return stack


def fit_one(image: NDArray[Any], shape: tuple[int, int, int], larger: bool, name: str) -> NDArray[Any]:
    """(H, W, C) of one image. Raises `InvalidDataset` with both shapes."""
    alone = fitted(image[None], shape, larger)
    if alone is None:
        raise misfit(name, image.shape, shape, larger)
    one: NDArray[Any] = alone[0]
    return one


def fitted(stack: NDArray[Any], shape: tuple[int, int, int], larger: bool) -> NDArray[Any] | None:
    """`stack` (N, …) as (N, H, W, C), or None when its images do not have a size that the model takes."""
    channels = shape[2]
    if stack.ndim == 3 and _takes(stack.shape[1:3], shape, larger):
        stack = stack[..., None]
    if stack.shape[1:] == (math.prod(shape),):
        return stack.reshape(len(stack), *shape)
    if stack.ndim != 4 or not _takes(stack.shape[1:3], shape, larger):
        return None
    if stack.shape[3] == channels:
        return stack
    if {stack.shape[3], channels} == {1, 3}:
        return in_color(stack, "gray" if channels == 1 else "rgb")
    return None


def _takes(size: tuple[int, ...], shape: tuple[int, int, int], larger: bool) -> bool:
    if larger:
        return size[0] >= shape[0] and size[1] >= shape[1]
    return size == shape[:2]


def misfit(name: str, given: tuple[int, ...], shape: tuple[int, int, int], larger: bool) -> InvalidDataset:
    height, width, channels = shape
    more = " and larger" if larger else ""
    return InvalidDataset(
        f"{name} has the shape {given}; the model takes images of height {height}, width {width}{more} and "
        f"{channels} channels {shape}, or vectors of {math.prod(shape)} values."
    )
