"""Images in a model's shape to an encode worker, within the bounds of one answer; and what is said of the answer."""

import math
from typing import Any

from numpy.typing import NDArray

from app.pooling import Pooling, patch_size
from app.services import Services
from app.together import Answer
from pinwheel.errors import PayloadTooLarge
from pinwheel.files import layers_of

MOST_ANSWER_BYTES = 256 * 1024 * 1024  # half of what one value of the store may hold


def takes_larger(record: dict[str, Any]) -> bool:
    """Whether images larger than the model's inputs are cut into patches."""
    return patch_size(record) is not None


async def encoded(
    services: Services,
    record: dict[str, Any],
    images: NDArray[Any],
    *,
    passes: int | None = None,
    layer: int | None = None,
) -> Answer:
    """The answer of an encode worker, with `features` (N, features of a layer that the model has)."""
    size = check_answer(record, images, services, Pooling())
    parameters = {"passes": passes, "layer": layer}
    return await services.encoder.ask(record["name"], record["version"], "encode", images, size, **parameters)


def check_answer(record: dict[str, Any], images: NDArray[Any], services: Services, pooling: Pooling) -> int:
    """Bytes that an answer may have. Raises `PayloadTooLarge` for more images, patches or features than one holds."""
    most = services.settings.max_encode_images
    if len(images) > most:
        raise PayloadTooLarge(f"{len(images)} images in one request; {most} are allowed. More are an encode job.")
    pooling.check_request(record, len(images), images.shape[1:3])
    shapes = (pooling.feature_shape(record, each, images.shape[1:3]) for each in range(len(layers_of(record))))
    longest = max(math.prod(shape) for shape in shapes)
    size = 4 * len(images) * max(longest, math.prod(images.shape[1:]))
    if size > MOST_ANSWER_BYTES:
        detail = f"{len(images)} images give {size} bytes; {MOST_ANSWER_BYTES} fit into one answer."
        raise PayloadTooLarge(f"{detail} Send fewer, or encode them as a job.")
    return size


def headers(record: dict[str, Any], answer: Answer, decode_seconds: float) -> dict[str, str]:
    timing = {"decode": decode_seconds, "queue": answer.queue_seconds, "compute": answer.compute_seconds}
    return {
        "X-Model": f"{record['name']}@{record['version']}",
        "Server-Timing": ", ".join(
            [*(f"{name};dur={1000 * seconds:.2f}" for name, seconds in timing.items()), f'batch;desc="{answer.batch}"']
        ),
    }
