"""From what a client asked to the fields of a job's record: defaults filled in, names resolved, all of it checked."""

import math
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.services import Services
from pinwheel.errors import InvalidConfig, NotFound
from pinwheel.progress import progress_at
from pinwheel.recipes import find
from pinwheel.specs import EncodeJob, JobRequest, NoClassifier, TrainJob, TrainSpec, merge
from pinwheel.specs.problems import describe
from pinwheel.store import datasets, models

REQUEST: TypeAdapter[TrainJob | EncodeJob] = TypeAdapter(JobRequest)
PARTS = ("preprocessing", "model", "training", "resources")


def parse(body: Any) -> TrainJob | EncodeJob:
    """The request, or `InvalidConfig` that lists everything wrong with it."""
    try:
        return REQUEST.validate_python(body)
    except ValidationError as error:
        raise invalid(error, body, JobRequest) from None


def invalid(error: ValidationError, data: Any, root: Any) -> InvalidConfig:
    found = describe(error.errors(), data, root)
    detail = "; ".join(f"{entry['pointer']}: {entry['detail']}" for entry in found[:5])
    return InvalidConfig(detail, errors=found)


def refused(pointer: str, code: str, detail: str) -> InvalidConfig:
    return InvalidConfig(f"{pointer}: {detail}", errors=[{"pointer": pointer, "code": code, "detail": detail}])


def resolve_train(request: TrainJob, services: Services) -> tuple[dict[str, Any], list[str]]:
    """Fields of the record and what the job uses."""
    spec = full_spec(request)
    dataset = _dataset(services, request.dataset, "#/dataset")
    validation = _validation(request, services)
    _check_data(spec, dataset, "#/dataset")
    if validation:
        _check_data(spec, validation, "#/validation/dataset")
        _check_alike(dataset, validation)
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
        "progress": progress_at(0, total_steps(spec, dataset, request), 0),
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


def _check_data(spec: TrainSpec, dataset: dict[str, Any], pointer: str) -> None:
    if dataset["images"]["variable_size"]:
        detail = f"the images of {dataset['id']} have different sizes; a dense connection needs images of one size"
        raise refused(pointer, "variable_size", detail)
    if not isinstance(spec.model.classifier, NoClassifier) and dataset["labels"] is None:
        detail = f'{dataset["id"]} has no labels, which classifier \'softmax\' needs; give labels or {{"kind": "none"}}'
        raise refused(pointer, "no_labels", detail)


def _check_alike(dataset: dict[str, Any], validation: dict[str, Any]) -> None:
    given, wanted = validation["images"]["shape"], dataset["images"]["shape"]
    if given != wanted:
        detail = f"its images are {given}; those of the training data are {wanted}"
        raise refused("#/validation/dataset", "wrong_shape", detail)
    if dataset["labels"] and validation["labels"] and validation["labels"]["classes"] > dataset["labels"]["classes"]:
        detail = f"it has {validation['labels']['classes']} classes, the training data {dataset['labels']['classes']}"
        raise refused("#/validation/dataset", "wrong_classes", detail)


def trained_on(dataset: dict[str, Any], request: TrainJob) -> int:
    """Images that are left for training once the validation share is split off."""
    count: int = dataset["images"]["count"]
    split = request.validation.split if request.validation else None
    left = count - math.ceil(count * split) if split else count
    if left < 1:
        detail = f"{split} of {count} images leaves none to train on"
        raise refused("#/validation/split", "too_large", detail)
    return left


def total_steps(spec: TrainSpec, dataset: dict[str, Any], request: TrainJob) -> int:
    return spec.training.epochs * math.ceil(trained_on(dataset, request) / spec.training.batch_size)


def estimate(spec: TrainSpec, dataset: dict[str, Any], request: TrainJob) -> dict[str, Any]:
    """What a training will cost, roughly; the seconds are those of two CPU cores at 50 GFLOP/s."""
    inputs = math.prod(dataset["images"]["shape"])
    units, passes = spec.model.connection.units, spec.model.encoder.passes
    classes = dataset["labels"]["classes"] if dataset["labels"] else 0
    parameters = 2 * inputs * units + units * units + units + classes * units
    images = trained_on(dataset, request)
    products = 2 * inputs * units + max(0, passes - 1) * units * units + classes * units
    operations = 6.0 * products * images * spec.training.epochs
    memory = 4 * (
        4 * parameters + dataset["images"]["count"] * inputs + 3 * (passes + 2) * spec.training.batch_size * units
    )
    return {
        "parameters": parameters,
        "total_steps": total_steps(spec, dataset, request),
        "memory_bytes": memory + 400 * 1024 * 1024,
        "operations": operations,
        "seconds": operations / 50e9,
    }


def resolve_encode(request: EncodeJob, services: Services) -> tuple[dict[str, Any], list[str]]:
    """Fields of the record and what the job uses."""
    model = services.models.find(request.model)
    dataset = _dataset(services, request.dataset, "#/dataset")
    if dataset["images"]["variable_size"] or list(dataset["images"]["shape"]) != list(model["input_shape"]):
        shape = "different sizes" if dataset["images"]["variable_size"] else dataset["images"]["shape"]
        detail = f"its images are {shape}; the model {model['name']}@{model['version']} takes {model['input_shape']}"
        raise refused("#/dataset", "wrong_shape", detail)
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
