"""Data sets: uploads in any known format become the one stored form."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from app import uploads
from app.documented import content, errors
from app.paging import Paged
from app.previews import some_images
from app.services import Held
from app.views import dataset_view, list_view
from pinwheel.pictures.images import image_grid
from pinwheel.pictures.mosaic import encode_png

router = APIRouter(prefix="/v1/datasets", tags=["data sets"])

UPLOAD_ERRORS = errors(400, 409, 413, 415, 429)
UPLOAD_DOC = {
    "x-reads-its-query": True,
    "requestBody": {
        "required": True,
        "description": "A file in any known format, multipart files, or JSON that names a built-in data set.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {"schema": {"type": "object"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/BuiltinRequest"}},
        },
    },
}


@router.post(
    "",
    status_code=201,
    responses={200: {"description": "The data set that is there: the same content, the same name"}, **UPLOAD_ERRORS},
    openapi_extra=UPLOAD_DOC,
)
async def create_dataset(request: Request, services: Held) -> JSONResponse:
    """Create a data set: 201, or 200 with the one that is there when it has the same content and name."""
    record, new = await uploads.create(request, services)
    location = {"Location": f"/v1/datasets/{record['id']}"}
    return JSONResponse(dataset_view(record), 201 if new else 200, location)


@router.get("", responses=errors())
def list_datasets(services: Held, page: Paged) -> dict[str, Any]:
    """Data sets, newest first."""
    records, more = services.datasets.listed(page)
    return list_view([dataset_view(record) for record in records], more)


@router.get("/{dataset_id}", responses=errors(404))
def read_dataset(dataset_id: str, services: Held) -> dict[str, Any]:
    """One data set, by id or by name (the newest of that name)."""
    return dataset_view(services.datasets.find(dataset_id))


@router.delete("/{dataset_id}", status_code=204, responses=errors(404, 409))
def delete_dataset(dataset_id: str, services: Held) -> Response:
    """Delete a data set and its files; refused while a job that uses it has not ended."""
    services.datasets.remove(dataset_id)
    services.artifacts.remove(services.artifacts.dataset(dataset_id))
    return Response(status_code=204)


@router.get("/{dataset_id}/preview", response_class=Response, responses={200: content("image/png"), **errors(404, 410)})
def preview_dataset(
    dataset_id: str, services: Held, count: Annotated[int, Query(ge=1, le=256, description="Most images shown.")] = 100
) -> Response:
    """A mosaic of some of its images."""
    record = services.datasets.find(dataset_id)
    images = some_images(services.artifacts.dataset(record["id"]), count)
    picture = encode_png(image_grid(images), {"dataset": record["id"]})
    return Response(picture, media_type="image/png", headers={"ETag": f'"{record["digest"]}-{count}"'})
