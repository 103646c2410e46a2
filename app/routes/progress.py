"""What a training shows while it runs: curves and filters."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from app.documented import content, errors
from app.filters import FORMATS as FILTER_FORMATS
from app.filters import View, answer, layer_of, read_preview
from app.formats.negotiate import choose
from app.services import Held
from pinwheel.errors import NotFound
from pinwheel.store import events

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/{job_id}/metrics", responses=errors(404))
def read_metrics(
    job_id: str,
    services: Held,
    max_points: Annotated[int, Query(ge=2, le=20_000, description="Most points; more are thinned evenly.")] = 2000,
    from_step: Annotated[int, Query(ge=0, description="First step of interest.")] = 0,
) -> dict[str, Any]:
    """The history of every metric, by columns; a value that was not measured at a step is null. `pictures` are the
    steps of the filters' pictures; what came after event `last_event` is not in it."""
    services.jobs.get(job_id)
    log = events.Log.read(services.client, job_id)
    points = log.data("metrics", from_step)
    chosen: list[dict[str, Any]] = [points[index] for index in thinned(len(points), max_points)]
    names = dict.fromkeys(name for point in chosen for name in point)
    return {
        "object": "metrics",
        "job": job_id,
        "points": len(chosen),
        "total_points": len(points),
        "last_event": log.last,
        "pictures": [found["step"] for found in log.data("preview", from_step)],
        "columns": {name: [point.get(name) for point in chosen] for name in names},
    }


def thinned(count: int, most: int) -> Iterable[int]:
    """All indices, or the `most` that lie evenly among them, the first and the last one too."""
    return range(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int).tolist()


@router.get(
    "/{job_id}/filters",
    response_class=Response,
    responses={200: content(*FILTER_FORMATS.values()), **errors(400, 404, 406)},
)
def read_filters(
    job_id: str,
    request: Request,
    services: Held,
    view: View,
    step: Annotated[
        int | None, Query(ge=0, description="The last picture at or before this step; the newest without.")
    ] = None,
) -> Response:
    """The filters as they are now, or as they were at a step; `X-Step` says at which step they were taken."""
    services.jobs.get(job_id)
    path, taken = _preview(services.artifacts.job(job_id) / "previews", step, view.layer)
    filters = read_preview(path, view.kind)
    chosen = choose(request.headers.get("accept"), view.format, FILTER_FORMATS)
    texts = {"job": job_id, "step": str(taken), "query": str(request.url.query)}
    response = answer(request, filters, view, chosen, texts, f"{job_id}-{taken}")
    response.headers["X-Step"] = str(taken)
    response.headers["Cache-Control"] = "no-cache"
    return response


def _preview(folder: Path, step: int | None, layer: int | None) -> tuple[Path, int]:
    """The last file at or before `step` that shows `layer`, any layer where None."""
    taken = sorted(int(path.stem) for path in folder.glob("*.safetensors") if re.fullmatch(r"\d+", path.stem))
    fitting = [number for number in taken if step is None or number <= step]
    if not taken:
        raise NotFound("There is no picture of the filters yet; the first comes when the training starts.")
    if not fitting:
        raise NotFound(f"There is no picture at or before step {step}; the first is at step {taken[0]}.")
    for number in reversed(fitting):
        path = folder / f"{number:09d}.safetensors"
        if layer is None or layer_of(path) == layer:
            return path, number
    raise NotFound(f"There is no picture of layer {layer} at or before step {fitting[-1]}.")
