"""What the estimators' parameters mean: a training's spec, and images from rows. No scikit-learn, no server, no torch.

Both estimators, `pinwheel.SparseEncoder` and `worker.estimator.SparseEncoder`, ask for the same training.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel import recipes
from pinwheel.errors import InvalidConfig
from pinwheel.specs import ANY_SPEC, Dense, StackSpec, TrainSpec, classifier_of, merge

Record = dict[str, Any]


def resolved(recipe: str, given: Mapping[str, Any], spec: Mapping[str, Any] | None, seed: int) -> TrainSpec | StackSpec:
    """The recipe's spec for rows that are one input each, with the parameters `given` and then `spec` laid over it.

    given: units, weight, epochs, batch_size, learning_rate, device; what is None is the recipe's. spec: fields of a
    training request (preprocessing, model, training, stages, resources). Raises ValueError for what does not fit.
    """
    try:
        default: Record = recipes.find(recipe).spec.model_dump(mode="json")
    except InvalidConfig as error:
        raise ValueError(error.detail) from None
    whole = {"preprocessing": {"patch_size": None, "patches_per_image": None}}
    asked = _asked({name: value for name, value in given.items() if value is not None}, seed)
    if "stages" in default:
        return _stack(recipe, merge(default, whole), asked, spec or {})
    return ANY_SPEC.validate_json(json.dumps(merge(merge(merge(default, whole), asked), dict(spec or {}))))


def _asked(given: Mapping[str, Any], seed: int) -> Record:
    training = {name: given[name] for name in ("epochs", "batch_size", "learning_rate") if name in given}
    asked: Record = {"training": {"previews": 0, "seed": seed, **training}}
    if "device" in given:
        asked["resources"] = {"device": given["device"]}
    model = {}
    if "units" in given:
        model["connection"] = {"units": given["units"]}
    if "weight" in given:
        model["sparsity"] = {"weight": given["weight"]}
    return asked | ({"model": model} if model else {})


def _stack(recipe: str, default: Record, asked: Record, spec: Mapping[str, Any]) -> TrainSpec | StackSpec:
    """Training parameters are for all stages; which layer others are for would be a guess."""
    if "model" in asked:
        names = " and ".join({"connection": "units", "sparsity": "weight"}[part] for part in asked["model"])
        raise ValueError(f"the recipe {recipe!r} has several layers; give {names} of each as spec={{'stages': [...]}}")
    stages = [merge(stage, {"training": asked["training"]}) for stage in default["stages"]]
    given = list(spec.get("stages", []))
    if len(given) > len(stages):
        raise ValueError(f"spec has {len(given)} stages; the recipe {recipe!r} has {len(stages)}")
    stages = [merge(stage, over) for stage, over in zip(stages, given + [{}] * len(stages), strict=False)]
    rest = {name: value for name, value in spec.items() if name != "stages"}
    full = merge(merge(default, {name: value for name, value in asked.items() if name == "resources"}), rest)
    return ANY_SPEC.validate_json(json.dumps(full | {"stages": stages}))


def request_fields(spec: TrainSpec | StackSpec) -> Record:
    """The whole spec as fields of a training request."""
    return spec.model_dump(mode="json")


def needs_labels(spec: TrainSpec | StackSpec) -> bool:
    return classifier_of(spec.stages[-1]).kind != "none"


def check_enough(spec: TrainSpec | StackSpec, samples: int, inputs: int) -> None:
    """Raises ValueError for rows that preprocessing leaves nothing of."""
    preprocessing = spec.preprocessing
    if preprocessing.whiten == "zca" and samples == 1:
        raise ValueError("n_samples=1: whiten 'zca' needs inputs that differ, 2 samples at least")
    if preprocessing.scale == "standard" and inputs == 1:
        raise ValueError(
            "n_features=1: scale 'standard' makes 0 of every single number; 2 features at least are needed"
        )


def why_not_decodable(spec: TrainSpec | StackSpec) -> str | None:
    """Why features of such a model cannot be taken back to rows; None where D z is what they stand for."""
    if isinstance(spec, StackSpec):
        return "the model is a stack, whose features are those of its top layer alone"
    if not isinstance(spec.model.connection, Dense):
        return f"the connection is {spec.model.connection.kind!r}; codes are decoded of 'dense' ones"
    if spec.model.output == "pooled":
        return "the features are pools, which do not tell the code that they are of"
    preprocessing = spec.preprocessing
    if preprocessing.patch_size is not None:
        return "the features are means over the patches of an image"
    if preprocessing.whiten not in ("none", "zca"):
        return f"the preprocessing {preprocessing.whiten!r} divides each image by what the features do not tell"
    return "the colors of the images were made gray" if preprocessing.color == "gray" else None


def images_of(rows: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """(n, inputs) → (n, height, width, channels) where the rows have a shape, else as they are."""
    return rows if shape is None else rows.reshape(len(rows), *shape)


def image_shape_of(
    asked: tuple[int, ...] | None, found: tuple[int, ...] | None, inputs: int
) -> tuple[int, int, int] | None:
    """(height, width, channels) from the parameter `image_shape` and from images themselves; None for plain vectors.

    Raises ValueError where it does not hold `inputs` numbers, or the two do not agree.
    """
    shapes = [_with_channels(shape) for shape in (asked, found) if shape is not None]
    if len(shapes) == 2 and shapes[0] != shapes[1]:
        raise ValueError(f"image_shape is {tuple(asked or ())} and the images have the shape {tuple(found or ())}")
    if not shapes:
        return None
    if math.prod(shapes[0]) != inputs:
        raise ValueError(f"image_shape is {shapes[0]}, {math.prod(shapes[0])} numbers; each row of X has {inputs}")
    return shapes[0]


def _with_channels(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) not in (2, 3) or not all(int(side) == side and side > 0 for side in shape):
        raise ValueError(f"image_shape is {tuple(shape)}; (height, width) and (height, width, channels) are allowed")
    height, width, channels = (*map(int, shape), 1)[:3]
    return height, width, channels


def as_pixels(rows: NDArray[Any]) -> NDArray[Any]:
    """uint8 as it is (value / 255 to a model), anything else as float32, or ValueError where that cannot hold it."""
    if rows.dtype == np.uint8:
        return rows
    with np.errstate(over="ignore"):
        found = rows.astype(np.float32)
    if not np.isfinite(found).all():
        raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
    return found
