"""From what a client asked to the fields of a job's record: defaults filled in, names resolved, all of it checked."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from app import estimate as costs
from app import fitting
from app.fitting import refused
from app.services import Services
from pinwheel.errors import InvalidConfig, NotFound
from pinwheel.progress import progress_at
from pinwheel.recipes import find
from pinwheel.specs import EncodeJob, JobRequest, TrainJob, TrainSpec, merge
from pinwheel.specs.problems import describe
from pinwheel.store import datasets, models

REQUEST: TypeAdapter[TrainJob | EncodeJob] = TypeAdapter(JobRequest)
MOST_ERRORS = 100
PARTS = ("preprocessing", "model", "training", "resources")


def parse(body: Any) -> TrainJob | EncodeJob:
    """The request, or `InvalidConfig` that lists everything wrong with it."""
    try:
        return REQUEST.validate_python(body)
    except ValidationError as error:
        raise invalid(error, body, JobRequest) from None


def invalid(error: ValidationError, data: Any, root: Any) -> InvalidConfig:
    every = error.errors()
    found = describe(every[:MOST_ERRORS], data, root)
    detail = "; ".join(f"{entry['pointer']}: {entry['detail']}" for entry in found[:5])
    if len(every) > MOST_ERRORS:
        detail += f"; and {len(every) - MOST_ERRORS} more errors that are not listed"
    return InvalidConfig(detail, errors=found)


def resolve_train(request: TrainJob, services: Services) -> tuple[dict[str, Any], list[str]]:
    """Fields of the record and what the job uses."""
    spec = full_spec(request)
    dataset = _dataset(services, request.dataset, "#/dataset")
    validation = _validation(request, services)
    fitting.check_data(spec, dataset, "#/dataset")
    images, shape = trained_on(dataset, request), fitting.input_shape(spec.preprocessing, dataset, "#/dataset")
    fitting.check_amounts(spec.preprocessing, shape, images)
    fitting.check_model(spec, shape, images, _classes(dataset))
    if validation:
        fitting.check_data(spec, validation, "#/validation/dataset")
        fitting.check_alike(spec.preprocessing, dataset, validation)
    uses = [datasets.used_by(record["id"]) for record in (dataset, validation) if record]
    fields = {
        "type": "train",
        "name": request.name,
        "recipe": request.recipe,
        "dataset": dataset["id"],
        "validation": _validation_field(request, validation),
        "spec": spec.model_dump(mode="json"),
        "publish_as": request.publish_as or request.recipe or "model",
        "publish_on_cancel": request.publish_on_cancel,
        "max_attempts": request.max_attempts,
        "metadata": request.metadata,
        "progress": progress_at(0, costs.total_steps(spec, images), 0),
    }
    return fields, uses


def full_spec(request: TrainJob) -> TrainSpec:
    """The recipe's spec with what was given laid over it."""
    default = find(request.recipe).spec.model_dump(mode="json") if request.recipe else _without_recipe()
    merged = merge(default, {part: getattr(request, part) for part in PARTS})
    try:
        return TrainSpec.model_validate(merged)
    except ValidationError as error:
        raise invalid(error, merged, TrainSpec) from None


def _without_recipe() -> dict[str, Any]:
    """Everything but the model has a default."""
    return {"preprocessing": {}, "model": {}, "training": {}, "resources": {}}


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


def trained_on(dataset: dict[str, Any], request: TrainJob) -> int:
    """Images that are left for training once the validation share is split off."""
    count: int = dataset["images"]["count"]
    split = request.validation.split if request.validation else None
    left = count - max(1, round(count * split)) if split else count
    if left < 1:
        detail = f"{split} of {count} images leaves none to train on"
        raise refused("#/validation/split", "too_large", detail)
    return left


def estimate(spec: TrainSpec, dataset: dict[str, Any], request: TrainJob) -> dict[str, Any]:
    """What a training will cost, roughly."""
    shape = fitting.input_shape(spec.preprocessing, dataset, "#/dataset")
    return costs.estimate(spec, shape, trained_on(dataset, request), _classes(dataset))


def _classes(dataset: dict[str, Any]) -> int:
    return dataset["labels"]["classes"] if dataset["labels"] else 0


def resolve_encode(request: EncodeJob, services: Services) -> tuple[dict[str, Any], list[str]]:
    """Fields of the record and what the job uses."""
    model = services.models.find(request.model)
    dataset = _dataset(services, request.dataset, "#/dataset")
    fitting.check_encodable(model, dataset)
    fitting.check_result(model, dataset, dense=not request.output.sparse)
    fields = {
        "type": "encode",
        "name": request.name,
        "model": f"{model['name']}@{model['version']}",
        "dataset": dataset["id"],
        "output": request.output.model_dump(),
        "max_attempts": request.max_attempts,
        "metadata": request.metadata,
        "progress": progress_at(0, dataset["images"]["count"], 0),
    }
    return fields, [datasets.used_by(dataset["id"]), models.used_by(model["name"], model["version"])]
