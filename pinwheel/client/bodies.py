"""Images as the service takes them: files are streamed, arrays go as .npy or .npz, folders and lists as a zip."""

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from pinwheel.client.archives import zip_folder, zip_images
from pinwheel.client.connection import Body as Made

Array = NDArray[Any]
Image: TypeAlias = Array | bytes | Path | str | PilImage.Image
Images: TypeAlias = Image | Sequence[Image]
Source: TypeAlias = Images
Labels: TypeAlias = Array | Sequence[int] | Sequence[str] | str | Path | bytes
Body: TypeAlias = Callable[[], Made]


def dataset_body(stack: ExitStack, data: Source, labels: Labels | None) -> Body:
    """What makes the body of `POST /v1/datasets`. What `stack` holds is open until the end.

    data: array of images; path or bytes of a file; path of a folder; or a list of arrays, PIL images, paths and bytes.
    Raises ValueError where `labels` do not go with them, OSError for what cannot be read.
    """
    if isinstance(data, PilImage.Image):
        data = [data]
    if isinstance(data, list | tuple):
        data = _as_one(data)
    if isinstance(data, np.ndarray):
        return _rewinding(stack.enter_context(_array_file(data, labels)))
    if isinstance(data, list | tuple):
        return _rewinding(stack.enter_context(_temporary(lambda file: zip_images(file, _contents(data), labels))))
    assert isinstance(data, bytes | str | Path)
    if not isinstance(data, bytes) and Path(data).is_dir():
        if labels is not None:
            raise ValueError("the labels of a folder are the names of the folders in it; leave labels out")
        return _rewinding(stack.enter_context(_temporary(lambda file: zip_folder(file, Path(data)))))
    if labels is None:
        return _rewinding(data if isinstance(data, bytes) else stack.enter_context(Path(data).open("rb")))
    if not isinstance(labels, bytes | str | Path):
        raise ValueError("labels as an array need images as an array; with a file of images, give a file of labels")
    images, targets = _part(stack, data), _part(stack, labels)
    return lambda: {"files": {"images": _again(images), "labels": _again(targets)}}


def image_body(images: Images) -> Body:
    """What makes the body of an encode request.

    images: array (N, H, W, C), (N, H, W) or (N, inputs); the bytes or path of one file, a PIL image; or a list of
    those, in which an array is one image.
    """
    if isinstance(images, list | tuple):
        images = _as_one(images)
    if isinstance(images, np.ndarray):
        content = npy_bytes(images)
        return lambda: {"content": content, "headers": {"Content-Type": "application/x-npy"}}
    if isinstance(images, bytes | str | Path | PilImage.Image):
        content = file_bytes(images)
        return lambda: {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    parts = [("image", (f"image-{number}", file_bytes(image))) for number, image in enumerate(images)]
    if not parts:
        raise ValueError("there is no image in the list")
    return lambda: {"files": parts}


def file_bytes(image: Image) -> bytes:
    """One image as a file. Raises ValueError for an array that no PNG holds."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | Path):
        return Path(image).read_bytes()
    if isinstance(image, np.ndarray):
        gray = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1)
        if image.dtype != np.uint8 or not (gray or (image.ndim == 3 and image.shape[2] == 3)):
            raise ValueError(
                f"an image in a list is {image.dtype} {image.shape}; images of one shape can be any array, those of "
                "different shapes are uint8 (H, W), (H, W, 1) or (H, W, 3)"
            )
        image = PilImage.fromarray(image[..., 0] if gray and image.ndim == 3 else image)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def npy_bytes(array: Array) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def read_npy(content: bytes) -> Array:
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def read_features(content: bytes) -> Any:
    """Features of an .npz file: a `scipy.sparse` matrix where it holds one (needs scipy), else an array."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if "features" in archive:
            return archive["features"]
    try:
        from scipy import sparse
    except ImportError:
        raise ImportError("sparse features need scipy; install it, or take `encode_npz` or sparse=False") from None
    return sparse.load_npz(io.BytesIO(content))


def _as_one(images: Sequence[Image]) -> Array | Sequence[Image]:
    """One array of arrays, or PIL images, of one shape; what is not alike stays a list."""
    if not images:
        raise ValueError("there is no image in the list")
    arrays = [np.asarray(image) for image in images if _has_pixels(image)]
    alike = len(arrays) == len(images) and len({(array.shape, array.dtype) for array in arrays}) == 1
    return np.stack(arrays) if alike else images


def _has_pixels(image: Image) -> bool:
    """Whether it is an array, or a PIL image that is the same as an array."""
    return isinstance(image, np.ndarray) or (isinstance(image, PilImage.Image) and image.mode in ("L", "RGB"))


def _contents(images: Sequence[Image]) -> Sequence[Callable[[], bytes]]:
    return [lambda image=image: file_bytes(image) for image in images]  # type: ignore[misc]


def _array_file(images: Array, labels: Labels | None) -> Any:
    if labels is None:
        return _temporary(lambda file: np.save(file, images, allow_pickle=False))
    if isinstance(labels, bytes | str | Path):
        raise ValueError("images as an array need labels as an array")
    numbers = np.asarray(labels)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"the labels of an array are whole numbers from 0, not {numbers.dtype}")
    return _temporary(lambda file: np.savez(file, images=images, labels=numbers))


def _temporary(write: Callable[[Any], None]) -> Any:
    """A file that is gone when it is closed, with what `write` puts into it."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller's stack closes it
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    return file


def _rewinding(content: Any) -> Body:
    def body() -> Made:
        if not isinstance(content, bytes):
            content.seek(0)
        return {"content": content, "headers": {"Content-Type": "application/octet-stream"}}

    return body


def _part(stack: ExitStack, source: str | Path | bytes) -> tuple[str, Any]:
    if isinstance(source, bytes):
        return "part", source
    path = Path(source)
    return path.name, stack.enter_context(path.open("rb"))


def _again(part: tuple[str, Any]) -> tuple[str, Any]:
    if not isinstance(part[1], bytes):
        part[1].seek(0)
    return part
