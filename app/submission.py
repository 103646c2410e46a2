"""From what a client asked to the fields of a job's record: defaults filled in, names resolved, all of it checked."""

import json
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from app import estimate as costs
from app import fitting
from app.fitting import refused
from app.geometry import feature_shape
from app.pooling import Pooling
from app.resumption import Resumption, found
from app.services import Services
from app.stacking import base_of, full_spec, invalid, pointers_of
from pinwheel.errors import NotFound
from pinwheel.files import layers_of
from pinwheel.progress import progress_at
from pinwheel.specs import ANY_SPEC, EncodeJob, JobRequest, Layer, TrainJob, as_image
from pinwheel.store import datasets, models

REQUEST: TypeAdapter[TrainJob | EncodeJob] = TypeAdapter(JobRequest)


def parse(body: Any) -> TrainJob | EncodeJob:
    """The request, or `InvalidConfig` that lists everything wrong with it."""
    try:
        return REQUEST.validate_python(body)
    except ValidationError as error:
        raise invalid(error, body, JobRequest) from None


class Resolved(NamedTuple):
    """`fields` of the record, what the job `uses`, and the checkpoint it goes on from."""

    fields: dict[str, Any]
    uses: list[str]
    resumed: Resumption | None = None


def resolve(request: TrainJob | EncodeJob, services: Services) -> Resolved:
    """Raises the errors of `pinwheel.errors` for what cannot be done."""
    return _resolve_train(request, services) if isinstance(request, TrainJob) else _resolve_encode(request, services)


def _resolve_train(request: TrainJob, services: Services) -> Resolved:
    resumed = None if request.resume_from is None else found(request.resume_from, services)
    if resumed is not None:
        request = resumed.request(request)
    assert request.dataset is not None  # by the request's own check
    base = base_of(request, services)
    spec = full_spec(request, base, resumed)
    dataset = _dataset(services, request.dataset, "#/dataset")
    validation = _validation(request, services)
    fitting.check_data(spec, dataset, "#/dataset")
    split = request.validation.split if request.validation else None
    images, shape = _trained_on(dataset, split), fitting.input_shape(spec.preprocessing, dataset, "#/dataset")
    fitting.check_amounts(spec.preprocessing, shape, images)
    fitting.check_base(base, dataset, shape)
    pointers = pointers_of(request, base, resumed)
    fitting.check_stages(spec, shape, images, _classes(dataset), base, pointers)
    if validation:
        fitting.check_data(spec, validation, "#/validation/dataset")
        fitting.check_alike(spec.preprocessing, dataset, validation)
    steps = costs.all_steps(spec, images)
    if resumed is not None:
        resumed.check(spec.model_dump(mode="json"), pointers)
        resumed.check_steps(steps)
    uses = [datasets.used_by(record["id"]) for record in (dataset, validation) if record]
    uses += [] if base is None else [models.used_by(base["name"], base["version"])]
    fields = {
        "type": "train",
        "name": request.name,
        "recipe": request.recipe,
        "dataset": dataset["id"],
        "validation": _validation_field(request, validation),
        "spec": spec.model_dump(mode="json"),
        "publish_as": request.publish_as or request.recipe or "model",
        "publish_on_cancel": request.publish_on_cancel,
        "max_seconds": request.max_seconds,
        "max_attempts": request.max_attempts,
        "keep_checkpoint": request.keep_checkpoint,
        "metadata": request.metadata,
        "progress": progress_at(0, steps, 0),
    }
    return Resolved(fields if resumed is None else fields | resumed.fields(steps), uses, resumed)


def _dataset(services: Services, name: str, pointer: str) -> dict[str, Any]:
    try:
        return services.datasets.find(name)
    except NotFound as error:
        raise NotFound(
            error.detail, errors=[{"pointer": pointer, "code": "not_found", "detail": error.detail}]
        ) from None


def _validation(request: TrainJob, services: Services) -> dict[str, Any] | None:
    if request.validation is None or request.validation.dataset is None:
        return None
    return _dataset(services, request.validation.dataset, "#/validation/dataset")


def _validation_field(request: TrainJob, validation: dict[str, Any] | None) -> dict[str, Any] | None:
    if request.validation is None:
        return None
    return {"dataset": validation["id"]} if validation else {"split": request.validation.split}


def _trained_on(dataset: dict[str, Any], split: float | None) -> int:
    """Images that are left for training once the validation share is split off."""
    count: int = dataset["images"]["count"]
    left = count - max(1, round(count * split)) if split else count
    if left < 1:
        detail = f"{split} of {count} images leaves none to train on"
        raise refused("#/validation/split", "too_large", detail)
    return left


def estimate(fields: dict[str, Any], services: Services) -> dict[str, Any]:
    """What a training of these fields will cost, roughly."""
    spec = ANY_SPEC.validate_json(json.dumps(fields["spec"]))
    dataset = services.datasets.find(fields["dataset"])
    shape = fitting.input_shape(spec.preprocessing, dataset, "#/dataset")
    images = _trained_on(dataset, (fields["validation"] or {}).get("split"))
    first = spec.stages[0]
    base = services.models.find(first.taken_from) if isinstance(first, Layer) and first.taken_from else None
    taken = [] if base is None else [as_image(tuple(feature_shape(base, each))) for each in range(len(layers_of(base)))]
    return costs.estimate(spec, shape, images, _classes(dataset), taken)


def _classes(dataset: dict[str, Any]) -> int:
    return dataset["labels"]["classes"] if dataset["labels"] else 0


def _resolve_encode(request: EncodeJob, services: Services) -> Resolved:
    model = services.models.find(request.model)
    dataset = _dataset(services, request.dataset, "#/dataset")
    fitting.check_encodable(model, dataset)
    fitting.check_layer_of(model, request.layer, "#/layer")
    fitting.check_passes(model, request.layer, request.passes, "#/passes")
    pooling = Pooling(request.pool, request.stride, "#")
    pooling.check(model)
    pooling.check_dataset(model, dataset, request.layer, request.output.model_dump())
    fields = {
        "type": "encode",
        "name": request.name,
        "model": f"{model['name']}@{model['version']}",
        "dataset": dataset["id"],
        "layer": request.layer,
        "passes": request.passes,
        "pool": request.pool,
        "stride": request.stride,
        "output": request.output.model_dump(),
        "max_attempts": request.max_attempts,
        "metadata": request.metadata,
        "progress": progress_at(0, dataset["images"]["count"], 0),
    }
    return Resolved(fields, [datasets.used_by(dataset["id"]), models.used_by(model["name"], model["version"])])
