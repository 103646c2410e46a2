"""Images as the service takes them: files are streamed, arrays go as .npy or .npz."""

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.client.connection import Body

Array = NDArray[Any]
Source = str | Path | bytes | Array
Images = Array | bytes | Path | str | Sequence[bytes | Path | str]


@contextmanager
def dataset_body(data: Source, labels: Source | None) -> Iterator[Callable[[], Body]]:
    """What makes the body of `POST /v1/datasets`; files stay open until the end."""
    with ExitStack() as stack:
        if isinstance(data, np.ndarray):
            yield _rewinding(stack.enter_context(_array_file(data, labels)))
        elif labels is None:
            content = data if isinstance(data, bytes) else stack.enter_context(_path(data).open("rb"))
            yield _rewinding(content)
        elif isinstance(labels, np.ndarray):
            raise ValueError("labels as an array need images as an array; with a file of images, give a file of labels")
        else:
            yield lambda: {"files": {"images": _part(stack, data), "labels": _part(stack, labels)}}


def image_body(images: Images) -> Callable[[], Body]:
    """What makes the body of an encode request.

    images: array (N, H, W, C), (N, H, W) or (N, inputs); the bytes or path of one file; or a list of those.
    """
    if isinstance(images, np.ndarray):
        content = npy_bytes(images)
        return lambda: {"content": content, "headers": {"Content-Type": "application/x-npy"}}
    if isinstance(images, bytes | str | Path):
        content = _read(images)
        return lambda: {"content": content, "headers": {"Content-Type": "application/octet-stream"}}
    parts = [("image", (f"image-{number}", _read(image))) for number, image in enumerate(images)]
    if not parts:
        raise ValueError("there is no image in the list")
    return lambda: {"files": parts}


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


@contextmanager
def _array_file(images: Array, labels: Source | None) -> Iterator[Any]:
    with tempfile.TemporaryFile() as file:
        if labels is None:
            np.save(file, images, allow_pickle=False)
        elif isinstance(labels, np.ndarray):
            np.savez(file, images=images, labels=labels)
        else:
            raise ValueError("images as an array need labels as an array")
        yield file


def _rewinding(content: Any) -> Callable[[], Body]:
    def body() -> Body:
        if not isinstance(content, bytes):
            content.seek(0)
        return {"content": content, "headers": {"Content-Type": "application/octet-stream"}}

    return body


def _part(stack: ExitStack, source: Source) -> tuple[str, Any]:
    if isinstance(source, bytes):
        return "part", source
    if isinstance(source, np.ndarray):
        raise ValueError("images and labels must both be arrays, or both be files")
    path = _path(source)
    return path.name, stack.enter_context(path.open("rb"))


def _path(source: str | Path) -> Path:
    path = Path(source)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; send a zip or tar of it")
    return path


def _read(image: bytes | str | Path) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()
