"""From what a client asked to the full spec of a training: a recipe, what was given over it, a model below."""

import json
from typing import Any, TypeAlias

from pydantic import ValidationError

from app.fitting import refused
from app.pointers import Pointers
from app.resumption import Resumption
from app.services import Services
from pinwheel.errors import InvalidConfig, NotFound
from pinwheel.files import layers_of
from pinwheel.recipes import find
from pinwheel.specs import ANY_SPEC, StackSpec, TrainJob, TrainSpec, merge, taken
from pinwheel.specs.problems import describe

Fields: TypeAlias = dict[str, Any]

MOST_ERRORS = 100
PARTS = ("preprocessing", "model", "training", "resources")


def invalid(error: ValidationError, data: Any, root: Any, pointers: Pointers | None = None) -> InvalidConfig:
    every = error.errors()
    found = describe(every[:MOST_ERRORS], data, root)
    if pointers is not None:
        moved = [entry | {"pointer": pointers.given(entry["pointer"])} for entry in found]
        found = [entry for number, entry in enumerate(moved) if entry not in moved[:number]]
    detail = "; ".join(f"{entry['pointer']}: {entry['detail']}" for entry in found[:5])
    if len(every) > MOST_ERRORS:
        detail += f"; and {len(every) - MOST_ERRORS} more errors that are not listed"
    return InvalidConfig(detail, errors=found)


def base_of(request: TrainJob, services: Services) -> Fields | None:
    """The record of the model that the stages are put on."""
    if request.on_top_of is None:
        return None
    try:
        return services.models.find(request.on_top_of)
    except NotFound as error:
        pointer = {"pointer": "#/on_top_of", "code": "not_found", "detail": error.detail}
        raise NotFound(error.detail, errors=[pointer]) from None


def pointers_of(request: TrainJob, base: Fields | None, resumed: Resumption | None = None) -> Pointers:
    taken_layers = 0 if base is None else len(layers_of(base))
    alone = not request.stages and "stages" not in _default(request, resumed)
    return Pointers(taken_layers, alone=alone, training=request.training, stages=request.stages)


def _default(request: TrainJob, resumed: Resumption | None) -> Fields:
    """What the request is laid over: the recipe's spec, or that of the job it goes on from."""
    if resumed is not None:
        return resumed.spec
    return _without_recipe() if request.recipe is None else find(request.recipe).spec.model_dump(mode="json")


def full_spec(
    request: TrainJob, base: Fields | None = None, resumed: Resumption | None = None
) -> TrainSpec | StackSpec:
    """The recipe's spec with what was given laid over it; the layers of `base` below its stages."""
    default = _default(request, resumed)
    if request.stages or base is not None or "stages" in default:
        merged = _stack(request, default, base, 0 if resumed is None else resumed.finished)
        try:
            return StackSpec.model_validate(merged)
        except ValidationError as error:
            raise invalid(error, merged, StackSpec, pointers_of(request, base, resumed)) from None
    merged = merge(default, {part: getattr(request, part) for part in PARTS})
    try:
        return TrainSpec.model_validate(merged)
    except ValidationError as error:
        raise invalid(error, merged, TrainSpec) from None


def _without_recipe() -> Fields:
    """Everything but the model has a default."""
    return {"preprocessing": {}, "model": {}, "training": {}, "resources": {}}


def _stack(request: TrainJob, recipe: Fields, base: Fields | None, finished: int) -> Fields:
    default = recipe.get("stages", [{"model": recipe.get("model"), "training": recipe.get("training")}])
    default = [stage for stage in default if stage.get("model") != {}]
    preprocessing = merge(recipe["preprocessing"], request.preprocessing)
    below: list[Fields] = []
    if base is not None:
        if request.preprocessing:
            detail = f"it comes with {request.on_top_of}, whose layers see images in one way only; leave it out"
            raise refused("#/preprocessing", "not_allowed", detail)
        spec = ANY_SPEC.validate_json(json.dumps(base["spec"]))
        preprocessing = spec.preprocessing.model_dump(mode="json")
        below = [each.model_dump(mode="json") for each in taken(spec, f"{base['name']}@{base['version']}")]
    stages = _merged(request, default, finished)
    return {
        "preprocessing": preprocessing,
        "stages": [*below, *stages],
        "resources": merge(recipe["resources"], request.resources),
    }


def _merged(request: TrainJob, default: list[Fields], finished: int) -> list[Fields]:
    """The stages that were given, each over the recipe's of its place; `training` beside them is for all of them that
    are not `finished`."""
    given: list[Fields] = list(request.stages)
    if request.model:
        if given or len(default) > 1:
            raise refused("#/model", "not_allowed", "a stack has a model in each of its stages: stages/0/model")
        given = [{"model": request.model}]
    stages = []
    for number in range(max(len(given), len(default))):
        stage = default[number] if number < len(default) else {"training": {}}
        laid = given[number] if number < len(given) else {}
        if laid.get("taken_from") is not None:
            detail = f"it is {laid['taken_from']!r} and is set by on_top_of, which takes the layers of a model"
            raise refused(f"#/stages/{number}/taken_from", "not_allowed", detail)
        training = {} if number < finished else request.training
        stages.append(merge(merge(stage, {"training": training}), laid))
    return stages
