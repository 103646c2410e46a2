"""One image of a data set, as it is stored."""

import io
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Request, Response

from app.documented import content, errors, one_of
from app.formats.negotiate import choose
from app.previews import one_image
from app.services import Held
from pinwheel.errors import InvalidRequest
from pinwheel.pictures.images import image_pixels
from pinwheel.pictures.mosaic import encode_png

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

FORMATS = {"png": "image/png", "npy": "application/x-npy"}


@router.get(
    "/{dataset_id}/images/{row}",
    response_class=Response,
    responses={200: content(*FORMATS.values()), **errors(400, 404, 406, 410)},
)
def read_image(
    dataset_id: str,
    row: Annotated[int, Path(description="Which image, from 0.")],
    request: Request,
    services: Held,
    format: Annotated[str | None, one_of(FORMATS)] = None,
) -> Response:
    """One image: as a PNG, floats from 0 (black) to 1 (white) in 256 steps; or exactly, as an array (H, W, C)."""
    record = services.datasets.find(dataset_id)
    chosen = choose(request.headers.get("accept"), format, FORMATS)
    headers = {"ETag": f'"{record["digest"]}-{row}-{chosen}"', "Vary": "Accept", "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    image = one_image(services.artifacts.dataset(record["id"]), row)
    if chosen == "npy":
        out = io.BytesIO()
        np.save(out, image, allow_pickle=False)
        return Response(out.getvalue(), media_type=FORMATS["npy"], headers=headers)
    if image.shape[2] not in (1, 3):
        raise InvalidRequest(f"An image of {image.shape[2]} channels has no colors; 1 or 3 can be drawn. Ask for npy.")
    picture = encode_png(image_pixels(image), {"dataset": record["id"], "row": str(row)})
    return Response(picture, media_type=FORMATS["png"], headers=headers)
