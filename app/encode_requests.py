"""Requests to encode, reconstruct or classify: their bodies, in memory or on disk, and the images in them."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread
from fastapi import Request
from numpy.typing import NDArray
from starlette.datastructures import UploadFile

from app.encoding import check_answer, headers, takes_larger
from app.formats.budget import check_size
from app.formats.fit import ModelInputs
from app.formats.inputs import decode_inputs, decode_parts, fit, is_json
from app.formats.sniff import HEAD_BYTES, kind_of
from app.forms import read_form
from app.pooling import Pooling
from app.services import Services
from app.together import Answer
from pinwheel.errors import InvalidRequest

QUICK_BYTES = 32 * 1024


@dataclass
class Body:
    """A request's body: `whole` or `parts` in memory, or `files` on disk where it is larger than a request may be."""

    content_type: str
    whole: bytes = b""
    parts: list[bytes] | None = None
    files: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def too_large(self) -> bool:
        """Larger than what is answered at once."""
        return bool(self.files)

    @property
    def quick(self) -> bool:
        """Read in less time than it takes to have a thread do it: a few numbers as they are."""
        return 0 < len(self.whole) <= QUICK_BYTES and kind_of(self.whole[:HEAD_BYTES]) == "npy"

    def stage(self, folder: Path) -> dict[str, list[Path]]:
        """The body as files, as the converter takes them."""
        if self.files:
            return self.files
        name = "image" if self.parts is not None else "json" if is_json(self.content_type) else "body"
        paths = []
        for number, part in enumerate([self.whole] if self.parts is None else self.parts):
            paths.append(folder / f"{name}-{number}")
            paths[-1].write_bytes(part)
        return {name: paths}


@asynccontextmanager
async def received(request: Request, services: Services) -> AsyncIterator[Body]:
    """The body. What lies on disk is gone at the end. Raises `InvalidRequest` and `PayloadTooLarge`."""
    content_type = request.headers.get("content-type", "")
    with ExitStack() as stack:
        if content_type.split(";")[0].strip().lower() == "multipart/form-data":
            yield await _parts(request, content_type, services, stack)
        else:
            yield await _whole(request, content_type, services, stack)


async def _whole(request: Request, content_type: str, services: Services, stack: ExitStack) -> Body:
    settings = services.settings
    received: list[bytes] = []
    size = 0
    file: BinaryIO | None = None
    path: Path | None = None
    async for chunk in request.stream():
        size += len(chunk)
        if is_json(content_type):
            check_size(size, settings.max_body_bytes, "The JSON body")
        if file is None and size > settings.max_encode_bytes:
            path = stack.enter_context(services.artifacts.staged()) / "body"
            file = stack.enter_context(path.open("wb"))
            await anyio.to_thread.run_sync(file.writelines, received)
            received = []
        if file is None:
            received.append(chunk)
        else:
            await anyio.to_thread.run_sync(file.write, chunk)
    if file is None or path is None:
        return Body(content_type, b"".join(received))
    file.close()
    return Body(content_type, files={"body": [path]})


async def _parts(request: Request, content_type: str, services: Services, stack: ExitStack) -> Body:
    async with read_form(request) as form:
        unknown = [name for name in form if name not in ("image", "file")]
        if unknown:
            raise InvalidRequest(f"There is no field {unknown[0]!r}; images come as `image`.")
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        if len(files) < len(form.multi_items()):
            raise InvalidRequest("A part named image is text; each part is a file, with a filename.")
        if sum(file.size or 0 for file in files) <= services.settings.max_encode_bytes:
            return Body(content_type, parts=[await file.read() for file in files])
        folder = stack.enter_context(services.artifacts.staged())
        paths = [folder / f"image-{number}" for number in range(len(files))]
        for file, path in zip(files, paths, strict=True):
            await anyio.to_thread.run_sync(_copy, file.file, path)
        return Body(content_type, files={"image": paths})


def _copy(source: BinaryIO, path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(source, target, 1024 * 1024)


def model_inputs(record: dict[str, Any]) -> ModelInputs:
    height, width, channels = record["input_shape"]
    return ModelInputs((height, width, channels), takes_larger(record))


@dataclass(frozen=True)
class Asked:
    """One request: the model, the images in its shape, bytes of the largest answer, how long it took to read them."""

    record: dict[str, Any]
    images: NDArray[Any]
    answer_bytes: int
    decode_seconds: float

    @property
    def model(self) -> str:
        return f"{self.record['name']}@{self.record['version']}"

    async def ask(self, services: Services, operation: str, **parameters: Any) -> Answer:
        """What an encode worker makes of the images; `parameters` as `Encoder.ask` takes them."""
        name, version = self.record["name"], self.record["version"]
        return await services.encoder.ask(name, version, operation, self.images, self.answer_bytes, **parameters)

    def headers(self, answer: Answer) -> dict[str, str]:
        return headers(self.record, answer, self.decode_seconds) | {"Vary": "Accept"}


async def read(body: Body, record: dict[str, Any], services: Services, pooling: Pooling | None = None) -> Asked:
    """The images of a body in memory. Raises `PayloadTooLarge` for more than one answer holds."""
    start = time.perf_counter()
    if body.quick:
        images = _images(body, record, services)
    else:
        images = await anyio.to_thread.run_sync(_images, body, record, services)
    answer_bytes = check_answer(record, images, services, pooling or Pooling())
    return Asked(record, images, answer_bytes, time.perf_counter() - start)


def _images(body: Body, record: dict[str, Any], services: Services) -> NDArray[Any]:
    settings = services.settings
    if body.parts is not None:
        inputs = decode_parts(body.parts, settings)
    else:
        inputs = decode_inputs(body.whole, body.content_type, settings)
    return fit(inputs, *model_inputs(record))
